"""Set-up of the multigrid hierarchy in parts: no level is ever whole on one rank until it is small.

The first coarse level is made by the serial kernels on a rank's box with two layers of ghost cells; blocks
of cells never lie on two ranks, so its rows are the serial ones. Deeper levels are PETSc matrices: aggregates
are found within a rank, products are PETSc's. From the level on that is small, or whose blocks would lie on
several ranks, every rank holds all of it and the serial code goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..backends.grid import two_colourable
from ..backends.kernels.numba import csr, transfer
from ..preconditioners.multigrid import Multigrid
from ..preconditioners.multigrid.aggregation import aggregate, block_factors, coarser_blocks
from ..preconditioners.multigrid.blocks import first_coarse_level
from ..preconditioners.multigrid.cycle import Vectors
from ..preconditioners.multigrid.hierarchy import Coarsest, SparseLevel
from ..preconditioners.multigrid.multigrid import STALLED
from ..preconditioners.multigrid.parameters import Parameters
from .engine import load_petsc, python_matrix, world
from .layout import Halo
from .poisson import DistributedPoisson

__all__ = [
    "Below",
    "Blocks",
    "Level",
    "cells_as_blocks",
    "coupled",
    "first_level",
    "gather",
    "next_level",
    "pieces",
]


@dataclass(frozen=True)
class Blocks:
    """The grid of blocks a level's unknowns lie in, and this rank's part of it.

    Axes are those of the kernels: 2D grids are ``(n0, 1, n1)``. `units` says how many blocks, per axis, lie
    on one rank each.
    """

    shape: tuple[int, ...]
    start: tuple[int, ...]
    local: tuple[int, ...]
    units: tuple[int, ...]
    weights: tuple[float, ...]
    periodic: tuple[int, ...]

    def factors(self) -> tuple[int, ...]:
        """Which axes to coarsen next."""
        return block_factors(self.shape, self.weights)

    def divisible(self, factors: tuple[int, ...]) -> bool:
        """Whether blocks of blocks stay on one rank."""
        return all(unit % f == 0 for unit, f in zip(self.units, factors, strict=True))

    def coarsened(self, factors: tuple[int, ...]) -> Blocks:
        """The grid of blocks of blocks."""

        def blocks(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(-(-n // f) for n, f in zip(values, factors, strict=True))

        return Blocks(
            blocks(self.shape),
            blocks(self.start),
            blocks(self.local),
            tuple(unit // f for unit, f in zip(self.units, factors, strict=True)),
            tuple(w / f**2 for w, f in zip(self.weights, factors, strict=True)),
            self.periodic,
        )

    def two_colourable(self) -> bool:
        """Whether neighbouring blocks differ in parity."""
        return two_colourable(self.shape, self.periodic)

    def places(self, block_of: np.ndarray) -> tuple[np.ndarray, ...]:
        """Index per axis, in the whole grid of blocks, of blocks numbered on this rank."""
        return tuple(
            i + start for i, start in zip(np.unravel_index(block_of, self.local), self.start, strict=True)
        )


@dataclass
class Level:
    """A coarse level divided among ranks.

    Attributes
    ----------
    A : petsc4py.PETSc.Mat
    P : petsc4py.PETSc.Mat
        Interpolation to the next finer level.
    block_of : ndarray
        Block of each of this rank's unknowns, numbered on the rank.
    blocks : Blocks
    mass : ndarray or None
        What the shift contributes to each diagonal entry.
    smoothed : bool
        Whether `P` was smoothed; then neighbouring blocks are not all the neighbours there are.
    """

    A: Any
    P: Any
    block_of: np.ndarray
    blocks: Blocks
    mass: np.ndarray | None
    smoothed: bool = False

    @property
    def unknowns(self) -> int:
        """On all ranks."""
        return int(self.A.getSize()[0])


class BlockInterpolation:
    """Piecewise constant interpolation , from unknowns on the same rank, as a PETSc Python matrix."""

    def __init__(self, agg: np.ndarray):
        self._agg = agg

    def mult(self, mat: Any, e: Any, x: Any) -> None:
        x.set(0)
        csr.spread(0, self._agg.size, self._agg, e.array_r, x.array)

    def multAdd(self, mat: Any, e: Any, y: Any, x: Any) -> None:  # noqa: N802 (PETSc's name)
        if x.handle != y.handle:
            y.copy(x)
        csr.spread(0, self._agg.size, self._agg, e.array_r, x.array)

    def multTranspose(self, mat: Any, r: Any, c: Any) -> None:  # noqa: N802
        c.set(0)
        csr.collect(0, self._agg.size, self._agg, r.array_r, c.array)


def _offset(n: int, comm: Any) -> tuple[int, int]:
    """Number of the first of this rank's `n` unknowns, and how many there are on all ranks."""
    counts = comm.allgather(n)
    return sum(counts[: comm.rank]), sum(counts)


