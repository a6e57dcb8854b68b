"""Schedules: the factor of the learning rate at every step of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.ndimage import median_filter

__all__ = ["Constant", "LinearDecay", "Refined", "Schedule", "described"]


class Schedule(Protocol):
    """Anything callable will do; its ``repr`` says in a checkpoint which one a run had."""

    def __call__(self, step: int, steps: int) -> float:
        """Factor of the learning rate at `step` (from 0) of `steps`."""


def described(schedule: Schedule) -> str:
    """Its ``repr``, without the address in memory that a function has there: no later run would match it."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(schedule))


@dataclass(frozen=True)
class LinearDecay:
    """Rise linearly over the share `warmup` of the run, then fall linearly to zero.

    Linear decay is the schedule that last-iterate theory gives for subgradient descent (Defazio, Cutkosky,
    Mehta and Mishchenko, arXiv:2310.07831).

    Examples
    --------
    >>> from sciml.learned.schedules import LinearDecay
    >>> [LinearDecay(0)(step, 4) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """

    warmup: float = 0.02

    def __post_init__(self) -> None:
        if not 0.0 <= self.warmup < 1.0:
            raise ValueError(f"warmup is {self.warmup!r}; expected a share of the run in [0, 1)")

    def __call__(self, step: int, steps: int) -> float:
        rise = self.warmup * steps
        if step < rise:
            return (step + 1) / (rise + 1)
        return (steps - step) / (steps - rise)


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    def __call__(self, step: int, steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Refined:
    r"""A schedule from the gradients of a run before this one.

    With the norm :math:`G_t` of the gradient at step `t` of `T`, smoothed by a running median,

    .. math:: η_t \propto w_t \sum_{s=t+1}^{T} w_s, \qquad w_t = G_t^{-q},

    scaled to a largest value of one (Defazio, Cutkosky, Mehta and Mishchenko, *When, why and how much?
    Adaptive learning rate scheduling by refinement*, arXiv:2310.07831). Equal norms give linear decay; large
    gradients at the start give a warm-up, gradients that grow towards the end a faster decay.

    Parameters
    ----------
    gradients : sequence of float
        Norms of the gradient at every step: ``history.metrics["gradient"]`` of a run that was trained with
        another schedule. A run of another length gets the same curve, stretched.
    power : float
        `q`. 2 is what the analysis of gradient descent gives; with 1 the schedule suits steps whose size
        does not grow with the gradient, those of Adam.
    smoothing : float
        Width of the median, as a share of the run.

    Raises
    ------
    ValueError
        For norms that are not positive and finite, or fewer than ten of them.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.schedules import Refined
    >>> refined = Refined(np.ones(100))
    >>> [round(refined(step, 100), 2) for step in (0, 50, 99)]
    [1.0, 0.49, 0.0]
    >>> warm = Refined(np.where(np.arange(100) < 20, 5.0, 1.0))
    >>> [round(warm(step, 100), 2) for step in (0, 20, 60)]
    [0.21, 1.0, 0.49]
    """

    gradients: Sequence[float] = field(repr=False)
    power: float = 1.0
    smoothing: float = 0.1
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        norms = np.asarray(self.gradients, dtype=float)
        if norms.ndim != 1 or len(norms) < 10 or not (np.isfinite(norms) & (norms > 0)).all():
            raise ValueError(
                f"gradients has {norms.size} values; expected at least ten positive norms, one for each step"
            )
        if not self.power > 0:
            raise ValueError(f"power is {self.power!r}; expected a positive number")
        if not 0.0 <= self.smoothing <= 1.0:
            raise ValueError(f"smoothing is {self.smoothing!r}; expected a share of the run in [0, 1]")
        width = 2 * round(self.smoothing * len(norms) / 2) + 1  # odd, or the curve is shifted
        weights = median_filter(norms, width, mode="nearest") ** -self.power
        factors = weights * (weights.sum() - np.cumsum(weights))
        factors[-1] = 0.0  # the sum over nothing, which rounding may leave a little off
        factors /= factors.max()
        object.__setattr__(self, "_factors", factors)
        object.__setattr__(self, "digest", hashlib.sha256(factors.tobytes()).hexdigest()[:12])

    def __call__(self, step: int, steps: int) -> float:
        factors: np.ndarray = self.__dict__["_factors"]
        at = step * (len(factors) - 1) / max(1, steps - 1)
        return float(np.interp(at, np.arange(len(factors)), factors))
