"""When anchored iterations restart, and how primal and dual steps are balanced then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["Balance", "Restart"]


class Restart:
    r"""Decides after each iteration whether the anchor moves to the current point.

    ``"adaptive"`` restarts when the fixed-point residual `r` has fallen to a fifth of its value at the
    anchor; or to four fifths and has begun to rise; or when this run is longer than 36 % of all
    iterations. Linear inclusions and linear programs are sharp, so restarts turn the O(1/k) of the
    anchored iteration into linear convergence.

    Source: Applegate et al., Math. Programming 201 (2023) 133-184, with the constants of Lu, Peng and
    Yang, cuPDLPx (arXiv:2507.14051).

    Parameters
    ----------
    rule : "adaptive", int or None
        An integer restarts every so many iterations, None never.
    """

    SUFFICIENT, NECESSARY, LONG = 0.2, 0.8, 0.36

    def __init__(self, rule: Any):
        if not (rule is None or rule == "adaptive" or (isinstance(rule, int) and rule > 0)):
            raise ValueError(
                f"restart is {rule!r}; expected 'adaptive', a positive number of iterations or None"
            )
        self.rule = rule
        self.count = self.total = 0
        self.begin()

    def begin(self) -> None:
        """Start a new run from a new anchor."""
        self.inner, self.first, self.last = 0, math.nan, math.inf

    def decide(self, residual: float, iterations: int = 1, force: bool = False) -> bool:
        """Whether to restart now, `iterations` after the last call; an adaptive rule heeds `force`."""
        self.inner += iterations
        self.total += iterations
        if math.isnan(self.first):
            self.first, self.last = residual, residual
            return self.rule == 1
        rising, self.last = residual > self.last, residual
        if self.rule is None:
            return False
        if self.rule != "adaptive":
            again = self.inner >= self.rule
        else:
            again = (
                residual <= self.SUFFICIENT * self.first
                or (residual <= self.NECESSARY * self.first and rising)
                or self.inner >= self.LONG * self.total
            )
            # A run shorter than this says nothing about its rate.
            again = (again and self.inner >= 4) or force
        if again:
            self.count += 1
        return again

    def rate(self) -> float:
        """Decades per iteration by which the residual fell in this run."""
        if not self.first > 0 or not self.last > 0:
            return math.inf
        return math.log10(self.first / self.last) / max(self.inner, 1)


class Balance:
    """The primal weight: one positive number that trades the primal step against the dual one.

    At a restart the weight moves towards the ratio of the distances travelled, ``‖Δx‖/‖Δy‖``, as the
    linear-programming codes do. That ratio misleads on games, where one player settles early, so a
    move is kept only while runs stay about as fast as the fastest seen; otherwise the weight
    returns to the best one and later moves are half as long.
    """

    TOLERATED = 0.7  # of the best rate
    FORGET = 0.9  # the best rate fades, because early runs are the easy ones
    RANGE = 100.0  # times the first weight, either way: extreme weights let the residual of one part swing

    def __init__(self, weight: float, adaptive: bool):
        self.weight = self.best = self.first = weight
        self.best_rate, self.length, self.adaptive = -math.inf, 0.5, adaptive

    def update(self, ratio: float, rate: float) -> float:
        """The weight for the next run, given the ratio of distances and the rate of the last run."""
        if not self.adaptive or not 0 < ratio < math.inf or not math.isfinite(rate):
            return self.weight
        if rate >= self.TOLERATED * self.best_rate:
            self.best = self.weight
            self.best_rate = max(rate, self.FORGET * self.best_rate)
        else:
            self.length *= 0.5
            self.best_rate *= self.FORGET
        step = self.length * math.log(ratio / self.best)
        moved = self.best * math.exp(float(np.clip(step, -2.0, 2.0)))
        self.weight = float(np.clip(moved, self.first / self.RANGE, self.first * self.RANGE))
        return self.weight