def first_level(A: DistributedPoisson, M: Parameters) -> Level:
    """The level of connected components of blocks of cells; `M` holds the parameters."""
    layout, petsc = A.layout, load_petsc()
    blocks = cells_as_blocks(A)
    factors = blocks.factors()
    halo = Halo(layout, 2)
    grid = A.on_box(halo).kernel_grid
    unit = grid.unit
    parts, made = first_coarse_level(
        grid, grid.stencil(np.float64, unit), factors, split=M.split,
        coarse_scaling=M._coarse_scaling(0), shift=A.shift / unit, strength=M.strength,
    )  # fmt: skip
    level = made.sparse()
    inner = _embed(halo.inner, slice(0, 1))
    own_block = np.zeros(level.block_shape, dtype=bool)
    own_block[tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(inner, factors, strict=True))] = True
    own = np.flatnonzero((level.diag > 0) & own_block.reshape(-1)[level.block_of])
    offset, total = _offset(own.size, layout.comm)

    # The unknown every cell belongs to: numbered on this rank, and then on all ranks in ghost cells.
    owner = np.full(grid.cells, -1, np.int32)
    transfer.owners(0, grid.shape[0], owner, grid.stencil(np.float32, unit), parts)
    owner = owner.reshape(halo.shape)
    number = np.full(level.n, -1, np.int64)
    number[own] = np.arange(own.size)
    agg = np.append(number, -1).astype(np.int32)[owner[halo.inner]].reshape(-1)  # the last one is that of -1
    number[own] += offset
    everywhere = halo.exchange(np.append(number, -1).astype(np.float64)[owner[halo.inner]])
    ghost = owner >= 0
    ghost[halo.inner] = False
    number[owner[ghost]] = everywhere[ghost]
    del everywhere, ghost, owner
    halo.dm.destroy()

    rows = _rows(level, own)
    index = petsc.IntType
    entries = (rows[0].astype(index), number[rows[1]].astype(index), rows[2] * float(unit))
    matrix = petsc.Mat().createAIJ(((own.size, total),) * 2, csr=entries, comm=layout.comm)
    interpolation = python_matrix(
        (layout.cells, A.shape[0]), (own.size, total), BlockInterpolation(agg), layout.comm
    )
    local_blocks = np.full(own_block.size, -1, np.int64)
    local_blocks[own_block.reshape(-1)] = np.arange(np.count_nonzero(own_block))
    mass = None if level.mass is None else level.mass[own] * unit
    coarse = blocks.coarsened(factors)
    return Level(matrix, interpolation, local_blocks[level.block_of[own]].astype(np.int32), coarse, mass)


def cells_as_blocks(A: DistributedPoisson) -> Blocks:
    """The cells themselves, as blocks of one cell."""
    layout = A.layout
    weights = A.local.kernel_grid.weights
    return Blocks(
        _embed(layout.shape, 1), _embed(tuple(b.start for b in layout.box), 0),
        _embed(layout.local_shape, 1), _embed(layout.units, 2**20), weights,
        _embed(tuple(int(p) for p in layout.periodic), 0),
    )  # fmt: skip


def _embed(values: tuple[Any, ...], missing: Any) -> tuple[Any, ...]:
    """Per-axis values in the kernels' order: 2D grids have their middle axis missing."""
    return values if len(values) == 3 else (values[0], missing, values[1])


