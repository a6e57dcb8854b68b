"""From a table of times to a few members and a predictor of which one is fastest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...preconditioners.learned_multigrid import LEVELS, Policy, inputs
from .search import TOLERANCES

__all__ = ["choose_penalty", "fit_predictor", "greedy_portfolio", "pack", "regret"]


def greedy_portfolio(seconds: np.ndarray, members: int) -> list[int]:
    """Settings that together have the smallest mean logarithm of the best time, added one by one.

    Parameters
    ----------
    seconds : array (problems, settings, tolerances)
    members : int

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.multigrid.portfolio import greedy_portfolio
    >>> greedy_portfolio(np.array([[[1.0], [3.0], [2.0]], [[9.0], [1.0], [2.0]]]), 2)
    [1, 0]
    """
    logs = np.log(seconds)
    best = np.full((logs.shape[0], logs.shape[2]), np.inf)
    chosen: list[int] = []
    for _ in range(min(members, logs.shape[1])):
        gain = np.minimum(best[:, None, :], logs).mean(axis=(0, 2))
        gain[chosen] = np.inf
        chosen.append(int(np.argmin(gain)))
        best = np.minimum(best, logs[:, chosen[-1], :])
    return chosen


def fit_predictor(features: np.ndarray, seconds: np.ndarray, ridge: float, margin: float = 0.0) -> np.ndarray:
    """Coefficients of the linear predictor of the log time relative to the first member.

    Parameters
    ----------
    features : array (problems, features)
    seconds : array (problems, members, tolerances)
    ridge : float
        Weight of the penalty, per observation.
    margin : float
        Added to the prediction of all members but the first: what a change must promise to be made.
    """
    X = np.array([inputs(f, rtol) for f in features for rtol in TOLERANCES])
    logs = np.log(seconds).transpose(0, 2, 1).reshape(X.shape[0], -1)
    Y = logs - logs[:, :1]
    # Differences of more than a factor two are all the same: never choose.
    Y = np.clip(Y, -0.7, 0.7)
    scale = np.sqrt((X**2).mean(axis=0))
    scale[scale == 0] = 1.0
    Z = X / scale
    penalty = ridge * X.shape[0] * np.eye(X.shape[1])
    penalty[0, 0] = 0.0
    W = np.linalg.solve(Z.T @ Z + penalty, Z.T @ Y)
    coefficients = np.ascontiguousarray((W / scale[:, None]).T)
    coefficients[1:, 0] += margin
    return coefficients


def regret(coefficients: np.ndarray, features: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Log time of the chosen member over that of the best one, for every problem and tolerance."""
    logs = np.log(seconds)
    out = np.empty((logs.shape[0], logs.shape[2]))
    for i, f in enumerate(features):
        for t, rtol in enumerate(TOLERANCES):
            member = int(np.argmin(coefficients @ inputs(f, rtol)))
            out[i, t] = logs[i, member, t] - logs[i, :, t].min()
    return out


def choose_penalty(
    features: np.ndarray, seconds: np.ndarray, groups: Sequence[Any]
) -> tuple[float, float, float]:
    """Ridge and margin with the smallest mean regret on left-out instances, and that regret.

    Each fold leaves out one instance of every group, so that all groups stay represented.
    """
    order = np.zeros(len(groups), int)
    count: dict[Any, int] = {}
    for i, group in enumerate(groups):
        order[i] = count.get(group, 0)
        count[group] = order[i] + 1
    folds = [order % max(2, max(count.values())) == k for k in range(max(count.values()))]
    scores: dict[tuple[float, float], float] = {}
    for ridge, margin in itertools.product((1e-3, 1e-2, 1e-1), (0.0, 0.02, 0.05, 1.0)):
        total = []
        for out in folds:
            if out.all() or not out.any():
                continue
            coefficients = fit_predictor(features[~out], seconds[~out], ridge, margin)
            total.append(regret(coefficients, features[out], seconds[out]).mean())
        scores[ridge, margin] = float(np.mean(total)) if total else 0.0
    best = min(scores, key=lambda key: scores[key])
    return (*best, scores[best])


def pack(members: Sequence[dict[str, Any]], coefficients: np.ndarray) -> Policy:
    """A `Policy` of these settings."""

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
        coefficients=coefficients,
    )
