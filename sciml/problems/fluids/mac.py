"""The staggered (MAC) grid: velocity components on faces, everything else at cell centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...operators.geometry_checks import check_bc, check_shape, check_spacing, faces_shape
from ..poisson import open_top

__all__ = ["MacGrid", "Velocity"]

Velocity = tuple[np.ndarray, ...]
"""One array of face values per axis, each one longer than the grid along its own axis."""


@dataclass(frozen=True)
class MacGrid:
    """A box of cells with velocity components on their faces; make it with `create`.

    A ``"neumann"`` side is a wall, a ``"dirichlet"`` side is open (pressure zero on it).

    Attributes
    ----------
    shape : tuple of int
        Cells per axis, two or three axes; the last one points up.
    spacing : tuple of float
        Cell size per axis.
    bc : tuple of (str, str)
        Low and high side per axis.

    References
    ----------
    Harlow and Welch, Phys. Fluids 8 (1965) 2182–2189.

    Examples
    --------
    >>> from sciml.problems.fluids import MacGrid
    >>> grid = MacGrid.create((8, 16), spacing=1 / 8)
    >>> [u.shape for u in grid.zeros()]
    [(9, 16), (8, 17)]
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    bc: tuple[tuple[str, str], ...]

    @classmethod
    def create(cls, shape: Sequence[int], *, spacing: Any = 1.0, bc: Any = "open-top") -> MacGrid:
        """Check the arguments, which are those of `PoissonOperator`, and make the grid.

        Raises
        ------
        ValueError
            For arguments that do not fit, and for periodic sides.
        """
        shape = check_shape(shape)
        pairs = check_bc(open_top(len(shape)) if isinstance(bc, str) and bc == "open-top" else bc, len(shape))
        if any("periodic" in pair for pair in pairs):
            raise ValueError(f"bc is {bc!r}; a MAC grid has walls (neumann) and open sides (dirichlet) only")
        return cls(shape, check_spacing(spacing, len(shape)), pairs)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Side lengths of the box."""
        return tuple(n * h for n, h in zip(self.shape, self.spacing, strict=True))

    def centres(self) -> list[np.ndarray]:
        """Coordinates of cell centres, open-mesh shaped, origin at the low corner of the box."""
        return self._mesh(None)

    def face_centres(self, axis: int) -> list[np.ndarray]:
        """Coordinates of the centres of the faces normal to `axis`, open-mesh shaped."""
        return self._mesh(axis)

    def _mesh(self, normal: int | None) -> list[np.ndarray]:
        axes = [
            h * (np.arange(n + 1.0) if axis == normal else np.arange(n) + 0.5)
            for axis, (n, h) in enumerate(zip(self.shape, self.spacing, strict=True))
        ]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))

    def zeros(self) -> Velocity:
        """A fluid at rest."""
        return tuple(np.zeros(faces_shape(self.shape, axis)) for axis in range(self.ndim))

    def check_velocity(self, velocity: Any) -> Velocity:
        """`velocity` as arrays of float64, or one error that names the component that does not fit."""
        if len(velocity) != self.ndim:
            raise ValueError(f"velocity has {len(velocity)} components; expected {self.ndim}, one per axis")
        components = tuple(np.ascontiguousarray(u, dtype=float) for u in velocity)
        for axis, u in enumerate(components):
            if u.shape != faces_shape(self.shape, axis):
                raise ValueError(
                    f"velocity[{axis}] has shape {u.shape}; expected {faces_shape(self.shape, axis)}"
                )
        return components

    def divergence(self, velocity: Velocity) -> np.ndarray:
        """Net outflow of every cell per volume."""
        total = np.zeros(self.shape)
        for axis, (u, h) in enumerate(zip(velocity, self.spacing, strict=True)):
            total += np.diff(u, axis=axis) / h
        return total

    def subtract_gradient(self, velocity: Velocity, pressure: np.ndarray, fluid: np.ndarray) -> None:
        """``u −= ∇p`` on faces between fluid cells and on open sides, in place.

        The same differences as in `PoissonOperator`, so that the divergence left is its residual.
        """
        for axis, (u, h) in enumerate(zip(velocity, self.spacing, strict=True)):
            here, there = _along(axis, slice(1, None)), _along(axis, slice(None, -1))
            inner = _along(axis, slice(1, -1))
            both = fluid[here] & fluid[there]
            u[inner] -= np.where(both, pressure[here] - pressure[there], 0.0) / h
            for side, kind, sign in ((0, self.bc[axis][0], 1.0), (-1, self.bc[axis][1], -1.0)):
                if kind == "dirichlet":  # half a cell away
                    edge = _along(axis, side)
                    u[edge] -= np.where(fluid[edge], sign * pressure[edge], 0.0) * (2.0 / h)

    def close_walls(self, velocity: Velocity) -> None:
        """Set the velocity through walls of the box to zero, in place."""
        for axis, u in enumerate(velocity):
            for side, kind in zip((0, -1), self.bc[axis], strict=True):
                if kind == "neumann":
                    u[_along(axis, side)] = 0.0

    def faces_of(self, cells: np.ndarray, axis: int) -> np.ndarray:
        """Faces normal to `axis` that belong to a cell marked in `cells`."""
        touched = np.zeros(faces_shape(self.shape, axis), dtype=bool)
        touched[_along(axis, slice(None, -1))] |= cells
        touched[_along(axis, slice(1, None))] |= cells
        return touched

    def at_centres(self, velocity: Velocity) -> list[np.ndarray]:
        """Velocity averaged to cell centres."""
        return [
            0.5 * (u[_along(axis, slice(1, None))] + u[_along(axis, slice(None, -1))])
            for axis, u in enumerate(velocity)
        ]


def _along(axis: int, index: int | slice) -> tuple[Any, ...]:
    return (slice(None),) * axis + (index,)
