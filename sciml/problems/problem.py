"""What every ready-made system is: an operator, a right-hand side, and what is known about both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backends.namespace import Array, norm2, to_numpy

__all__ = ["Grid", "Problem"]


@dataclass(frozen=True)
class Grid:
    """A box of equal cells; values sit at cell centres.

    Attributes
    ----------
    shape : tuple of int
        Cells per axis.
    spacing : tuple of float
        Cell size per axis.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]

    @property
    def lengths(self) -> tuple[float, ...]:
        """Side lengths of the box."""
        return tuple(n * h for n, h in zip(self.shape, self.spacing, strict=True))

    def coordinates(self) -> list[np.ndarray]:
        """Cell-centre coordinates per axis, open-mesh shaped, origin at the low corner of the box."""
        axes = [(np.arange(n) + 0.5) * h for n, h in zip(self.shape, self.spacing, strict=True)]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))


@dataclass(frozen=True, eq=False)
class Problem:
    """A linear system ``A x = b`` with its origin.

    Attributes
    ----------
    name : str
        Readable, e.g. ``"poisson 128x128x128 balls"``.
    A : operator or sparse matrix
        What every solver takes.
    b : array
        Right-hand side in the backend of the problem; zero in cells that are not unknowns.
    grid : Grid or None
        None for systems read from files.
    mask : ndarray of bool or None
        True in solid cells; None where there is no grid.
    exact : array or None
        The solution where it is known: the sampled continuous one for manufactured problems in a box, the
        exact discrete one where obstacles leave no closed form.
    notes : tuple of str
        What was decided on the way, e.g. that the file held no right-hand side.
    """

    name: str
    A: Any
    b: Array
    grid: Grid | None = None
    mask: np.ndarray | None = None
    exact: Array | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def unknowns(self) -> int:
        """Number of unknowns: fluid cells of a grid, rows of a matrix."""
        code = getattr(self.A, "code", None)
        return int(self.A.shape[0]) if code is None else int(np.count_nonzero(code != 255))

    def error(self, x: Array) -> float:
        """Relative error of `x` against `exact` in the 2-norm.

        Constants that a singular operator cannot see are removed from both first.

        Raises
        ------
        ValueError
            If the problem knows no exact solution.
        """
        if self.exact is None:
            raise ValueError(
                f"{self.name} knows no exact solution; expected a problem with rhs='manufactured'"
            )
        shape = np.shape(to_numpy(self.exact))
        exact, approximate = to_numpy(self.exact).astype(float), to_numpy(x).reshape(shape).astype(float)
        if getattr(self.A, "singular", None) is not None:
            exact, approximate = self.A.project(exact), self.A.project(approximate)
        scale = norm2(exact)
        return norm2(approximate - exact) / (scale if scale > 0 else 1.0)

    def __str__(self) -> str:
        parts = [self.name, f"{self.unknowns:,} unknowns"]
        if self.grid is not None:
            sides = sorted({side for pair in self.A.bc for side in pair})
            parts.append("/".join(sides) + " sides")
        elif hasattr(self.A, "nnz"):
            parts.append(f"{self.A.nnz:,} non-zeros")
        if self.mask is not None and self.mask.any():
            parts.append(f"{100 * np.count_nonzero(self.mask) / math.prod(self.mask.shape):.1f} % solid")
        if getattr(self.A, "singular", None) is not None:
            parts.append(f"singular on {self.A.singular.count} component(s)")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<Problem {self}>"


def to_backend(values: np.ndarray, backend: str, device: Any) -> Array:
    """A NumPy array as an array of `backend`, explicitly, in the same precision."""
    if backend == "numpy":
        return values
    from ..operators.stencil import namespace_named

    xp = namespace_named(backend)
    # array-api-strict takes no foreign arrays, only Python numbers.
    source = values.tolist() if backend == "array-api-strict" else values
    return xp.asarray(source, dtype=getattr(xp, values.dtype.name), device=device)


def size_name(shape: Sequence[int]) -> str:
    """``128x128x64``."""
    return "x".join(str(n) for n in shape)
