"""What every sampler is: a chooser of collocation points that may look at the residual of the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["Points", "Residual", "Sampler"]

Residual = Callable[[Tensor], Tensor]
"""Points ``(m, d)`` to residual values ``(m,)`` of the current field, without a graph."""


@dataclass(frozen=True)
class Points:
    """Collocation points.

    Attributes
    ----------
    x : Tensor (n, d)
    weight : Tensor (n,)
        Factor of the squared residual in the loss, of mean about one.
    """

    x: Tensor
    weight: Tensor

    @classmethod
    def plain(cls, x: Tensor) -> Points:
        """Points that all count the same."""
        return cls(x, torch.ones(len(x), dtype=x.dtype))


class Sampler(Protocol):
    """Constructed as ``Sampler(domain, **settings)``; called at every resampling."""

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        """`n` points for the next steps; adaptive samplers learn from the residual here."""

    def prefit(self, residual: Residual, rng: np.random.Generator) -> None:
        """Called once before training, with the residual of the zero field."""

    def state(self) -> dict[str, Any]:
        """Everything the next call depends on."""

    def load(self, state: dict[str, Any]) -> None:
        """Take up a `state` (its arrays are NumPy arrays)."""
