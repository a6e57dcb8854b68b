"""Greedy search for the support of highest evidence (lowest BIC), and its stability under resampling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from .normal_equations import NormalEquations
from .sparse_fit import SparseFit, bic, describe

__all__ = ["evidence_path", "stability_selection"]


def evidence_path(
    equations: NormalEquations,
    *,
    noise_std: float | None = None,
    margin: float = 6.0,
    effective_rows: float | None = None,
    floor: np.ndarray | None = None,
    start: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
) -> SparseFit:
    """The support of highest evidence, by adding, removing and exchanging terms, one or two at a time.

    Parameters
    ----------
    equations : NormalEquations
    noise_std : float, optional
        Standard deviation of a row where it is known; otherwise the residual estimates it.
    margin : float
        Added to the BIC for every term: a term enters only where its Bayes factor exceeds
        ``exp(margin / 2)``.
    effective_rows : float, optional
        Number of independent rows, where rows are correlated.
    floor : ndarray, shape (p,), optional
        Terms with a coefficient of smaller absolute value are left out whatever their evidence.
    start : ndarray of bool, optional
        Support to start from; empty by default.
    allowed : ndarray of bool, optional
        Columns that may be used.

    Returns
    -------
    SparseFit
        ``info["path"]`` lists the supports on the way with their log evidences.

    References
    ----------
    Schwarz, Ann. Statist. 6 (1978) 461–464.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import NormalEquations, evidence_path
    >>> rng = np.random.default_rng(1)
    >>> X = rng.standard_normal((300, 6))
    >>> y = X @ [0, 0, 1.0, 0, -0.5, 0] + 0.3 * rng.standard_normal(300)
    >>> evidence_path(NormalEquations.of(X, y), noise_std=0.3).support
    array([False, False,  True, False,  True, False])
    """
    p = equations.terms
    rows = float(equations.rows if effective_rows is None else effective_rows)
    lowest = np.zeros(p) if floor is None else np.asarray(floor, dtype=float)
    usable = np.ones(p, dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)

    def score(support: np.ndarray) -> float:
        return bic(equations, support, noise_std, rows) + margin * float(support.sum())

    def first(pair: tuple[float, np.ndarray]) -> float:
        return pair[0]

    support = np.zeros(p, dtype=bool) if start is None else (np.asarray(start, dtype=bool) & usable)
    current = score(support)
    path = [(support.copy(), -0.5 * current)]
    while True:
        single = [_flipped(support, j) for j in range(p) if usable[j]]
        best, chosen = min(((score(s), s) for s in single), key=first, default=(current, support))
        if best >= current - 1e-9:
            exchanged = [
                _flipped(_flipped(support, i), j)
                for i in np.flatnonzero(support).tolist()
                for j in np.flatnonzero(~support & usable).tolist()
            ]
            best, chosen = min(((score(s), s) for s in exchanged), key=first, default=(current, support))
        if best >= current - 1e-9:
            # Two columns that are nearly alike may explain together what neither explains alone.
            outside = np.flatnonzero(~support & usable).tolist()
            both = [_flipped(_flipped(support, i), j) for i, j in itertools.combinations(outside, 2)]
            best, chosen = min(((score(s), s) for s in both), key=first, default=(current, support))
        if best >= current - 1e-9:
            break
        support, current = chosen, best
        path.append((support.copy(), -0.5 * current))
    while support.any():  # below the floor, weakest first: the others take over its part
        w, _ = equations.solve(support)
        missing = np.abs(w) - lowest[support]
        weakest = int(np.argmin(missing / np.maximum(np.abs(w), 1e-300)))
        if missing[weakest] >= 0.0:
            break
        support = _flipped(support, int(np.flatnonzero(support)[weakest]))
    return describe(equations, support, noise_std=noise_std, effective_rows=rows, info={"path": path})


def stability_selection(
    parts: Sequence[NormalEquations],
    fit: Callable[[NormalEquations], SparseFit],
    *,
    resamples: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """How often each term is selected when half of the data is used.

    Parameters
    ----------
    parts : sequence of NormalEquations
        One per independent part of the data (a snapshot).
    fit : callable
        ``fit(equations) -> SparseFit``.
    resamples : int
        Random halves, drawn in complementary pairs.
    seed : int

    Returns
    -------
    ndarray, shape (p,)
        Selection frequencies between 0 and 1.

    References
    ----------
    Meinshausen and Bühlmann, J. R. Stat. Soc. B 72 (2010) 417–473; complementary pairs: Shah and Samworth,
    J. R. Stat. Soc. B 75 (2013) 55–80.
    """
    if len(parts) < 2:
        raise ValueError(
            f"parts has length {len(parts)}; expected at least two independent parts of the data"
        )
    rng = np.random.default_rng(seed)
    counts = np.zeros(parts[0].terms)
    total = 0
    for _ in range((resamples + 1) // 2):
        order = rng.permutation(len(parts))
        half = len(parts) // 2
        for chosen in (order[:half], order[half : 2 * half]):
            together = parts[chosen[0]]
            for i in chosen[1:]:
                together = together + parts[i]
            counts += fit(together).support
            total += 1
    return counts / total


def _flipped(support: np.ndarray, j: int) -> np.ndarray:
    other = support.copy()
    other[j] = ~other[j]
    return other
