"""What a learned policy is compared with: one arm for ever, the best of them in hindsight, and an oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .policy import Policy

__all__ = ["BestFixed", "Fixed", "Oracle"]


class Fixed(Policy):
    """Always the same arm.

    Examples
    --------
    >>> from sciml.tuning import Fixed
    >>> Fixed(1.5).propose()
    1.5
    """

    def __init__(self, arm: Any):
        super().__init__([arm])

    def _choose(self, context: Any) -> Any:
        self._pending = 0
        return self.arms[0]


class BestFixed(Policy):
    """The arm with the smallest total cost in hindsight.

    Parameters
    ----------
    arms : sequence
    costs : array of shape ``(rounds, len(arms))``
        What every arm costs in every round; known only after the fact, in an experiment.

    Examples
    --------
    >>> from sciml.tuning import BestFixed
    >>> BestFixed([1.0, 1.5], [[9, 5], [8, 7]]).propose()
    1.5
    """

    _settings = ("best",)

    def __init__(self, arms: Sequence[Any], costs: Any):
        super().__init__(arms)
        table = np.asarray(costs, dtype=float)
        if table.ndim != 2 or table.shape[1] != len(self.arms) or not table.size:
            raise ValueError(f"costs has shape {table.shape}; expected (rounds, {len(self.arms)})")
        if not np.all(np.isfinite(table)):
            raise ValueError("costs holds a value that is not finite; count a failed solve as its cap")
        self.best = int(table.sum(axis=0).argmin())

    def _choose(self, context: Any) -> Any:
        self._pending = self.best
        return self.arms[self.best]


class Oracle(Policy):
    """The arm a function knows to be right for the context.

    Parameters
    ----------
    function : callable
        ``function(context) -> arm``: Young's formula at a known Jacobi radius, or a search over the arms
        on the very instance.

    Examples
    --------
    >>> import math
    >>> from sciml.tuning import Oracle, young_omega
    >>> oracle = Oracle(lambda c: young_omega(4 * math.cos(math.pi / 11) / (4 + c)))
    >>> round(oracle.propose(context=0.0), 4)
    1.5604
    """

    def __init__(self, function: Callable[[Any], Any]):
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}; expected a callable of the context")
        super().__init__([function])
        self.function = function

    def _choose(self, context: Any) -> Any:
        self._pending = 0
        return self.function(context)
