"""How terms are chosen, and the smallest effect that counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .evidence import evidence_path
from .normal_equations import NormalEquations
from .rvm import RVM
from .sparse_fit import SparseFit, describe

__all__ = ["above_floor", "selection_rule", "total_of"]


def selection_rule(
    selection: str | RVM | None, std: float, margin: float
) -> Callable[[NormalEquations, float], SparseFit]:
    """``select(equations, slack)``; whitened equations have noise of one, that of others is estimated.

    `slack` is a decrease of the misfit that is not worth a term; only the evidence path uses it.
    """
    if selection is None:
        selection = "rvm" if std == 0.0 else "evidence"
    if selection == "evidence":
        return lambda equations, slack: evidence_path(
            equations, noise_std=1.0 if equations.whitened else None, margin=max(margin, slack)
        )
    if isinstance(selection, RVM):
        method = selection
    else:
        method = RVM("mackay" if selection == "rvm" else "tipping-faul", threshold=1e5)

    def relevance(equations: NormalEquations, slack: float) -> SparseFit:
        known = equations.whitened and method.noise_std is None and std > 0.0
        return (replace(method, noise_std=1.0) if known else method).fit(equations)

    return relevance


def above_floor(
    equations: NormalEquations, fit: SparseFit, lowest: np.ndarray, noise_std: float | None
) -> SparseFit:
    """Drop terms below the floor, weakest first, and refit the others."""
    support = fit.support.copy()
    coefficients = fit.coefficients
    while support.any():
        excess = np.where(support & (lowest > 0), np.abs(coefficients) / np.maximum(lowest, 1e-300), np.inf)
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
