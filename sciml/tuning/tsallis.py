"""Tsallis-INF over a grid of arms, without context and with binned contexts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .policy import Policy, check_context, check_interval, check_number

__all__ = ["BinnedTsallisINF", "TsallisINF", "draw", "tsallis_weights"]

ESTIMATORS = ("reduced-variance", "importance-weighted")


class TsallisINF(Policy):
    """Tsallis-INF: follow the regularised leader with the ½-Tsallis entropy, for any sequence of costs.

    Parameters
    ----------
    arms : sequence
        Values to choose from.
    estimator : {"reduced-variance", "importance-weighted"}
        How the loss of the arms that were not played is estimated. Both are unbiased; the first
        subtracts a baseline before it divides by the probability.
    floor : float
        A cost no solve goes below, subtracted before learning (1 for iterations in the paper).
    seed : int

    Notes
    -----
    With the cumulated loss estimates :math:`k`, the scale :math:`K` (the running mean of the losses) and
    :math:`η_t = 2/\\sqrt t` the probabilities are :math:`p_i = 4 / (η_t (k_i/K - x))^2`, where Newton's
    method finds the :math:`x < \\min k/K` at which they sum to one (`tsallis_weights`). The regret
    against the best fixed arm is of order :math:`\\sqrt{dT}` for `d` arms, whatever the costs.

    References
    ----------
    Khodak, Chow, Balcan and Talwalkar, "Learning to relax", ICLR 2024 (arXiv:2310.02246), Algorithm 2.
    Zimmert and Seldin, J. Mach. Learn. Res. 22 (2021), equation 5 (reduced variance).

    Examples
    --------
    >>> from sciml.tuning import TsallisINF
    >>> policy = TsallisINF([1.0, 1.5, 1.9], seed=0)
    >>> for _ in range(300):
    ...     omega = policy.propose()
    ...     policy.observe(10 + 40 * abs(omega - 1.5))
    >>> int(policy.probabilities.argmax())
    1
    """

    _learned = ("losses", "_total")
    _settings = ("estimator", "floor")

    def __init__(
        self, arms: Sequence[Any], *, estimator: str = "reduced-variance", floor: float = 0.0, seed: int = 0
    ):
        super().__init__(arms, seed=seed)
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator is {estimator!r}; expected one of {', '.join(ESTIMATORS)}")
        self.estimator = estimator
        self.floor = check_number("floor", floor, -math.inf)
        self.losses = np.zeros(len(self.arms))
        self._total = 0.0  # of the losses paid
        self._p = np.full(len(self.arms), 1.0 / len(self.arms))

    @property
    def probabilities(self) -> np.ndarray:
        """The probabilities of the arms in the next round, shape ``(len(arms),)``."""
        if self._total <= 0.0:
            return np.full(len(self.arms), 1.0 / len(self.arms))
        return tsallis_weights(self.losses / self._scale, self._eta)

    @property
    def _eta(self) -> float:
        return 2.0 / math.sqrt(self.rounds + 1)

    @property
    def _scale(self) -> float:
        return self._total / self.rounds

    def _choose(self, context: Any) -> Any:
        self._p = self.probabilities
        self._pending = draw(self._p, self._rng)
        return self.arms[self._pending]

    def _learn(self, cost: float, result: Any) -> None:
        i, loss, p = self._pending, cost - self.floor, self._p[self._pending]
        self._total += loss
        if self.estimator == "reduced-variance" and self.rounds > 0:
            # The baseline is half the loss scale on the arms likely enough to be estimated well.
            baseline = np.where(self._p >= self._eta**2, 0.5 * self._total / (self.rounds + 1), 0.0)
            self.losses += baseline
            loss -= baseline[i]
        self.losses[i] += loss / p

    def _restored(self) -> None:
        # Between rounds nothing but the learned numbers decides the probabilities.
        self._p = self.probabilities


class BinnedTsallisINF(Policy):
    """One independent `TsallisINF` per bin of a scalar context.

    Parameters
    ----------
    arms : sequence
    context_range : (float, float)
        Interval the contexts lie in.
    bins : int
        Bins of equal width.
    estimator, floor, seed
        As for `TsallisINF`.

    References
    ----------
    Khodak et al. (arXiv:2310.02246), Algorithm 5.

    Examples
    --------
    >>> from sciml.tuning import BinnedTsallisINF
    >>> policy = BinnedTsallisINF([1.0, 1.5], context_range=(0.0, 1.0), bins=4)
    >>> policy.propose(0.9) in (1.0, 1.5)
    True
    """

    _learned = ("_bin",)
    _settings = ("bins", "context_range")

    def __init__(
        self, arms: Sequence[Any], *, context_range: tuple[float, float], bins: int = 5,
        estimator: str = "reduced-variance", floor: float = 0.0, seed: int = 0,
    ):  # fmt: skip
        super().__init__(arms, seed=seed)
        if not isinstance(bins, int | np.integer) or bins < 1:
            raise ValueError(f"bins is {bins!r}; expected an integer >= 1")
        self.context_range = check_interval("context_range", context_range)
        self.bins = int(bins)
        seeds = self._rng.integers(2**31, size=self.bins)
        self.members = tuple(
            TsallisINF(arms, estimator=estimator, floor=floor, seed=int(member)) for member in seeds
        )
        self._bin = 0

    def _parts(self) -> Sequence[Policy]:
        return self.members

    def _check_context(self, context: Any) -> float:
        return check_context(context, self.context_range)

    def _choose(self, context: float) -> Any:
        low, high = self.context_range
        self._bin = min(int((context - low) / (high - low) * self.bins), self.bins - 1)
        member = self.members[self._bin]
        arm = member.propose()
        self._pending = member._pending
        return arm

    def _learn(self, cost: float, result: Any) -> None:
        self.members[self._bin].observe(cost)


def tsallis_weights(losses: np.ndarray, eta: float) -> np.ndarray:
    """The minimiser of ``⟨losses, p⟩ − (4/η) Σ √p`` over the probability simplex.

    Parameters
    ----------
    losses : array of shape ``(d,)``
    eta : float
        Positive learning rate.

    Returns
    -------
    array of shape ``(d,)``
        :math:`p_i = 4 / (η (k_i - x))^2`, summing to one up to rounding.

    Notes
    -----
    Newton's method for `x` starts at ``min(losses) − 2/η``. There the largest weight is one, so the sum
    is at least one; the sum is convex and increasing in `x`, hence the iteration descends monotonically
    to the root and needs no safeguard. (Started left of the root it may leap beyond the pole.)

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.tuning import tsallis_weights
    >>> tsallis_weights(np.array([0.0, 0.0]), 0.1)
    array([0.5, 0.5])
    """
    gap = (losses - losses.min()) * (0.5 * eta)
    x = -1.0  # in units of 2/η, relative to the smallest loss
    for _ in range(60):
        root = 1.0 / (gap - x)
        p = root * root
        excess = float(root @ root) - 1.0
        if excess <= 1e-13:
            break
        x -= excess / (2.0 * float(p @ root))
    return p / p.sum()


def draw(p: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn with probabilities `p`."""
    return min(int(np.searchsorted(np.cumsum(p), rng.random(), side="right")), len(p) - 1)
