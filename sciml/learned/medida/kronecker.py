"""Sparse Bayesian learning with a product prior: families of terms are switched on and off together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .evidence import evidence_path
from .normal_equations import NormalEquations
from .rvm import posterior
from .sparse_fit import SparseFit, describe

__all__ = ["KroneckerSBL"]


@dataclass(frozen=True)
class KroneckerSBL:
    """Sparse Bayesian regression with prior variances ``γ_(i,j) = a_i b_j``.

    In a library ``u^p ∂^d u`` every column has two indices, and a prior that is a product of one factor per
    index has far fewer parameters, hence fewer local optima, than one variance per column. A true support is
    rarely a product set, so the product prior ranks the families first, and the path of highest evidence
    chooses among the columns of those that are left.

    Parameters
    ----------
    families : sequence of (int, int)
        Indices of every column, ``[term.powers for term in library]``; columns may be missing.
    update : {"am", "svd"}
        M step: alternating minimisation of the evidence bound, or the best rank-one approximation.
    keep : float
        Columns whose prior variance is above this fraction of the largest one (standardised columns) go on.
    refine : bool
        Choose among them by `evidence_path`; off, they are the support.
    noise_std : float, optional
        Standard deviation of a row where it is known.
    maxiter : int

    References
    ----------
    He and Joseph, Bayesian algorithms for Kronecker-structured sparse vector recovery, arXiv:2307.14719.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import KroneckerSBL
    >>> rng = np.random.default_rng(0)
    >>> families = [(i, j) for i in range(3) for j in range(4)]
    >>> X = rng.standard_normal((400, 12))
    >>> y = X[:, 5] - 2.0 * X[:, 6] + 0.1 * rng.standard_normal(400)      # columns (1, 1) and (1, 2)
    >>> np.flatnonzero(KroneckerSBL(families).fit(X, y).support).tolist()
    [5, 6]
    """

    families: Sequence[tuple[int, int]]
    update: str = "am"
    keep: float = 1e-6
    refine: bool = True
    noise_std: float | None = None
    maxiter: int = 200

    def __post_init__(self) -> None:
        if self.update not in ("am", "svd"):
            raise ValueError(f"update is {self.update!r}; expected 'am' or 'svd'")
        if any(pair is None or len(pair) != 2 for pair in self.families):
            raise ValueError("families has an entry that is no pair; expected (i, j) for every column")

    def fit(self, X: np.ndarray | NormalEquations, y: np.ndarray | None = None) -> SparseFit:
        """Fit columns `X` (rows, terms) to `y`, or `NormalEquations` made of them before."""
        equations = X if isinstance(X, NormalEquations) else NormalEquations.of(X, y)  # type: ignore[arg-type]
        if len(self.families) != equations.terms:
            raise ValueError(f"families has {len(self.families)} entries; expected {equations.terms}")
        columns, target = equations.column_rms, equations.target_rms or 1.0
        scaled = equations.scaled(columns, target)
        pairs = np.array(self.families, dtype=int)
        first, second = (np.unique(pairs[:, axis], return_inverse=True)[1] for axis in (0, 1))
        variance, iterations = self._evidence(scaled, first, second, target)
        chosen = variance > self.keep * variance.max()
        info = {"iterations": iterations, "prior variance": variance}
        if not self.refine:
            return describe(equations, chosen, noise_std=self.noise_std, info=info)
        left = NormalEquations(
            equations.gram[np.ix_(chosen, chosen)], equations.moment[chosen], equations.energy, equations.rows
        )
        inner = evidence_path(left, noise_std=self.noise_std)
        support = np.zeros(equations.terms, dtype=bool)
        support[np.flatnonzero(chosen)[inner.support]] = True
        return describe(equations, support, noise_std=self.noise_std, info=info)

    def _evidence(
        self, e: NormalEquations, first: np.ndarray, second: np.ndarray, target: float
    ) -> tuple[np.ndarray, int]:
        """Expectation–maximisation for the factors; returns the variance of every column."""
        a, b = np.ones(first.max() + 1), np.ones(second.max() + 1)
        precision = e.rows / (0.1 * e.energy) if self.noise_std is None else (target / self.noise_std) ** 2
        everything = np.arange(e.terms)
        iteration = 0
        for iteration in range(1, self.maxiter + 1):  # noqa: B007
            variance = a[first] * b[second]
            mean, covariance = posterior(e, everything, 1.0 / variance, precision)
            moments = mean**2 + np.diag(covariance)
            before = variance
            a, b = self._maximise(moments, a, b, first, second)
            # Only products matter; without this the factors drift apart.
            scale = np.sqrt(a.max() / b.max())
            a, b = np.maximum(a / scale, 1e-12), np.maximum(b * scale, 1e-12)
            if self.noise_std is None:
                rss = e.energy - 2.0 * mean @ e.moment + mean @ e.gram @ mean
                used = e.terms - float(np.sum(np.diag(covariance) / variance))
                precision = max(e.rows - used, 1.0) / max(float(rss), 1e-15 * e.energy + 1e-300)
            change = np.abs(a[first] * b[second] - before)
            if np.max(change) < 1e-6 * np.max(before):
                break
        return a[first] * b[second], iteration

    def _maximise(
        self, moments: np.ndarray, a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.update == "am":
            for _ in range(5):
                a = np.bincount(first, moments / b[second]) / np.bincount(first)
                b = np.bincount(second, moments / a[first]) / np.bincount(second)
            return a, b
        table = np.zeros((len(a), len(b)))
        table[first, second] = moments
        left, size, right = np.linalg.svd(table)
        return np.abs(left[:, 0]) * np.sqrt(size[0]), np.abs(right[0]) * np.sqrt(size[0])
