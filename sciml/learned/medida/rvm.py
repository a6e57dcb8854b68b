"""Relevance vector machine for a design matrix: MacKay's fixed point, and Tipping and Faul's fast form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from .normal_equations import NormalEquations
from .sparse_fit import SparseFit, describe

__all__ = ["RVM", "posterior"]


@dataclass(frozen=True)
class RVM:
    """Sparse Bayesian regression ``y = X w + N(0, 1/β)``, ``w_i ~ N(0, 1/α_i)``, by maximum evidence.

    Parameters
    ----------
    algorithm : {"mackay", "tipping-faul"}
        The fixed point that starts from all columns, or the greedy one that starts from none.
    threshold : float
        Columns whose prior precision α reaches it are pruned. For standardised columns and target,
        ``threshold=1e3`` drops terms whose effect is below about 3 % of the target.
    standardise : bool
        Divide columns and target by their root mean squares first. The published recipe works in raw
        units, where `threshold` is a cut at ``|w| ≈ threshold^{-1/2}``.
    noise_std : float, optional
        Standard deviation of a row of `y` where it is known; estimated otherwise.
    tolerance : float
        The fixed point ends when no α changes by more than this, absolutely.
    maxiter : int
    keep_one : bool
        Never prune the last columns: keep the first one, as the published code does. Off, the answer may be
        that no column is relevant.

    References
    ----------
    MacKay, Neural Computation 4 (1992) 415–447; Tipping, JMLR 1 (2001) 211–244; Tipping and Faul, AISTATS
    2003.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import RVM
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 5))
    >>> fit = RVM().fit(X, X @ [0, 2.0, 0, 0, -1.0] + 0.1 * rng.standard_normal(200))
    >>> fit.support
    array([False,  True, False, False,  True])
    """

    algorithm: str = "mackay"
    threshold: float = 1e3
    standardise: bool = True
    noise_std: float | None = None
    tolerance: float = 1e-1
    maxiter: int = 3000
    keep_one: bool = False

    def __post_init__(self) -> None:
        if self.algorithm not in ("mackay", "tipping-faul"):
            raise ValueError(f"algorithm is {self.algorithm!r}; expected 'mackay' or 'tipping-faul'")
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold!r}; expected a positive number")
        if self.noise_std is not None and not self.noise_std > 0:
            raise ValueError(f"noise_std is {self.noise_std!r}; expected a positive number or None")

    def fit(self, X: np.ndarray | NormalEquations, y: np.ndarray | None = None) -> SparseFit:
        """Fit columns `X` (rows, terms) to `y`, or `NormalEquations` made of them before."""
        equations = X if isinstance(X, NormalEquations) else NormalEquations.of(X, y)  # type: ignore[arg-type]
        columns, target = np.ones(equations.terms), 1.0
        if self.standardise:
            columns, target = equations.column_rms, equations.target_rms or 1.0
            columns = np.where(columns > 0, columns, 1.0)
        scaled = equations.scaled(columns, target)
        beta = None if self.noise_std is None else (target / self.noise_std) ** 2
        method = _mackay if self.algorithm == "mackay" else _tipping_faul
        support, mean, covariance, beta, iterations = method(self, scaled, beta)
        p = equations.terms
        coefficients, full = np.zeros(p), np.zeros((p, p))
        coefficients[support] = mean * target / columns[support]
        scale = target / columns[support]
        full[np.ix_(support, support)] = covariance * np.outer(scale, scale)
        return describe(
            equations, support, noise_std=self.noise_std, coefficients=coefficients, covariance=full,
            info={"iterations": iterations, "algorithm": self.algorithm},
        )  # fmt: skip


_Found = tuple[np.ndarray, np.ndarray, np.ndarray, float, int]


def posterior(
    e: NormalEquations, active: np.ndarray, alpha: np.ndarray, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the weights of the `active` columns for given precisions."""
    gram = e.gram[np.ix_(active, active)]
    # Scaled by sqrt(alpha), the precision matrix is I + something positive: safe however far apart they are.
    root = 1.0 / np.sqrt(alpha)
    inner = np.eye(len(alpha)) + beta * gram * np.outer(root, root)
    factor = scipy.linalg.cho_factor(inner, lower=True)
    covariance = scipy.linalg.cho_solve(factor, np.eye(len(alpha))) * np.outer(root, root)
    return beta * covariance @ e.moment[active], covariance


