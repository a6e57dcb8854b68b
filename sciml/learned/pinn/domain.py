"""Where a PDE is posed: boxes, balls, and their unions, differences and intersections.

Points are float64 tensors of shape ``(n, d)``; random ones come from a NumPy generator. A domain in space and
time is a box (or a difference of boxes) whose last axis is time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

__all__ = ["Ball", "Box", "Domain"]

_ATTEMPTS = 200_000
"""Candidates in a row that may miss a domain before it counts as empty."""

_OFFSET = 1e-7
"""Step across a boundary that tells its two sides apart, relative to the diameter of the domain."""


@runtime_checkable
class Domain(Protocol):
    """What problems and samplers need of a domain; all regions of this module have it."""

    dimension: int
    bounds: tuple[Tensor, Tensor]
    volume: float | None

    def contains(self, x: Tensor) -> Tensor:
        """Which of the points ``(n, d)`` lie in the (closed) domain: bool ``(n,)``."""

    def sample(self, n: int, rng: np.random.Generator) -> Tensor:
        """`n` points uniform in the interior: ``(n, d)``."""

    def sample_boundary(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`n` points uniform on the boundary, and the outward unit normals there: ``(n, d)`` each."""


class Region:
    """The algebra of domains: ``a | b`` (union), ``a - b`` (difference), ``a & b`` (intersection)."""

    dimension: int
    bounds: tuple[Tensor, Tensor]
    volume: float | None
    leaves: tuple[Any, ...]

    def contains(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def sample(self, n: int, rng: np.random.Generator) -> Tensor:
        raise NotImplementedError

    def sample_boundary(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def __or__(self, other: Region) -> Region:
        return Composite("|", self, other)

    def __sub__(self, other: Region) -> Region:
        return Composite("-", self, other)

    def __and__(self, other: Region) -> Region:
        return Composite("&", self, other)

    def check_points(self, x: Any, name: str = "x") -> Tensor:
        """`x` itself if it is a tensor of points of this domain's dimension.

        Raises
        ------
        TypeError, ValueError
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} is a {type(x).__name__}; expected a torch tensor of points")
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; expected (n, {self.dimension}) for {self!r}"
            )
        return x


class Box(Region):
    """An axis-parallel box.

    Parameters
    ----------
    lower, upper : sequence of float
        Corners; ``lower < upper`` on every axis.

    Raises
    ------
    ValueError
        For corners that do not span a box.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Ball, Box
    >>> plate = Box([0, 0], [2, 1]) - Ball([1, 0.5], 0.25)
    >>> x = plate.sample(100, np.random.default_rng(0))
    >>> x.shape, bool(plate.contains(x).all())
    (torch.Size([100, 2]), True)
    """

    def __init__(self, lower: Sequence[float], upper: Sequence[float]):
        low, high = _vector("lower", lower), _vector("upper", upper)
        if len(low) != len(high):
            raise ValueError(f"upper has {len(high)} numbers; expected {len(low)}, as lower has")
        if not bool((low < high).all()):
            raise ValueError(
                f"the box from {low.tolist()} to {high.tolist()} is empty; expected lower < upper"
            )
        self.dimension, self.bounds, self.leaves = len(low), (low, high), (self,)
        self.volume = float(torch.prod(high - low))

    @property
    def area(self) -> float:
        """Measure of the boundary; in one dimension, the number of its points."""
        return float(self._face_areas().sum() * 2.0)

    def contains(self, x: Tensor) -> Tensor:
        low, high = self.bounds
        x = self.check_points(x)
        return ((x >= low) & (x <= high)).all(dim=1)

    def sample(self, n: int, rng: np.random.Generator) -> Tensor:
        low, high = self.bounds
        return low + (high - low) * torch.from_numpy(rng.random((_count(n), self.dimension)))

    def sample_boundary(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        x = self.sample(n, rng)
        areas = self._face_areas().numpy()
        axis = torch.from_numpy(rng.choice(self.dimension, size=n, p=areas / areas.sum()))
        side = torch.from_numpy(rng.integers(0, 2, size=n))
        rows = torch.arange(n)
        x[rows, axis] = torch.stack(self.bounds)[side, axis]
        normals = torch.zeros_like(x)
        normals[rows, axis] = (2 * side - 1).to(x.dtype)
        return x, normals

    def _face_areas(self) -> Tensor:
        sides = self.bounds[1] - self.bounds[0]
        return torch.prod(sides) / sides

    def __repr__(self) -> str:
        return f"Box({self.bounds[0].tolist()}, {self.bounds[1].tolist()})"


class Ball(Region):
    """A ball (a disc in two dimensions, an interval in one).

    Parameters
    ----------
    center : sequence of float
    radius : float
        Positive.
    """

    def __init__(self, center: Sequence[float], radius: float):
        self.center = _vector("center", center)
        if not (isinstance(radius, int | float) and math.isfinite(radius) and radius > 0):
            raise ValueError(f"radius is {radius!r}; expected a positive number")
        self.radius, self.dimension, self.leaves = float(radius), len(self.center), (self,)
        self.bounds = (self.center - self.radius, self.center + self.radius)
        d = self.dimension
        self.volume = math.exp(d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)) * self.radius**d

    @property
    def area(self) -> float:
        """Measure of the boundary; in one dimension, the number of its points."""
        assert self.volume is not None
        return self.volume * self.dimension / self.radius

    def contains(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(self.check_points(x) - self.center, dim=1) <= self.radius

    def sample(self, n: int, rng: np.random.Generator) -> Tensor:
        directions = _directions(_count(n), self.dimension, rng)
        distances = torch.from_numpy(rng.random(n) ** (1.0 / self.dimension))
        return self.center + self.radius * distances[:, None] * directions

    def sample_boundary(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        normals = _directions(_count(n), self.dimension, rng)
        return self.center + self.radius * normals, normals

    def __repr__(self) -> str:
        return f"Ball({self.center.tolist()}, {self.radius:g})"


class Composite(Region):
    """Two regions joined by ``|``, ``-`` or ``&``; made by these operators."""

    volume = None

    def __init__(self, operation: str, first: Region, second: Region):
        if not isinstance(second, Region):
            raise TypeError(f"cannot combine a domain with a {type(second).__name__}")
        if first.dimension != second.dimension:
            raise ValueError(
                f"cannot combine a domain of dimension {first.dimension} with one of {second.dimension}"
            )
        self.operation, self.first, self.second = operation, first, second
        self.dimension, self.leaves = first.dimension, first.leaves + second.leaves
        (low, high), (low2, high2) = first.bounds, second.bounds
        if operation == "|":
            self.bounds = torch.minimum(low, low2), torch.maximum(high, high2)
        elif operation == "&":
            self.bounds = torch.maximum(low, low2), torch.minimum(high, high2)
        else:
            self.bounds = low, high
        if not bool((self.bounds[0] < self.bounds[1]).all()):
            raise ValueError(f"the domain {self!r} is empty")

    def contains(self, x: Tensor) -> Tensor:
        first, second = self.first.contains(x), self.second.contains(x)
        if self.operation == "|":
            return first | second
        return first & (second if self.operation == "&" else ~second)

    def sample(self, n: int, rng: np.random.Generator) -> Tensor:
        box = Box(*(corner.tolist() for corner in self.bounds))

        def draw(size: int) -> Tensor:
            x = box.sample(size, rng)
            return x[self.contains(x)]

        return _accepted(draw, _count(n), self)

    def sample_boundary(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        areas = np.array([leaf.area for leaf in self.leaves])
        step = _OFFSET * float(torch.linalg.vector_norm(self.bounds[1] - self.bounds[0]))

        def draw(size: int) -> Tensor:
            kept = []
            for i, count in enumerate(rng.multinomial(size, areas / areas.sum())):
                if count:
                    x, normals = self.leaves[i].sample_boundary(int(count), rng)
                    kept.append(self._own_boundary(x, normals, i, step))
            return torch.cat(kept)[torch.from_numpy(rng.permutation(sum(len(k) for k in kept)))]

        both = _accepted(draw, _count(n), self)
        return both[:, : self.dimension], both[:, self.dimension :]

    def _own_boundary(self, x: Tensor, normals: Tensor, leaf: int, step: float) -> Tensor:
        """Those boundary points of a part that bound the whole, beside their outward normals: (m, 2 d).

        A point bounds the whole where the two sides of it differ. Where faces of parts coincide, the first
        part has them, so that no piece is drawn from twice.
        """
        inward, outward = x - step * normals, x + step * normals
        inside, beyond = self.contains(inward), self.contains(outward)
        keep = inside != beyond
        for earlier in self.leaves[:leaf]:
            keep &= earlier.contains(inward) == earlier.contains(outward)
        sign = torch.where(inside, 1.0, -1.0)[:, None].to(x.dtype)
        return torch.cat([x, sign * normals], dim=1)[keep]

    def __repr__(self) -> str:
        return f"({self.first!r} {self.operation} {self.second!r})"


def _accepted(draw: Callable[[int], Tensor], n: int, domain: Region) -> Tensor:
    """`n` rows of what `draw(size)` keeps of `size` candidates."""
    kept: list[Tensor] = []
    have, missed, size = 0, 0, max(2 * n, 64)
    while have < n:
        rows = draw(size)
        missed = 0 if len(rows) else missed + size
        if missed >= _ATTEMPTS:
            raise ValueError(f"the domain {domain!r} is empty: none of {missed} random points lies in it")
        kept.append(rows)
        have += len(rows)
    return torch.cat(kept)[:n]


def _directions(n: int, dimension: int, rng: np.random.Generator) -> Tensor:
    x = torch.from_numpy(rng.standard_normal((n, dimension)))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def _vector(name: str, values: Sequence[float]) -> Tensor:
    array = np.array(values, dtype=float)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {values!r}; expected one finite number per axis")
    return torch.from_numpy(array)


def _count(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is {n!r}; expected a positive number of points")
    return n
