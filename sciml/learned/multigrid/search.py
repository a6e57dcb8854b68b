"""How long each choice of multigrid parameters takes on each training problem, and the best of a grid."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...backends.namespace import norm2
from ...preconditioners.learned_multigrid import TOLERANCES
from ...preconditioners.multigrid import Multigrid
from ...problems import Problem
from ...solvers import cg
from .cost import Rates

__all__ = ["GRID", "TOLERANCES", "evaluate", "grid", "iterations_to"]

GRID: dict[str, tuple[Any, ...]] = {
    "sweeps": ((2, 1, 1, 2), (2, 2, 2, 4), (3, 2, 2, 2), (3, 2, 2, 4), (4, 3, 2, 4)),
    "omega": ((1.0, 1.0), (1.1, 1.3)),
    "coarse_scaling": (0.45, 0.5),
    "smooth_from": ("auto", 3, None),
    "cycle": ("V", "W"),
}
"""What the grid search tries: the classical competitor of learning, and where evolution starts."""

MAXITER = 60


def grid(axes: dict[str, tuple[Any, ...]] | None = None) -> list[dict[str, Any]]:
    """All combinations of a grid of settings."""
    axes = GRID if axes is None else axes
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def evaluate(problem: Problem, settings: dict[str, Any], rates: Rates) -> np.ndarray:
    """Predicted seconds to each of `TOLERANCES`, set-up included.

    Iterations count in fractions, and half of one is added: what rounding up costs on problems like this one,
    where the last iteration rarely ends just at the tolerance. Where the slowest tolerance is not reached in
    `MAXITER` iterations, what they achieved is extrapolated.
    """
    M = Multigrid(problem.A, **settings)
    setup, each = rates.seconds(M)
    return setup + each * np.maximum(1.0, iterations_to(problem, M) + 0.5)


def iterations_to(problem: Problem, M: Any) -> np.ndarray:
    """Iterations to each of `TOLERANCES`, in fractions by the logarithm of the residual."""
    result = cg(problem.A, problem.b, M=M, rtol=min(TOLERANCES), maxiter=MAXITER, on_failure="ignore")
    history = np.log10(np.maximum(np.asarray(result.residual_history), 1e-300) / norm2(problem.b))
    out = []
    for tolerance in TOLERANCES:
        target = np.log10(tolerance)
        reached = np.flatnonzero(history <= target)
        if reached.size == 0:
            out.append(MAXITER * target / min(history[-1], -0.1))  # also where it broke down at once
            continue
        k = int(reached[0])
        # No better than what the step that reached it was needed for.
        out.append(k - 1 + (history[k - 1] - target) / (history[k - 1] - history[k]) if k else 0.0)
    return np.asarray(out)