def _misfit(e: NormalEquations, active: np.ndarray, mean: np.ndarray) -> float:
    """``‖y − X m‖²``, never below what the cancellation leaves meaningful."""
    rss = e.energy - 2.0 * mean @ e.moment[active] + mean @ e.gram[np.ix_(active, active)] @ mean
    return max(float(rss), 1e-15 * e.energy + 1e-300)


def _mackay(settings: RVM, e: NormalEquations, known: float | None) -> _Found:
    """Type-II maximum likelihood by ``α ← γ/m²``, ``γ = 1 − α Σ_ii``; columns are pruned on the way."""
    active = np.arange(e.terms)
    alpha = np.full(e.terms, 1e-6)
    beta = 1e-6 if known is None else known
    iteration = 0
    for iteration in range(1, settings.maxiter + 1):
        mean, covariance = posterior(e, active, alpha, beta)
        gamma = np.clip(1.0 - alpha * np.diag(covariance), 1e-300, None)
        new = gamma / np.maximum(mean**2, 1e-300)
        if known is None:
            beta = (e.rows - float(gamma.sum())) / _misfit(e, active, mean)
        keep = new < settings.threshold
        if not keep.any():
            if not settings.keep_one:
                return np.zeros(e.terms, dtype=bool), np.zeros(0), np.zeros((0, 0)), beta, iteration
            keep[0] = True
        change = float(np.max(np.abs(new[keep] - alpha[keep])))
        active, alpha = active[keep], new[keep]
        if change < settings.tolerance and iteration > 1:
            break
    mean, covariance = posterior(e, active, alpha, beta)
    support = np.zeros(e.terms, dtype=bool)
    support[active] = True
    return support, mean, covariance, beta, iteration


def _tipping_faul(settings: RVM, e: NormalEquations, known: float | None) -> _Found:
    """Add, re-estimate or delete the one column that gains most evidence, until none gains."""
    p = e.terms
    beta = known if known is not None else e.rows / max(0.1 * e.energy, 1e-300)
    alpha = np.full(p, np.inf)
    iteration = 0
    mean, covariance = np.zeros(0), np.zeros((0, 0))
    for iteration in range(1, settings.maxiter + 1):  # noqa: B007
        active = np.flatnonzero(np.isfinite(alpha))
        mean, covariance = posterior(e, active, alpha[active], beta)
        cross = e.gram[:, active]
        s = beta * np.diag(e.gram) - beta**2 * np.einsum("ij,jk,ik->i", cross, covariance, cross)
        q = beta * e.moment - beta**2 * cross @ covariance @ e.moment[active]
        # For columns in use, what they would be without it: from the posterior, which loses no digits.
        s[active] = np.maximum(1.0 / np.diag(covariance) - alpha[active], 1e-300)
        q[active] = mean / np.diag(covariance)
        theta = q**2 - s
        wanted = np.full(p, np.inf)
        relevant = theta > 0
        wanted[relevant] = s[relevant] ** 2 / theta[relevant]
        wanted[wanted >= settings.threshold] = np.inf
        gain = np.array([_gain(alpha[j], wanted[j], s[j], q[j]) for j in range(p)])
        best = int(np.argmax(gain))
        if known is None and len(active):
            rss = _misfit(e, active, mean)
            gamma = float(np.sum(1.0 - alpha[active] * np.diag(covariance)))
            new_beta = (e.rows - gamma) / rss
        else:
            new_beta = beta
        if gain[best] < 1e-6 and abs(math.log(new_beta / beta)) < 1e-6:
            break
        alpha[best] = wanted[best] if gain[best] >= 1e-6 else alpha[best]
        beta = new_beta
    support = np.isfinite(alpha)
    mean, covariance = posterior(e, np.flatnonzero(support), alpha[support], beta)
    return support, mean, covariance, beta, iteration


def _gain(old: float, new: float, s: float, q: float) -> float:
    """Gain of log evidence when the precision of one column goes from `old` to `new` (infinite: absent)."""

    def log_evidence(alpha: float) -> float:
        if not math.isfinite(alpha):
            return 0.0
        return 0.5 * (math.log(alpha) - math.log(alpha + s) + q**2 / (alpha + s))

    if s <= 0:
        return 0.0
    return log_evidence(new) - log_evidence(old)
