"""How a grid is divided among ranks: boxes of whole blocks, their ghost cells, and the exchange of those."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..problems.noise import Box
from .engine import load_petsc, world

__all__ = ["Halo", "Layout", "divide", "process_grid"]

_LARGEST_UNIT = 2**20

_UNEVEN = 1.1
"""Boxes may be this much longer than their fair share to hold whole blocks of a larger size."""


def divide(n: int, parts: int) -> tuple[list[int], int]:
    """Lengths of `parts` boxes along an axis of `n` cells, and the size of the blocks that none of them cuts.

    Multigrid coarsens by blocks of 2, 4, 8, ... cells; as long as no block lies on two ranks, coarsening
    needs no communication. The largest such power of two is taken that keeps the boxes about equally long.

    Examples
    --------
    >>> divide(128, 2), divide(100, 3)
    (([64, 64], 64), ([32, 32, 36], 4))
    """
    if parts == 1:
        return [n], _LARGEST_UNIT
    unit = 2
    while unit < n:
        wider = 2 * unit
        blocks = -(-n // wider)
        if blocks < parts or -(-blocks // parts) * wider > max(_UNEVEN * n / parts, 2):
            break
        unit = wider
    blocks = -(-n // unit)
    # The last box may lose cells to an incomplete block, so it is among the longer ones.
    lengths = [(blocks // parts + (i >= parts - blocks % parts)) * unit for i in range(parts)]
    lengths[-1] -= blocks * unit - n
    return lengths, unit


def process_grid(shape: Sequence[int], ranks: int) -> tuple[int, ...]:
    """Ranks per axis: the division with the least surface between boxes of nearly equal size.

    Raises
    ------
    ValueError
        If the grid is too small for so many ranks: each needs two cells along every divided axis.

    Examples
    --------
    >>> process_grid((128, 128, 128), 2), process_grid((128, 128, 128), 4)
    ((2, 1, 1), (2, 2, 1))
    """
    best: tuple[float, tuple[int, ...]] | None = None
    divisors = [d for d in range(1, ranks + 1) if ranks % d == 0]
    # Among equals, the first axis is divided first: its ghost layers are contiguous.
    for parts in itertools.product(reversed(divisors), repeat=len(shape)):
        if math.prod(parts) != ranks or any(p > 1 and n < 4 * p for n, p in zip(shape, parts, strict=True)):
            continue
        longest = [max(divide(n, p)[0]) for n, p in zip(shape, parts, strict=True)]
        ghosts = sum(min(2, p - 1) / n for n, p in zip(longest, parts, strict=True))
        cost = math.prod(longest) * (1 + ghosts)
        if best is None or cost < best[0] * (1 - 1e-9):
            best = (cost, parts)
    if best is None:
        raise ValueError(
            f"a grid of {'x'.join(map(str, shape))} cells is too small for {ranks} ranks; expected at least "
            "four cells per rank along every axis that is divided"
        )
    return best[1]


class Layout:
    """The division of a grid of cells among the ranks of a communicator (PETSc's DMDA).

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, two or three axes.
    periodic : sequence of bool
        Per axis.
    comm : communicator, optional
        All ranks by default.

    Attributes
    ----------
    box : tuple of slice
        The cells of this rank.
    units : tuple of int
        Blocks of this many cells per axis lie on one rank each.
    dm : petsc4py.PETSc.DMDA
        With one ghost cell; axes in reverse order, since PETSc counts the fastest first.
    """

    def __init__(self, shape: Sequence[int], periodic: Sequence[bool], comm: Any = None):
        self.comm = world(comm)
        self.shape = tuple(shape)
        # An axis of one cell has no neighbours, not even itself.
        self.periodic = tuple(bool(p) and n > 1 for p, n in zip(periodic, self.shape, strict=True))
        self.parts = process_grid(self.shape, self.comm.size)
        divided = [divide(n, p) for n, p in zip(self.shape, self.parts, strict=True)]
        self.lengths = [lengths for lengths, _ in divided]
        self.units = tuple(unit for _, unit in divided)
        self.dm = self.make_dm(1)
        self.box: Box = tuple(slice(start, stop) for start, stop in reversed(self.dm.getRanges()))
        self.local_shape = tuple(b.stop - b.start for b in self.box)
        self.cells = math.prod(self.local_shape)

    def make_dm(self, width: int) -> Any:
        """A DMDA of this layout with `width` ghost cells."""
        petsc = load_petsc()
        none, wrap = petsc.DM.BoundaryType.NONE, petsc.DM.BoundaryType.PERIODIC
        return petsc.DMDA().create(
            dim=len(self.shape),
            dof=1,
            sizes=self.shape[::-1],
            proc_sizes=self.parts[::-1],
            boundary_type=tuple(wrap if p else none for p in self.periodic[::-1]),
            stencil_type=petsc.DMDA.StencilType.STAR,
            stencil_width=width,
            ownership_ranges=tuple(tuple(lengths) for lengths in self.lengths[::-1]),
            comm=self.comm,
        )

    def vector(self, values: np.ndarray | None = None) -> Any:
        """A new distributed vector: zeros, or this rank's `values`."""
        v = self.dm.createGlobalVec()
        if values is not None:
            v.array[:] = values.reshape(-1)
        return v

    def total(self, value: float) -> Any:
        """The sum of a number over all ranks."""
        return self.comm.allreduce(value)

    def gather(self, x: np.ndarray) -> np.ndarray | None:
        """The whole grid function on rank 0, None elsewhere. For small grids, tests and figures."""
        parts = self.comm.gather((self.box, x.reshape(self.local_shape)))
        if parts is None:
            return None
        out = np.empty(self.shape, dtype=x.dtype)
        for box, values in parts:
            out[box] = values
        return out

    def plane(self, x: np.ndarray, axis: int, index: int) -> np.ndarray | None:
        """The plane ``index`` across `axis` of a grid function on rank 0, None elsewhere."""
        own = self.box[axis]
        inside = own.start <= index < own.stop
        piece = np.take(x.reshape(self.local_shape), index - own.start, axis=axis) if inside else None
        rest = self.box[:axis] + self.box[axis + 1 :]
        parts = self.comm.gather((rest, piece))
        if parts is None:
            return None
        out = np.empty(self.shape[:axis] + self.shape[axis + 1 :], dtype=x.dtype)
        for box, values in parts:
            if values is not None:
                out[box] = values
        return out


class Halo:
    """Arrays of a rank's box and `width` ghost cells around it, filled from a distributed vector.

    The box ends without ghost cells at the sides of the grid, and wraps around periodic ones.

    Attributes
    ----------
    start : tuple of int
        Index in the grid of the first cell of the array, negative where it wraps.
    shape : tuple of int
    inner : tuple of slice
        The rank's own cells within the array.
    cut : tuple of (bool, bool)
        Which sides, per axis, continue on another rank.
    """

    def __init__(self, layout: Layout, width: int = 1):
        self.layout = layout
        self.dm = layout.dm if width == 1 else layout.make_dm(width)
        ranges = self.dm.getGhostRanges()[::-1]
        self.start = tuple(start for start, _ in ranges)
        self.shape = tuple(stop - start for start, stop in ranges)
        self.cells = math.prod(self.shape)
        self.inner = tuple(
            slice(b.start - start, b.stop - start) for b, start in zip(layout.box, self.start, strict=True)
        )
        self.cut = tuple(
            (inner.start > 0, inner.stop < n) for inner, n in zip(self.inner, self.shape, strict=True)
        )

    def array(self) -> tuple[np.ndarray, Any]:
        """A flat array with the row of zeros kernels read beyond the box, and PETSc's view of its cells."""
        padded = np.zeros(self.cells + self.shape[-1])
        petsc = load_petsc()
        return padded, petsc.Vec().createWithArray(padded[: self.cells], comm=petsc.COMM_SELF)

    def exchange(self, values: np.ndarray) -> np.ndarray:
        """A rank's own values (any dtype that float64 holds), surrounded by those of its neighbours."""
        padded, view = self.array()
        whole = self.layout.vector(values)
        self.dm.globalToLocal(whole, view)
        whole.destroy()
        view.destroy()
        return padded[: self.cells].reshape(self.shape).astype(values.dtype, copy=False)

    def coordinates(self, spacing: Sequence[float]) -> list[np.ndarray]:
        """Cell-centre coordinates of the array per axis, open-mesh shaped, in the grid's frame."""
        axes = [
            (np.arange(start, start + n) + 0.5) * h
            for start, n, h in zip(self.start, self.shape, spacing, strict=True)
        ]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))
