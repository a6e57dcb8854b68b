"""What every sampler is: a chooser of collocation points that may look at the residual of the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...gradient import tensors
from ..domain import Domain

__all__ = [
    "BaseSampler",
    "Points",
    "Residual",
    "Sampler",
    "magnitude",
    "positive_integer",
    "share",
]

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

    @classmethod
    def weighted(cls, x: Tensor, density: Tensor, importance: float) -> Points:
        """Points drawn from a density, known up to a factor.

        Weights are proportional to ``density ** -importance``: 0 leaves the loss an average over the density,
        1 makes it one over the domain, and values between them lie between the two.
        """
        weight = (density / density.mean()) ** -importance
        return cls(x, weight / weight.mean())


class Sampler(Protocol):
    """Constructed as ``Sampler(domain, **settings)``; called at every resampling."""

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        """`n` points for the next steps; adaptive samplers learn from the residual here.

        Samplers whose set grows return fewer until it has `n`.
        """

    def prefit(self, residual: Residual, rng: np.random.Generator) -> None:
        """Called once before training, with the residual of the zero field."""

    def state(self) -> dict[str, Any]:
        """Everything the next call depends on."""

    def load(self, state: dict[str, Any]) -> None:
        """Take up a `state` (its arrays are NumPy arrays)."""


class BaseSampler:
    """A sampler whose next points depend on nothing but its memory, a dict of tensors.

    Parameters
    ----------
    domain : Domain
    settings : mapping, optional
        JSON values that say how it was set up: a run is resumed only with the same ones.

    Attributes
    ----------
    settings : dict
    memory : dict of str to Tensor
        What lasts from call to call.
    """

    def __init__(self, domain: Domain, settings: Mapping[str, Any] | None = None):
        self.domain, self.settings = domain, dict(settings or {})
        self.memory: dict[str, Tensor] = {}

    def prefit(self, residual: Residual, rng: np.random.Generator) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {"memory": {name: value.clone() for name, value in self.memory.items()}}

    def load(self, state: dict[str, Any]) -> None:
        memory = tensors(state["memory"])
        if not isinstance(memory, dict) or not all(isinstance(v, Tensor) for v in memory.values()):
            raise ValueError("memory of a sampler is no set of named arrays")
        self.memory = memory


def magnitude(residual: Residual, x: Tensor) -> Tensor:
    """Absolute residuals (n,) at points (n, d).

    Raises
    ------
    ValueError
        If the residual has another shape or is not finite.
    """
    with torch.no_grad():
        values = residual(x).detach()
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"residual has shape {tuple(values.shape)}; expected {tuple(x.shape[:1])}, one a point"
        )
    bad = ~torch.isfinite(values)
    if bad.any():
        where = x[bad][0].tolist()
        raise ValueError(f"residual is not finite at {int(bad.sum())} of {len(x)} points, the first {where}")
    return values.abs()


def positive_integer(name: str, value: Any) -> int:
    """`value` if it is one.

    Raises
    ------
    ValueError
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a positive integer")
    return value


def share(name: str, value: Any) -> float:
    """`value` if it lies between 0 and 1.

    Raises
    ------
    ValueError
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; expected a number from 0 to 1")
    return float(value)
