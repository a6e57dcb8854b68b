"""The sparse levels of the multigrid hierarchy: aggregation, smoothed further down, and the coarsest solve.

Level 0 is the matrix-free grid. Level 1 has one unknown per connected component of each block of 2x2x2 cells
(`blocks.py`). Deeper levels are sparse matrices; their aggregates are the connected pieces of blocks of
blocks, and their prolongation is smoothed by one Jacobi step from level `smooth_from` on (Vaněk, Mandel and
Brezina, Computing 56, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...backends.grid import two_colourable
from ...backends.kernels.numba import csr, grouping
from ...backends.threads import parallel, slabs
from .aggregation import Aggregates, aggregate, coarser_blocks

__all__ = ["Coarsest", "SparseLevel", "Transfer", "coarsest_solve", "next_level", "packed_rows"]

GRAIN_ROWS = 1_500
"""Fewer rows than these are not worth waking another thread for when they are made, at 0.3 µs or so each."""

GRAIN_PASS = 12_000
"""Nor are fewer than these when they are swept or multiplied, at 10 ns or so each: waking a thread of a
virtual machine takes 80 µs and more."""


UNRESOLVED = 1e-5
"""Eigenvalues of a coarsest matrix with unit diagonal that its entries in single precision say nothing of."""

DOMINANT = 0.7
"""Smoothing suffices where what is off the diagonal sums to no more than this share of it, in every row."""


@dataclass
class SparseLevel:
    """A coarse level in CSR (diagonal first in its row), with rows grouped by colour."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    diag: np.ndarray
    block_of: np.ndarray  # block each unknown belongs to, on the grid `block_shape`
    block_shape: tuple[int, int, int]
    mass: np.ndarray | None
    # What smoothing needs; set by `colour`.
    inverse_diagonal: np.ndarray = field(init=False)
    order: np.ndarray = field(init=False)
    colour_start: np.ndarray = field(init=False)

    @property
    def n(self) -> int:
        return self.diag.size

    @property
    def unknowns(self) -> int:
        return int(np.count_nonzero(self.diag > 0))

    @property
    def nnz(self) -> int:
        return int(self.indptr[-1])

    @property
    def colours(self) -> int:
        return self.colour_start.size - 1

    @property
    def nbytes(self) -> int:
        arrays = (
            self.indptr,
            self.indices,
            self.data,
            self.diag,
            self.inverse_diagonal,
            self.block_of,
            self.order,
        )
        return sum(a.nbytes for a in arrays)

    def sparse(self) -> SparseLevel:
        """This level; `BlockLevel` makes one."""
        return self

    def joined(self, factors, coarse_shape, *, strength: float, split: bool) -> Aggregates:
        """The unknowns of blocks of blocks that are connected inside them."""
        block_of = coarser_blocks(self.block_of, self.block_shape, factors, coarse_shape)
        A = (self.indptr, self.indices, self.data)
        return aggregate(block_of, coarse_shape, A, self.diag, strength=strength, split=split)

    def galerkin(self, joined: Aggregates):
        """CSR triple of ``P^T A P``, diagonal first, for the piecewise constant P of the aggregates."""
        room = _room_of_product(joined.ptr, joined.members, self.indptr)
        args = (joined.count, joined.ptr, joined.members, joined.agg, self.indptr, self.indices, self.data)
        return packed_rows(csr.galerkin_constant, room, joined.count, *args)

    def pieces(self) -> float:
        """Unknowns beyond the first in their block, as a share of all: how much walls cut up the level."""
        used = self.block_of[self.diag > 0]
        blocks = np.count_nonzero(np.bincount(used)) if used.size else 0
        return 1.0 - blocks / max(1, used.size)

    def smoothing_suffices(self) -> bool:
        """Whether the diagonal outweighs each row so far that a coarser level has nothing to add."""
        sums = np.concatenate([[0.0], np.cumsum(np.abs(self.data), dtype=np.float64)])
        rows, used = np.diff(sums[self.indptr]), self.diag > 0
        return bool(np.all(rows[used] <= (1 + DOMINANT) * self.diag[used]))

    def _coupled_blocks(self) -> bool:
        """Whether two unknowns of one block are neighbours."""
        args = (self.indptr, self.indices, self.block_of)
        return any(parallel(grouping.coupled, self.n, *args, grain=GRAIN_PASS))

    def colour(self, two_colours: bool, periodic) -> None:
        """Group rows by colour: parity of the block where that is proper, greedily otherwise."""
        colour = np.empty(self.n, np.int32)
        if two_colours and two_colourable(self.block_shape, periodic) and not self._coupled_blocks():
            parallel(grouping.parity, self.n, self.block_of, self.block_shape, colour, grain=GRAIN_PASS)
            colours = 2
        else:
            colours = grouping.colour_greedy(self.indptr, self.indices, colour)
        colour[self.diag <= 0] = colours  # empty blocks: never visited
        self.order, start = np.empty(self.n, np.int32), np.zeros(colours + 2, np.int32)
        grouping.bucket(colour, start, self.order)
        self.colour_start = start[:-1].astype(np.int64)
        with np.errstate(divide="ignore"):
            self.inverse_diagonal = np.where(self.diag > 0, 1 / self.diag, 0).astype(np.float32)


