"""Observations for the discovery of model errors: sporadic pairs of snapshots, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["DiscoveryWarning", "Snapshots"]


class DiscoveryWarning(UserWarning):
    """Data or result that a discovery can be computed from, but that should not be trusted blindly."""


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Pairs of observed states a known time apart; pairs may be sporadic.

    Attributes
    ----------
    before : ndarray, shape ``(n, *space)`` or ``(n, 2, *space)``
        Fields at the start of each pair. With two levels the older one is a time step of the model earlier.
    after : ndarray, shape ``(n, *space)``
        Fields a time `window` later.
    window : float
        In units of the model's time.
    times : ndarray, shape (n,), or None
        Of `before`; needed for cycled data assimilation only.

    Raises
    ------
    TypeError, ValueError
        For arrays that do not fit together, values that are not finite, or a window that is no positive time.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import Snapshots
    >>> Snapshots(np.zeros((5, 8)), np.ones((5, 8)), window=0.1)
    <5 pairs of (8,) snapshots, 0.1 apart>
    """

    before: np.ndarray
    after: np.ndarray
    window: float
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray):
                raise TypeError(f"{name} is a {type(values).__name__}; expected a NumPy array")
            if values.dtype.kind not in "fiu":
                raise TypeError(f"{name} has dtype {values.dtype}; expected real numbers")
            object.__setattr__(self, name, values.astype(float, copy=False))
            bad = np.argwhere(~np.isfinite(getattr(self, name)))
            if len(bad):
                raise ValueError(f"{name} holds a value that is not finite, first in snapshot {bad[0][0]}")
        if self.after.ndim < 2 or len(self.after) == 0:
            raise ValueError(f"after has shape {self.after.shape}; expected (n, *space) with n >= 1")
        n, space = len(self.after), self.after.shape[1:]
        if self.before.shape not in ((n, *space), (n, 2, *space)):
            raise ValueError(
                f"before has shape {self.before.shape}; expected {(n, *space)} or {(n, 2, *space)}"
            )
        if not (
            isinstance(self.window, int | float | np.floating)
            and math.isfinite(self.window)
            and self.window > 0
        ):
            raise ValueError(f"window is {self.window!r}; expected a positive time")
        if self.times is not None:
            times = np.asarray(self.times, dtype=float)
            if times.shape != (n,) or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
                raise ValueError(f"times has shape {times.shape}; expected {n} increasing finite times")
            object.__setattr__(self, "times", times)

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.after)

    @property
    def space(self) -> tuple[int, ...]:
        """Shape of one field."""
        return self.after.shape[1:]

    @property
    def current(self) -> np.ndarray:
        """The fields at the start of each pair, without the older level."""
        return self.before[:, 1] if self.has_levels else self.before

    @property
    def has_levels(self) -> bool:
        """Whether `before` holds two time levels."""
        return self.before.ndim > self.after.ndim

    def with_noise(self, std: float, rng: np.random.Generator) -> Snapshots:
        """Every value with independent normal noise of standard deviation `std`."""
        return Snapshots(
            self.before + std * rng.standard_normal(self.before.shape),
            self.after + std * rng.standard_normal(self.after.shape),
            self.window,
            self.times,
        )

    def subset(self, chosen: Any) -> Snapshots:
        """Some of the pairs."""
        times = None if self.times is None else self.times[chosen]
        return Snapshots(self.before[chosen], self.after[chosen], self.window, times)

    def steps(self, model: Any) -> int:
        """Model steps in a window, after checking that the model fits these snapshots.

        Raises
        ------
        ValueError
            For another shape, or a window that is not a whole number of time steps.
        """
        levels = getattr(model, "levels", 1)
        space = tuple(model.state_shape)[1:] if levels > 1 else tuple(model.state_shape)
        if space != self.space:
            raise ValueError(
                f"the model has fields of shape {space}; expected that of the snapshots, {self.space}"
            )
        if self.has_levels and levels == 1:
            raise ValueError("before holds two time levels; expected one, as this model keeps a single level")
        ratio = self.window / model.dt
        steps = round(ratio)
        if steps < 1 or abs(ratio - steps) > 1e-6 * max(ratio, 1.0):
            raise ValueError(
                f"window is {self.window:g}, {ratio:.4g} time steps of the model (dt = {model.dt:g}); "
                "expected a whole number of steps"
            )
        return steps

    def __repr__(self) -> str:
        return f"<{self.n} pairs of {self.space} snapshots, {self.window:g} apart>"
