"""What an optimiser of fields is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..objective import Objective

__all__ = ["Optimizer"]


class Optimizer(Protocol):
    """One of the optimisers of this package, or your own.

    Attributes
    ----------
    name : str
    steps, points, resample : int
        Steps, interior points and steps between resamplings unless the caller of `train_pinn` says otherwise.
    """

    name: str
    steps: int
    points: int
    resample: int

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        """One update of ``objective.net``, step `index` of `steps`; returns at least ``"loss"``.

        A step that finds values that are not finite changes nothing and returns a loss that is not.
        """

    def resampled(self) -> None:
        """Called when the points, and with them the loss, have changed."""

    def settings(self) -> dict[str, Any]:
        """JSON values that say how it was set up."""

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on, beside the parameters."""

    def load(self, state: dict[str, Any]) -> None:
        """Take up a `state` (its arrays are NumPy arrays)."""
