"""ChebCB: inverse gap weighting over per-arm Chebyshev regressions of the cost on a scalar context."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .policy import Policy, check_context, check_interval, check_number, loss_above
from .tsallis import draw

__all__ = ["ChebCB", "bounded_least_squares", "chebyshev_features"]


class ChebCB(Policy):
    """SquareCB with box-constrained least squares in Chebyshev features of the context.

    Parameters
    ----------
    arms : sequence
        Values to choose from.
    context_range : (float, float)
        Interval the contexts lie in.
    degree : int
        Of the Chebyshev polynomials; each arm has ``degree + 1`` coefficients.
    floor : float
        A cost no solve goes below, subtracted before learning (1 for iterations in the paper).
    seed : int

    Notes
    -----
    Every arm predicts its cost by a polynomial :math:`⟨θ_i, f(c)⟩`, fitted to its own rounds under
    the bounds :math:`|θ_{i0}| ≤ K` and :math:`|θ_{ij}| ≤ 2 K`, with `K` the largest cost so far (the
    released code's choice of the Lipschitz constant). Arms are drawn with probabilities
    :math:`1/(d + η (s_i - \\min s))`; the rest goes to the arm with the best prediction.

    The published code refits an arm from all its rounds, 10–30 ms a round at 5000 rounds. Here each
    arm keeps the triangular factor of its least-squares problem, updated by one small QR
    factorisation per round, and the bounds are imposed only when they are violated. Both fits are the
    same, and a round costs the same at any time.

    References
    ----------
    Khodak, Chow, Balcan and Talwalkar, "Learning to relax", ICLR 2024 (arXiv:2310.02246), Algorithm 3.
    Foster and Rakhlin, ICML 2020 (SquareCB).

    Examples
    --------
    >>> from sciml.tuning import ChebCB
    >>> policy = ChebCB([1.0, 1.5, 1.9], context_range=(0.0, 1.0), degree=2, seed=0)
    >>> for t in range(400):
    ...     omega = policy.propose(context=(t % 20) / 20)
    ...     policy.observe(10 + 40 * abs(omega - 1.5) + 5 * (t % 20) / 20)
    >>> int(policy.predict(0.5).argmin())
    1
    """

    _learned = ("_factors", "_coefficients", "_unbounded", "_misfits", "_largest", "_errors")
    _settings = ("context_range", "degree", "floor")

    def __init__(
        self,
        arms: Sequence[Any],
        *,
        context_range: tuple[float, float],
        degree: int = 5,
        floor: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(arms, seed=seed)
        if not isinstance(degree, int | np.integer) or degree < 0:
            raise ValueError(f"degree is {degree!r}; expected an integer >= 0")
        self.context_range = check_interval("context_range", context_range)
        self.degree, self.floor = int(degree), check_number("floor", floor, -math.inf)
        d, m = len(self.arms), self.degree + 1
        self._factors = np.zeros((d, m + 1, m + 1))  # R of [features, losses] per arm
        self._coefficients = np.zeros((d, m))
        self._unbounded = np.zeros((d, m))  # the fit without bounds
        self._misfits = np.zeros(d)  # sum of squared residuals of the present fits
        self._largest = 0.0  # loss so far
        self._errors = 0.0  # sum of squared errors of the predictions made before each round

    def predict(self, context: float) -> np.ndarray:
        """Predicted cost of every arm, shape ``(len(arms),)``."""
        context = self._check_context(context)
        return self.floor + self._coefficients @ chebyshev_features(context, self.context_range, self.degree)

    def _check_context(self, context: Any) -> float:
        return check_context(context, self.context_range)

    def _choose(self, context: float) -> Any:
        self._pending = draw(self._probabilities(context), self._rng)
        return self.arms[self._pending]

    def _probabilities(self, context: float) -> np.ndarray:
        d = len(self.arms)
        if self._largest <= 0.0 or d == 1:
            return np.full(d, 1.0 / d)
        scaled = self.predict(context) / self._scale
        best = int(scaled.argmin())
        p = 1.0 / (d + self._eta() * (scaled - scaled[best]))
        p[best] = 0.0
        p[best] = 1.0 - p.sum()
        return p

    @property
    def _scale(self) -> float:
        """``K N``, by which losses are divided in the analysis."""
        return self._largest * (2.0 + 4.0 * (1.0 + math.log(self.degree + 1)))

    def _eta(self) -> float:
        """The learning rate, from the regret of the regression so far and the approximation error α."""
        t, d, m = self.rounds, len(self.arms), self.degree
        alpha = (
            (math.pi + 2.0 / math.pi * math.log(2 * m + 1)) * self._largest / (2.0 * (m + 1) * self._scale)
        )
        regret = max(self._errors - float(self._misfits.sum()), 0.0) / self._scale**2
        return 2.0 * t * math.sqrt(d * t / (regret + 2.0 * alpha**2 * t))

    def _learn(self, cost: float, result: Any) -> None:
        i, loss = self._pending, loss_above(cost, self.floor)
        features = chebyshev_features(self._context, self.context_range, self.degree)
        self._errors += (float(self._coefficients[i] @ features) - loss) ** 2
        rows = np.vstack([self._factors[i], np.append(features, loss)])
        self._factors[i] = np.linalg.qr(rows, mode="r")
        R, z = self._factors[i, :-1, :-1], self._factors[i, :-1, -1]
        self._unbounded[i] = np.linalg.lstsq(R, z, rcond=1e-10)[0]  # of minimal norm while rounds are few
        grown = loss > self._largest
        self._largest = max(self._largest, loss)
        # Wider bounds concern every arm whose fit had met them.
        for arm in range(len(self.arms)) if grown else (i,):
            self._fit(arm)

    def _fit(self, arm: int) -> None:
        bounds = self._largest * np.append(1.0, np.full(self.degree, 2.0))
        R, z = self._factors[arm, :-1, :-1], self._factors[arm, :-1, -1]
        theta = self._unbounded[arm]
        if np.any(np.abs(theta) > bounds):
            theta = bounded_least_squares(R, z, bounds)
        self._coefficients[arm] = theta
        self._misfits[arm] = float(np.sum((R @ theta - z) ** 2)) + self._factors[arm, -1, -1] ** 2


def chebyshev_features(context: float, interval: tuple[float, float], degree: int) -> np.ndarray:
    """Chebyshev polynomials ``T_0 … T_degree`` of the context mapped to [-1, 1]."""
    low, high = interval
    x = min(max(2.0 * (context - low) / (high - low) - 1.0, -1.0), 1.0)
    return np.cos(np.arange(degree + 1) * math.acos(x))


def bounded_least_squares(R: np.ndarray, z: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """``argmin ‖R θ − z‖₂`` subject to ``|θ_j| ≤ bounds_j``, for a handful of unknowns.

    Parameters
    ----------
    R : array of shape ``(m, m)``
    z, bounds : arrays of shape ``(m,)``

    Notes
    -----
    The active-set method of Stark and Parker (BVLS, Comput. Stat. 10 (1995) 129–141), as SciPy's
    ``lsq_linear(method="bvls")``, without the general set-up that costs more than the solution here.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.tuning import bounded_least_squares
    >>> bounded_least_squares(np.eye(2), np.array([3.0, 0.5]), np.ones(2))
    array([1. , 0.5])
    """
    m = len(z)
    theta = np.zeros(m)
    free = np.zeros(m, dtype=bool)
    side = np.zeros(m)  # 0: interior (θ = 0 at the start), ±1: at that bound
    tolerance = 1e-12 * (np.abs(R).sum() * np.abs(z).max() + 1e-300)
    for _ in range(10 * m):
        descent = R.T @ (z - R @ theta)
        gain = np.where(free, 0.0, np.where(side == 0.0, np.abs(descent), -side * descent))
        enter = int(gain.argmax())
        if gain[enter] <= tolerance:
            break
        free[enter], side[enter] = True, 0.0
        while free.any():
            fixed = np.where(free, 0.0, theta)
            target = np.linalg.lstsq(R[:, free], z - R @ fixed, rcond=1e-10)[0]
            here, limit = theta[free], bounds[free]
            outside = np.abs(target) > limit
            if not outside.any():
                theta[free] = target
                break
            # Go as far as the first bound and leave that unknown there.
            reach = np.where(outside, np.copysign(limit, target), target)
            with np.errstate(divide="ignore", invalid="ignore"):
                fraction = np.where(outside, (reach - here) / (target - here), np.inf)
            stop = int(fraction.argmin())
            step = min(max(float(fraction[stop]), 0.0), 1.0)
            moved = here + step * (target - here)
            index = np.flatnonzero(free)
            theta[index] = moved
            theta[index[stop]] = reach[stop]
            side[index[stop]], free[index[stop]] = np.sign(reach[stop]), False
    return theta