@dataclass
class Transfer:
    """Prolongation from a coarse sparse level: piecewise constant on aggregates, smoothed where `P` is given
    (CSR).

    Aggregate I owns the unknowns ``members[ptr[I]:ptr[I + 1]]``; `agg` names the aggregate of every unknown.
    """

    agg: np.ndarray
    ptr: np.ndarray
    members: np.ndarray
    P: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    R: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        arrays = (self.agg, self.ptr, self.members) if self.P is None else (*self.P, *(self.R or ()))
        return sum(a.nbytes for a in arrays)

    def restrict(self, r: np.ndarray, coarse: np.ndarray) -> None:
        """``coarse = P^T r``."""
        if self.R is None:
            parallel(csr.sum_members, coarse.size, self.ptr, self.members, r, coarse, grain=GRAIN_PASS)
        else:
            parallel(csr.spmv, coarse.size, *self.R, r, coarse, False, grain=GRAIN_PASS)

    def prolong(self, e: np.ndarray, x: np.ndarray) -> None:
        """``x += P e``."""
        if self.P is None:
            parallel(csr.spread, x.size, self.agg, e, x, grain=4 * GRAIN_PASS)
        else:
            parallel(csr.spmv, x.size, *self.P, e, x, True, grain=GRAIN_PASS)

    def sparse(self) -> Any:
        """P as a SciPy CSR matrix."""
        from scipy.sparse import csr_matrix

        shape = (self.agg.size, self.ptr.size - 1)
        if self.P is not None:
            return csr_matrix((self.P[2], self.P[1], self.P[0]), shape=shape)
        rows = np.flatnonzero(self.agg >= 0)
        return csr_matrix((np.ones(rows.size, np.float32), (rows, self.agg[rows])), shape=shape)


@dataclass
class Coarsest:
    """Exact (pseudo-)inverse of the coarsest matrix; None where only the smoother acts on the last level."""

    inverse: np.ndarray | None


def packed_rows(kernel, room, rows: int, *args):
    """CSR triple of a kernel that does not know beforehand how long its rows are.

    ``room(start, stop)`` bounds the entries of a range of rows; every thread writes into a part of its own,
    and the gaps are closed afterwards. To count first would take nearly as long as the product itself.
    """
    rooms = parallel(room, rows, grain=GRAIN_ROWS)
    begins = np.cumsum([0, *rooms])
    place = np.zeros(rows + 1, np.int64)
    place[[start for start, _ in slabs(rows, len(rooms))]] = begins[:-1]
    ptr = np.zeros(rows + 1, np.int64)
    idx, val = np.empty(begins[-1], np.int32), np.empty(begins[-1], np.float32)
    counts = parallel(kernel, rows, *args, place, ptr, idx, val, grain=GRAIN_ROWS)
    np.cumsum(ptr, out=ptr)
    ends = np.cumsum([0, *counts])
    packed_idx, packed_val = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)

    def close_gaps(first: int, last: int) -> None:
        for part in range(first, last):
            to, used = slice(ends[part], ends[part + 1]), slice(begins[part], begins[part] + counts[part])
            packed_idx[to], packed_val[to] = idx[used], val[used]

    parallel(close_gaps, len(counts))
    return ptr, packed_idx, packed_val


def sparse_product(rows: int, columns: int, A, B):
    """CSR product of two CSR triples, rows in parallel."""
    return packed_rows(csr.sparse_product, _room_of_product(A[0], A[1], B[0]), rows, columns, *A, *B)


def _room_of_product(a_ptr, a_idx, b_ptr):
    return lambda start, stop: csr.room_product(start, stop, a_ptr, a_idx, b_ptr)


