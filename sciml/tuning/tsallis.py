"""Tsallis-INF over a grid of arms, without context and with binned contexts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .policy import Policy, check_context, check_interval, check_number, loss_above

__all__ = ["BinnedTsallisINF", "TsallisINF", "draw", "tsallis_weights"]

ESTIMATORS = ("reduced-variance", "importance-weighted")


class TsallisINF(Policy):
    """Tsallis-INF: follow the regularised leader with the ½-Tsallis entropy, for any sequence of costs.

    Parameters
    ----------
    arms : sequence
        Values to choose from.
    estimator : {"reduced-variance", "importance-weighted"}
        How the losses of all arms are estimated from the one that was played. Both are unbiased; the
        first subtracts the mean loss so far before it divides by the probability, on arms with
        :math:`p_i ≥ η_t^2/4` (Zimmert and Seldin subtract half the range of the losses, not known here).
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
    Zimmert and Seldin, J. Mach. Learn. Res. 22 (2021), 1–49 (reduced variance).

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
        i, loss, p = self._pending, loss_above(cost, self.floor), self._p[self._pending]
        excess = loss
        if self.estimator == "reduced-variance" and self.rounds > 0:
            # Any baseline known before the round leaves the estimates unbiased; the mean loss centres them.
            baseline = self._scale * (self._p >= 0.25 * self._eta**2)
            self.losses += baseline
            excess -= baseline[i]
        self.losses[i] += excess / p
        self._total += loss

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
        self,
        arms: Sequence[Any],
        *,
        context_range: tuple[float, float],
        bins: int = 5,
        estimator: str = "reduced-variance",
        floor: float = 0.0,
        seed: int = 0,
    ):
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

    def _check_learned(self, learned: dict[str, Any]) -> None:
        super()._check_learned(learned)
        self.members[learned["_bin"]]  # an error where there is no such bin

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
    r"""The minimiser of ``⟨losses, p⟩ − (4/η) Σ √p`` over the probability simplex.

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
    With :math:`S(x) = \sum p_i`, Newton's method is applied to :math:`S^{-1/2} = 1`, from the safe start
    ``x = min(losses) − 2/η`` where the largest weight is one. :math:`S^{-1/2}` is a power mean of the
    distances :math:`k_i - x` and hence concave, and `S` is at least one at the start: the iteration descends
    monotonically to the root and needs no safeguard. It takes some five steps, about two thirds of those of
    Newton's method for :math:`S = 1` itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.tuning import tsallis_weights
    >>> tsallis_weights(np.array([0.0, 0.0]), 0.1)
    array([0.5, 0.5])
    """
    gap = (losses - losses.min()) * (0.5 * eta)
    distance = 1.0  # of x below the smallest loss, in units of 2/η
    for _ in range(60):
        root = 1.0 / (gap + distance)
        p = root * root
        total = float(root @ root)
        if total <= 1.0 + 1e-13:
            break
        distance += total * (math.sqrt(total) - 1.0) / float(p @ root)
    return p / p.sum()


def draw(p: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn with probabilities `p`."""
    return min(int(p.cumsum().searchsorted(rng.random(), side="right")), len(p) - 1)
