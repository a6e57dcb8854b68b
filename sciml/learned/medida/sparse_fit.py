"""What every sparse regression returns: coefficients, their posterior, and the evidence of each term."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special

from .normal_equations import NormalEquations

__all__ = ["SparseFit", "describe"]


@dataclass(frozen=True)
class SparseFit:
    """A sparse solution of ``y = X w + noise``.

    Attributes
    ----------
    coefficients : ndarray, shape (p,)
        Zero off the support.
    covariance : ndarray, shape (p, p)
        Posterior covariance, zero off the support.
    support : ndarray of bool, shape (p,)
    noise_std : float
        Given or estimated.
    log_evidence : float
        Laplace approximation ``−BIC/2`` of the chosen support.
    term_evidence : ndarray, shape (p,)
        Log Bayes factor for having the term in the support against the same support without it; for terms
        left out, against the support with it (then negative).
    info : dict
        What a method adds (iterations, its path).
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    support: np.ndarray
    noise_std: float
    log_evidence: float
    term_evidence: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def standard_errors(self) -> np.ndarray:
        """Posterior standard deviations."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def intervals(self, level: float = 0.95) -> np.ndarray:
        """Lower and upper ends, shape (p, 2), of central intervals conditional on the support."""
        half = float(scipy.special.ndtri(0.5 + 0.5 * level)) * self.standard_errors
        return np.stack([self.coefficients - half, self.coefficients + half], axis=1)


def describe(
    equations: NormalEquations,
    support: np.ndarray,
    *,
    noise_std: float | None,
    effective_rows: float | None = None,
    coefficients: np.ndarray | None = None,
    covariance: np.ndarray | None = None,
    info: dict[str, Any] | None = None,
) -> SparseFit:
    """A `SparseFit` of a support: least squares on it unless a posterior is given.

    Where the noise level is not known, the residual estimates it, with ``rows − |support|`` degrees of
    freedom.
    """
    rows = equations.rows if effective_rows is None else effective_rows
    p = equations.terms
    w, rss = equations.solve(support)
    share = rows / equations.rows  # correlated rows count for less
    std = noise_std
    if std is None:
        std = float(np.sqrt(rss / max(equations.rows - support.sum() / share, 1.0)))
    if coefficients is None:
        coefficients = np.zeros(p)
        coefficients[support] = w
        covariance = np.zeros((p, p))
        if support.any():
            covariance[np.ix_(support, support)] = std**2 / share * equations.inverse_gram(support)
    assert covariance is not None
    evidence = np.zeros(p)
    own = bic(equations, support, noise_std, rows)
    for j in range(p):
        other = support.copy()
        other[j] = ~other[j]
        difference = 0.5 * (bic(equations, other, noise_std, rows) - own)
        evidence[j] = difference if support[j] else -difference
    return SparseFit(coefficients, covariance, support.copy(), std, -0.5 * own, evidence, info or {})


def bic(equations: NormalEquations, support: np.ndarray, noise_std: float | None, rows: float) -> float:
    """``−2 log evidence`` to leading order: misfit plus ``|support| log rows``.

    `rows` counts independent rows; correlated ones reduce the weight of the misfit in proportion.
    """
    _, rss = equations.solve(support)
    penalty = float(support.sum()) * np.log(max(rows, 2.0))
    if noise_std is not None:
        return rss / noise_std**2 * (rows / equations.rows) + penalty
    floor = 1e-14 * equations.energy + 1e-300  # what cancellation leaves of an exact fit
    return rows * float(np.log(max(rss, floor) / equations.rows)) + penalty