def next_level(
    level,
    factors,
    *,
    split: bool,
    coarse_scaling: float,
    strength: float,
    damping: float,
):
    """Aggregate a level by blocks of its blocks; returns the transfer and the Galerkin level, or None.

    Interpolation is smoothed by a Jacobi step of this `damping`, and `coarse_scaling` is for where that is 0.
    """
    smooth = damping > 0.0
    if smooth:
        level = level.sparse()
    coarse_shape = tuple(-(-n // f) for n, f in zip(level.block_shape, factors, strict=True))
    joined = level.joined(factors, coarse_shape, strength=strength, split=split)
    agg, coarse = joined.agg, joined.count
    if coarse == 0:
        return None
    hop = Transfer(agg, joined.ptr, joined.members)
    diag = np.zeros(coarse, np.float32)
    mass: Any = None
    added: Any = np.empty(0)
    if smooth:
        A = (level.indptr, level.indices, level.data)
        settings = (agg, *A, level.diag, damping, strength)
        P = packed_rows(
            csr.smoothed_prolongator, lambda start, stop: A[0][stop] - A[0][start], level.n, *settings
        )
        R = (np.zeros(coarse + 1, np.int64), np.empty_like(P[1]), np.empty_like(P[2]))
        csr.transpose(*P, *R)
        hop.P, hop.R = P, R
        ptr, idx, val = sparse_product(coarse, coarse, R, sparse_product(level.n, coarse, A, P))
        scaling = 1.0
    else:
        ptr, idx, val = level.galerkin(joined)
        if level.mass is not None:
            mass = added = np.bincount(agg[agg >= 0], weights=level.mass[agg >= 0], minlength=coarse)
        # Types as above: the compiler would make the kernel once more for others.
        R = (hop.ptr.astype(np.int64), hop.members, np.empty(0, np.float32))
        scaling = coarse_scaling
    parallel(csr.diagonal, coarse, ptr, idx, val, *R, level.diag, scaling, added, diag, grain=GRAIN_ROWS)
    return hop, SparseLevel(ptr, idx, val, diag, joined.block_of, coarse_shape, mass)


def positive_part(A: np.ndarray) -> np.ndarray:
    """Inverse of a matrix that is indefinite by rounding, on its positive directions; zero on the others.

    Coefficients that jump by a million leave single precision nothing of what couples weakly. The smoother
    alone corrects those directions, and the cycle stays positive definite.
    """
    diagonal = np.diagonal(A)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, diagonal.max()))
    values, vectors = np.linalg.eigh(scale[:, None] * A * scale)
    keep = values > UNRESOLVED
    vectors = scale[:, None] * vectors[:, keep]
    return (vectors / values[keep]) @ vectors.T


def coarsest_solve(level: SparseLevel) -> Coarsest:
    """Dense (pseudo-)inverse; the kernel is what constants on connected components without boundary span."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    A = csr_matrix((level.data.astype(np.float64), level.indices, level.indptr), shape=(level.n, level.n))
    dense = A.toarray()
    dense = 0.5 * (dense + dense.T)
    active = level.diag > 0
    dense[~active, ~active] = 1.0
    _, labels = connected_components(A, directed=False)
    sums = np.bincount(labels, weights=A @ np.ones(level.n))
    totals = np.bincount(labels, weights=np.abs(level.diag))
    sizes = np.bincount(labels)
    # A component is singular where its row sums cancel to float32 rounding.
    singular = (np.abs(sums) <= 2e-6 * totals) & (sizes > 1)
    kernel = np.zeros((level.n, int(singular.sum())))
    for column, c in enumerate(np.flatnonzero(singular)):
        kernel[labels == c, column] = 1.0 / np.sqrt(sizes[c])
    strength = float(level.diag.max(initial=1.0)) or 1.0
    if kernel.shape[1]:
        # Make the constants exact null vectors, then lift them to eigenvalue `strength`.
        project = np.eye(level.n) - kernel @ kernel.T
        dense = project @ dense @ project + strength * (kernel @ kernel.T)
    # Smoothing can annihilate a vector of a tiny component, and the matrix is singular there. No harm:
    # what a slightly shifted inverse does to that vector, the prolongation annihilates again.
    dense[np.diag_indices(level.n)] *= 1.0 + 1e-6
    inverse = np.ascontiguousarray(dense)
    if not csr.invert(inverse):
        inverse = positive_part(dense)
    if kernel.shape[1]:
        inverse -= (kernel @ kernel.T) / strength
    inverse[~active, ~active] = 0.0
    if not np.isfinite(inverse).all():
        return Coarsest(None)
    return Coarsest(np.ascontiguousarray(0.5 * (inverse + inverse.T), np.float32))