def _rows(level: SparseLevel, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR of the rows `own`, in double precision."""
    lengths = np.diff(level.indptr)[own]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    take = np.repeat(level.indptr[own] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return indptr, level.indices[take], level.data[take].astype(np.float64)


# -- deeper levels ----------------------------------------------------------------------------
@dataclass
class _Local:
    """A rank's rows with columns numbered on the rank: its own first, then those of other ranks."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    diag: np.ndarray  # of all columns
    n: int

    @classmethod
    def of(cls, A: Any) -> _Local:
        petsc = load_petsc()
        indptr, columns, data = A.getValuesCSR()
        first, last = A.getOwnershipRange()
        outside = (columns < first) | (columns >= last)
        ghosts, place = np.unique(columns[outside], return_inverse=True)
        indices = columns - first
        indices[outside] = (last - first) + place
        diagonal = A.getDiagonal()
        of_ghosts = petsc.Vec().createSeq(ghosts.size, comm=petsc.COMM_SELF)
        where = petsc.IS().createGeneral(ghosts.astype(petsc.IntType), comm=petsc.COMM_SELF)
        petsc.Scatter().create(diagonal, where, of_ghosts, None).scatter(diagonal, of_ghosts)
        diag = np.concatenate([diagonal.array, of_ghosts.array])
        return cls(indptr, indices.astype(np.int32), data, diag, last - first)


def next_level(level: Level, depth: int, M: Parameters) -> Level | None:
    """Aggregate a level by blocks of its blocks; None where that does not pay, as in the serial set-up.

    `depth` is that of `level`: 1 for the first coarse level.
    """
    comm = world(level.A.comm)
    factors, damping = M._coarser(depth, level.blocks.shape, level.blocks.weights)
    if max(factors) == 1:
        return None
    blocks = level.blocks.coarsened(factors)
    local = _Local.of(level.A)
    block_of = np.full(local.diag.size, -1, np.int32)  # columns of other ranks lie in no block of ours
    block_of[: local.n] = coarser_blocks(level.block_of, level.blocks.local, factors, blocks.local)
    joined = aggregate(
        block_of, blocks.local, (local.indptr, local.indices, local.data), local.diag,
        strength=M.strength, split=M.split, rows=local.n,
    )  # fmt: skip
    agg, coarse = joined.agg, joined.count
    offset, total = _offset(coarse, comm)
    if total == 0 or total > STALLED * level.unknowns:
        return None
    P = _constant(level.A, agg, coarse, offset, total)
    mass, smooth = None, damping > 0.0
    if smooth:
        P = _without_history(_smoothing(level.A, local, agg, damping, M.strength).matMult(P))
        A = _without_history(level.A.ptap(P))
    else:
        A = _without_history(level.A.ptap(P))
        scaling = M._coarse_scaling(depth)
        A.scale(scaling)
        if level.mass is not None:
            mass = np.bincount(agg[agg >= 0], weights=level.mass[agg >= 0], minlength=coarse)
            extra = A.createVecLeft()
            extra.array[:] = (1 - scaling) * mass
            diagonal = A.getDiagonal()
            diagonal.axpy(1.0, extra)
            A.setDiagonal(diagonal)
    return Level(A, P, joined.block_of, blocks, mass, smooth)


def pieces(level: Level) -> float:
    """Unknowns beyond the first in their block, as a share of all, on all ranks; see `SparseLevel.pieces`."""
    blocks = np.count_nonzero(np.bincount(level.block_of)) if level.block_of.size else 0
    return 1.0 - world(level.A.comm).allreduce(blocks) / max(1, level.unknowns)


def coupled(level: Level) -> bool:
    """Whether unknowns of one block are neighbours anywhere, so that the parity of blocks is no colouring."""
    indptr, columns, _ = level.A.getValuesCSR()
    first, last = level.A.getOwnershipRange()
    rows = np.repeat(np.arange(last - first), np.diff(indptr))
    near = (columns >= first) & (columns < last) & (columns - first != rows)
    inside = level.block_of[columns[near] - first] == level.block_of[rows[near]]
    return any(world(level.A.comm).allgather(bool(inside.any())))


def _without_history(product: Any) -> Any:
    """A product without what PETSc keeps to repeat it."""
    copy = product.duplicate(copy=True)
    product.destroy()
    return copy


def _constant(A: Any, agg: np.ndarray, coarse: int, offset: int, total: int) -> Any:
    """Piecewise constant interpolation from aggregates."""
    petsc = load_petsc()
    index = petsc.IntType
    inside = agg >= 0
    indptr = np.concatenate([[0], np.cumsum(inside)]).astype(index)
    entries = (indptr, (agg[inside] + offset).astype(index), np.ones(int(indptr[-1])))
    return petsc.Mat().createAIJ((A.getSizes()[0], (coarse, total)), csr=entries, comm=A.comm)


def _smoothing(A: Any, local: _Local, agg: np.ndarray, damping: float, strength: float) -> Any:
    """``I − ω D⁻¹ F``, with the weak entries of A lumped onto the diagonal of F; see the serial kernel."""
    petsc = load_petsc()
    rows = np.repeat(np.arange(local.n), np.diff(local.indptr))
    diag, columns = local.diag, local.indices
    own = columns == rows
    lumped = own | (np.abs(local.data) < strength * np.sqrt(diag[rows] * diag[columns]))
    centre = np.bincount(rows[lumped], weights=local.data[lumped], minlength=local.n)
    strong = np.bincount(rows[~lumped], minlength=local.n)
    beside = np.bincount(rows[~lumped], weights=np.abs(local.data[~lumped]), minlength=local.n)
    usable = (centre > 0) & (strong > 0) & (agg >= 0)
    factor = np.where(usable, damping / np.where(usable, np.maximum(centre, beside), 1.0), 0.0)
    values = np.where(lumped, 0.0, -factor[rows] * local.data)
    values[own] = np.where(agg >= 0, 1.0 - factor * np.where(usable, centre, 0.0), 0.0)
    values[np.repeat(agg < 0, np.diff(local.indptr))] = 0.0
    indptr, indices, _ = A.getValuesCSR()
    return petsc.Mat().createAIJ(A.getSizes(), csr=(indptr, indices, values), comm=A.comm)


# -- the levels every rank holds ---------------------------------------------------------------
class Below(Multigrid):
    """The serial hierarchy from a given level on, for the levels that every rank holds.

    Parameters
    ----------
    level : SparseLevel
        In the unit `unit`.
    depth : int
        Its depth in the whole hierarchy, 1 for the first coarse level.
    """

    def __init__(
        self, level: SparseLevel, depth: int, blocks: Blocks, M: Parameters, shift: float, unit: float,
        smoothed: bool,
    ):  # fmt: skip
        self._set_parameters(M.parameters)
        self.strength, self._auto, self._smooth_from = M.strength, M._auto, M._smooth_from
        self._unit = unit
        self.index, self.coarsest = depth - 1, Coarsest(None)
        level.colour(not smoothed, blocks.periodic)
        # Levels above live elsewhere; their places are kept, because parameters are given by depth.
        above: list[Any] = [None] * self.index
        self.levels, self.transfers = [*above, level], above.copy()
        # The serial loop divides the weights by the factors of the level at hand, the first time by ones.
        self._coarsen(level, (1, 1, 1), blocks.weights, shift, blocks.periodic)
        vectors = [Vectors(level.n) for level in self.levels[self.index :]]
        self._vectors = SimpleNamespace(levels=[None] * self.index + vectors)

    def cycle_from(self, b: np.ndarray) -> np.ndarray:
        """A cycle on these levels, twice for W, as PETSc visits its coarsest level once.

        The result is valid until the next call.
        """
        own = self._vectors.levels[self.index]
        own.b[:] = b
        self._coarse_cycle(self.index, self._vectors)
        return own.x


def gather(level: Level, depth: int, M: Parameters, shift: float, unit: float) -> tuple[Below, np.ndarray]:
    """The whole of a level, and the levels below it, on every rank; and the order of its unknowns there."""
    comm = world(level.A.comm)
    indptr, columns, data = level.A.getValuesCSR()
    places = level.blocks.places(level.block_of)
    block = np.ravel_multi_index(places, level.blocks.shape) if level.block_of.size else level.block_of
    parts = comm.allgather((np.diff(indptr), columns, data, block, level.mass))
    lengths, columns, data, block = (np.concatenate([part[k] for part in parts]) for k in range(4))
    mass = None if level.mass is None else np.concatenate([part[4] for part in parts]) / unit
    # The serial order: by block.
    order = np.argsort(block, kind="stable")
    rank_of = np.empty(order.size, np.int64)
    rank_of[order] = np.arange(order.size)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.repeat(np.arange(order.size), lengths[order])
    new_ptr = np.concatenate([[0], np.cumsum(lengths[order])])
    take = starts[order][rows] + np.arange(new_ptr[-1]) - new_ptr[rows]
    columns, data = rank_of[columns[take]].astype(np.int32), (data[take] / unit).astype(np.float32)
    # Kernels want the diagonal first in its row.
    first = np.lexsort((columns != rows, rows))
    columns, data = columns[first], data[first]
    diag = data[new_ptr[:-1]].copy()
    whole = SparseLevel(
        new_ptr.astype(np.int64), columns, data, diag, block[order].astype(np.int32),
        level.blocks.shape, None if mass is None else mass[order],  # type: ignore[arg-type]
    )  # fmt: skip
    return Below(whole, depth, level.blocks, M, shift, unit, level.smoothed), order
