"""From a table of times to a few members and a predictor of which one is fastest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...preconditioners.learned_multigrid import KINDS, LEVELS, TOLERANCES, Policy, Predictor, inputs
from ...preconditioners.multigrid.features import FEATURES

__all__ = ["fit_predictor", "greedy_portfolio", "pack", "regret", "train_predictor"]

PENALTIES = tuple(itertools.product((1e-3, 1e-2, 1e-1), (0.0, 0.02, 0.05, 0.1, 0.2)))
"""Ridges and margins to choose from."""


def greedy_portfolio(seconds: np.ndarray, members: int, first: Sequence[int] = ()) -> list[int]:
    """Settings that together have the smallest mean logarithm of the best time, added one by one.

    Parameters
    ----------
    seconds : array (problems, settings, tolerances)
    members : int
    first : sequence of int
        Settings that are members in any case; repetitions count once.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.multigrid.portfolio import greedy_portfolio
    >>> greedy_portfolio(np.array([[[1.0], [3.0], [2.0]], [[9.0], [1.0], [2.0]]]), 2)
    [1, 0]
    """
    logs = np.log(seconds)
    chosen = list(dict.fromkeys(first))
    best = logs[:, chosen, :].min(axis=1, initial=np.inf)
    while len(chosen) < min(members, logs.shape[1]):
        gain = np.minimum(best[:, None, :], logs).mean(axis=(0, 2))
        gain[chosen] = np.inf
        chosen.append(int(np.argmin(gain)))
        best = np.minimum(best, logs[:, chosen[-1], :])
    return chosen


def fit_predictor(
    features: np.ndarray, seconds: np.ndarray, usual: Sequence[int], ridge: float
) -> np.ndarray:
    """Coefficients of the linear predictor of the log time relative to the usual member.

    Parameters
    ----------
    features : array (problems, features)
    seconds : array (problems, members, tolerances)
    usual : sequence of int
        The member for each tolerance that the others are compared with.
    ridge : float
        Weight of the penalty, per observation.
    """
    X = np.array([inputs(f, rtol) for f in features for rtol in TOLERANCES])
    # Differences of more than a factor two are all the same: never choose.
    Y = np.clip(_relative(seconds, usual), -0.7, 0.7).transpose(0, 2, 1).reshape(X.shape[0], -1)
    scale = np.sqrt((X**2).mean(axis=0))
    scale[scale == 0] = 1.0
    Z = X / scale
    penalty = ridge * X.shape[0] * np.eye(X.shape[1])
    penalty[0, 0] = 0.0
    W = np.linalg.solve(Z.T @ Z + penalty, Z.T @ Y)
    return np.ascontiguousarray((W / scale[:, None]).T)


def _relative(seconds: np.ndarray, usual: Sequence[int]) -> np.ndarray:
    """Log time over that of the usual member of each tolerance."""
    logs = np.log(seconds)
    return logs - logs[:, list(usual), range(len(TOLERANCES))][:, None, :]


def regret(predictor: Predictor, features: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Log time of the chosen member over that of the best one, for every problem and tolerance."""
    logs = np.log(seconds)
    out = np.empty((logs.shape[0], logs.shape[2]))
    for i, f in enumerate(features):
        for t, rtol in enumerate(TOLERANCES):
            out[i, t] = logs[i, predictor.choose(f, rtol), t] - logs[i, :, t].min()
    return out


def train_predictor(
    features: np.ndarray, seconds: np.ndarray, usual: Sequence[int], groups: Sequence[Any]
) -> tuple[Predictor, dict[str, float]]:
    """A predictor with the ridge and the margin that do best on left-out instances.

    Each fold leaves out one instance of every group, so that all groups stay represented. Of all pairs whose
    regret exceeds the smallest by no more than a standard error of the difference, the one with the largest
    margin (then ridge) is taken: where the data cannot tell, the usual members stay.

    Returns
    -------
    Predictor
    dict
        ``ridge``, ``margin`` and ``regret_left_out``, how much longer than the best member the chosen one
        takes on left-out instances, on average, as a share.
    """
    order = np.zeros(len(groups), int)
    count: dict[Any, int] = {}
    for i, group in enumerate(groups):
        order[i] = count.get(group, 0)
        count[group] = order[i] + 1
    folds = [order % max(2, max(count.values())) == k for k in range(max(count.values()))]
    folds = [out for out in folds if out.any() and not out.all()]

    def fitted(of: Any, ridge: float, margin: float) -> Predictor:
        return Predictor(fit_predictor(features[of], seconds[of], usual, ridge), np.array(usual), margin)

    scores = {}
    for ridge, margin in PENALTIES if folds else ():
        found = [
            regret(fitted(~out, ridge, margin), features[out], seconds[out]).mean(axis=1) for out in folds
        ]
        scores[margin, ridge] = np.concatenate(found)
    if not folds:  # nothing to leave out
        scores = {max(PENALTIES)[::-1]: np.zeros(1)}
    best = min(scores.values(), key=lambda found: found.mean())

    def close(found: np.ndarray) -> bool:
        worse = found - best
        return bool(worse.mean() <= worse.std() / np.sqrt(worse.size))

    margin, ridge = max(key for key, found in scores.items() if close(found))
    left_out = float(np.expm1(scores[margin, ridge].mean()))
    notes = {"ridge": ridge, "margin": margin, "regret_left_out": left_out}
    return fitted(slice(None), ridge, margin), notes


def pack(members: Sequence[dict[str, Any]], predictors: Sequence[Predictor] | None = None) -> Policy:
    """A `Policy` of these settings, with a predictor for each of `KINDS`; without any the first one stays."""
    if predictors is None:
        none = np.zeros((len(members), 2 * len(FEATURES) + 2))
        predictors = [Predictor(none, np.zeros(len(TOLERANCES)), 0.0)] * len(KINDS)

    def rows(name: str, default: Any) -> np.ndarray:
        out = []
        for m in members:
            value = m.get(name)
            value = np.atleast_1d(np.asarray(default if value is None else value, float))
            out.append(value[np.minimum(np.arange(LEVELS), value.size - 1)])
        return np.array(out)

    codes = {None: -1.0, "auto": -2.0}
    smooth = [m.get("smooth_from", "auto") for m in members]
    return Policy(
        omega=rows("omega", (1.1, 1.3)),
        coarse_scaling=rows("coarse_scaling", 0.5),
        damping=rows("damping", 2 / 3),
        sweeps=rows("sweeps", (2, 2, 2, 4)),
        strength=np.array([float(m.get("strength") or 0.0) for m in members]),
        smooth_from=np.array([codes[s] if s in codes else float(s) for s in smooth]),
        cycle=np.array([float(m.get("cycle", "V") == "W") for m in members]),
        coefficients=np.array([p.coefficients for p in predictors]),
        usual=np.array([p.usual for p in predictors], float),
        margin=np.array([p.margin for p in predictors]),
    )
