"""How terms are chosen, and the smallest effect that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .evidence import evidence_path
from .normal_equations import NormalEquations
from .rvm import RVM
from .sparse_fit import SparseFit, describe

__all__ = ["above_floor", "selection_rule", "total_of"]


def selection_rule(selection: Any, std: float, margin: float) -> Callable[[NormalEquations], SparseFit]:
    if selection is None:
        selection = "rvm" if std == 0.0 else "evidence"
    if isinstance(selection, RVM):
        return selection.fit
    if selection == "evidence":
        return lambda equations: evidence_path(equations, noise_std=_unit(equations), margin=margin)
    algorithm = "mackay" if selection == "rvm" else "tipping-faul"
    return lambda equations: RVM(
        algorithm, threshold=1e5, noise_std=_unit(equations) if std > 0 else None
    ).fit(equations)


def _unit(equations: NormalEquations) -> float | None:
    """The noise of whitened rows is one; of others it is estimated."""
    return 1.0 if equations.whitened else None


def above_floor(
    equations: NormalEquations, fit: SparseFit, lowest: np.ndarray, noise_std: float | None
) -> SparseFit:
    """Drop terms below the floor, weakest first, and refit the others."""
    support = fit.support.copy()
    coefficients = fit.coefficients
    while support.any():
        excess = np.where(support, np.abs(coefficients) / lowest, np.inf)
        weakest = int(np.argmin(excess))
        if excess[weakest] >= 1.0:
            break
        support[weakest] = False
        coefficients = np.zeros(equations.terms)
        coefficients[support] = equations.solve(support)[0]
    if np.array_equal(support, fit.support):
        return fit
    return describe(equations, support, noise_std=noise_std, info=dict(fit.info))


def total_of(parts: list[NormalEquations]) -> NormalEquations:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
