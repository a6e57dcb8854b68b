"""Set-up of the multigrid hierarchy: grid, blocks split by connectivity, then smoothed aggregation.

Level 0 is the matrix-free grid. Level 1 has one unknown per connected component of each block of 2x2x2 cells.
Deeper levels are sparse matrices; their aggregates are the connected pieces of blocks of blocks, and their prolongation is
smoothed by one Jacobi step from level `smooth_from` on (Vaněk, Mandel and Brezina, Computing 56, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...backends.grid import Grid, two_colourable
from ...backends.kernels.numba import coarsen, csr
from ...backends.threads import parallel

__all__ = ["Coarsest", "SparseLevel", "Transfer", "block_factors"]

STRONG = 0.05
"""Connections of a coarse level weaker than this fraction of the smaller diagonal do not join unknowns of a block."""

JACOBI_PROLONGATOR = 2.0 / 3.0

FILTER = 0.05
"""Entries below this fraction of the smaller diagonal are lumped before the prolongation is smoothed."""

# Fewer rows are not worth waking another thread for.
GRAIN_ROWS = 1_500


def block_factors(shape, weights) -> tuple[int, int, int]:
    """Which axes to coarsen: those whose weight is within a factor 4 of the largest (semi-coarsening otherwise)."""
    able = [n > 1 and w > 0 for n, w in zip(shape, weights, strict=True)]
    largest = max((w for w, a in zip(weights, able, strict=True) if a), default=0.0)
    return tuple(2 if a and 4.0 * w > 1.0001 * largest else 1 for w, a in zip(weights, able, strict=True))  # type: ignore[return-value]


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
    inverse_diagonal: np.ndarray = field(init=False)
    order: np.ndarray = field(init=False)
    colour_start: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore"):
            self.inverse_diagonal = np.where(self.diag > 0, 1 / self.diag, 0).astype(np.float32)

    @property
    def n(self) -> int:
        return self.diag.size

    @property
    def unknowns(self) -> int:
        return int(np.count_nonzero(self.diag > 0))

    @property
    def nnz(self) -> int:
        return int(self.indptr[-1])

    def colour(self, two_colours: bool, periodic) -> None:
        """Group rows by colour: parity of the block where that is proper, greedily otherwise."""
        if two_colours and two_colourable(self.block_shape, periodic):
            _, m1, m2 = self.block_shape
            i, rest = np.divmod(self.block_of, m1 * m2)
            j, k = np.divmod(rest, m2)
            colour = ((i + j + k) & 1).astype(np.int32)
            colours = 2
        else:
            colour = np.empty(self.n, np.int32)
            colours = csr.colour_greedy(self.indptr, self.indices, colour)
        colour[self.diag <= 0] = colours  # empty blocks: never visited
        self.order = np.argsort(colour, kind="stable").astype(np.int32)
        counts = np.bincount(colour, minlength=colours + 1)[:colours]
        self.colour_start = np.concatenate([[0], np.cumsum(counts)])


@dataclass
class Transfer:
    """Prolongation P (CSR) and its transpose between two sparse levels."""

    P: tuple[np.ndarray, np.ndarray, np.ndarray]
    R: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Coarsest:
    """Exact (pseudo-)inverse of the coarsest matrix; None where only the smoother acts on the last level."""

    inverse: np.ndarray | None


def first_coarse_level(grid: Grid, factors, *, split: bool, coarse_scaling: float, shift: float):
    """Blocks of the grid and the sparse level of their components."""
    # Face weights are shared with the cycle in float32; constant weights are exact in float64.
    stencil = grid.stencil(np.float64 if grid.faces is None else np.float32, grid.unit)
    faces = stencil[7]
    shape = grid.shape
    coarse_shape = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    m0, m1, m2 = coarse_shape
    first = m0 * m1 * m2
    grain = max(1, GRAIN_ROWS // max(1, m1 * m2))
    bits = np.zeros(first, np.uint8)
    split_count, extra_count = np.zeros(m0 * m1, np.int64), np.zeros(m0 * m1, np.int64)
    parallel(coarsen.scan_blocks, m0, stencil, factors, coarse_shape, split, bits, split_count, extra_count, grain=grain)
    split_start = np.concatenate([[0], np.cumsum(split_count)])
    extra_start = np.concatenate([[0], np.cumsum(extra_count)])
    splits, extras = int(split_start[-1]), int(extra_start[-1])
    blocks = (
        tuple(factors),
        coarse_shape,
        split_start,
        np.zeros(splits, np.int64),
        np.zeros(splits, np.int64),
        np.zeros(splits, np.int64),
    )
    extra_block = np.zeros(extras, np.int64)
    irregular = np.zeros(first, np.uint8)
    if splits:
        parallel(coarsen.fill_blocks, m0, shape, faces, blocks, extra_start, bits, extra_block, grain=grain)
        coarsen.mark_irregular(blocks, grid.periodic, irregular)

    scale = tuple(coarse_scaling if f == 2 else 1.0 for f in factors) + (coarse_scaling,)
    popcount = np.array([bin(v).count("1") for v in range(256)], np.int64)
    g = tuple(np.empty(first, np.float32) for _ in range(3))
    qc = np.empty(first, np.float32)
    args = (bits, stencil, factors, coarse_shape, scale, shift, popcount, *g, qc)
    parallel(coarsen.coarse_stencil, m0, *args, grain=grain)
    parallel(coarsen.coarse_diagonal, m0, *args, grain=grain)

    n = first + extras
    indptr = np.zeros(n + 1, np.int64)
    indices, data, diag = np.empty(0, np.int32), np.empty(0, np.float32), np.zeros(n, np.float32)
    for fill in (False, True):
        parallel(
            coarsen.regular_rows, m0, fill, irregular, coarse_shape, grid.periodic, *g, qc,
            indptr, indices, data, diag, grain=grain,
        )  # fmt: skip
        if splits:
            parallel(
                coarsen.irregular_rows, m0, fill, bits, irregular, stencil, blocks, scale, shift,
                indptr, indices, data, diag, grain=grain,
            )  # fmt: skip
        if not fill:
            np.cumsum(indptr, out=indptr)
            indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    block_of = np.concatenate([np.arange(first, dtype=np.int64), extra_block])
    mass = None
    if shift > 0:
        mass = shift * _cells_per_unknown(bits, blocks, n, popcount)
    level = SparseLevel(indptr, indices, data, diag, block_of, coarse_shape, mass)
    return blocks, level


def _cells_per_unknown(bits, blocks, n, popcount):
    """Number of grid cells of every unknown of the first coarse level."""
    _, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    cells = np.zeros(n)
    cells[: bits.size] = popcount[bits]
    rows = np.repeat(np.arange(split_start.size - 1), np.diff(split_start))
    for child in range(8):
        label = (split_labels >> (4 * child)) & 15
        extra = (label > 0) & (label < 15)
        np.subtract.at(cells, rows[extra] * coarse_shape[2] + split_block[extra], 1.0)
        np.add.at(cells, split_extra[extra] + label[extra] - 1, 1.0)
    return cells


def _count_then_fill(kernel, rows, columns_of_args, *args, grain):
    """Run a two-pass CSR kernel: counts, prefix sum, values."""
    ptr = np.zeros(rows + 1, np.int64)
    idx, val = np.empty(0, np.int32), np.empty(0, np.float32)
    parallel(kernel, rows, False, *columns_of_args, *args, ptr, idx, val, grain=grain)
    np.cumsum(ptr, out=ptr)
    idx, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    parallel(kernel, rows, True, *columns_of_args, *args, ptr, idx, val, grain=grain)
    return ptr, idx, val


def sparse_product(rows, columns, A, B):
    """CSR product of two CSR triples, rows in parallel."""
    return _count_then_fill(csr.sparse_product, rows, (columns,), *A, *B, grain=GRAIN_ROWS)


def next_level(level: SparseLevel, factors, *, split: bool, smooth: bool, coarse_scaling: float):
    """Aggregate a sparse level by blocks of its blocks; returns the transfer and the Galerkin level, or None if empty."""
    shape = level.block_shape
    coarse_shape = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    i, rest = np.divmod(level.block_of, shape[1] * shape[2])
    j, k = np.divmod(rest, shape[2])
    block_of = ((i // factors[0]) * coarse_shape[1] + j // factors[1]) * coarse_shape[2] + k // factors[2]
    members = np.argsort(block_of, kind="stable")
    n_blocks = int(np.prod(coarse_shape))
    block_start = np.concatenate([[0], np.cumsum(np.bincount(block_of, minlength=n_blocks))])
    agg, coarse_block = np.empty(level.n, np.int32), np.empty(level.n, np.int64)
    A = (level.indptr, level.indices, level.data)
    coarse = csr.aggregate(block_start, members, block_of, *A, level.diag, STRONG, split, agg, coarse_block)
    if coarse == 0:
        return None
    omega = JACOBI_PROLONGATOR if smooth else 0.0
    P = _count_then_fill(
        csr.smoothed_prolongator, level.n, (), agg, *A, level.diag, omega, FILTER, grain=GRAIN_ROWS
    )
    R = (np.zeros(coarse + 1, np.int64), np.empty_like(P[1]), np.empty_like(P[2]))
    csr.transpose(*P, *R)
    AP = sparse_product(level.n, coarse, A, P)
    ptr, idx, val = sparse_product(coarse, coarse, R, AP)
    mass = None
    diag = np.zeros(coarse, np.float32)
    parallel(csr.diagonal, coarse, ptr, idx, val, *R, level.diag, diag, grain=GRAIN_ROWS)
    if not smooth:
        val *= np.float32(coarse_scaling)
        diag *= np.float32(coarse_scaling)
    if level.mass is not None and not smooth:
        mass = np.bincount(agg[agg >= 0], weights=level.mass[agg >= 0], minlength=coarse)
        diag += ((1 - coarse_scaling) * mass).astype(np.float32)
        val[ptr[:-1]] = diag
    return Transfer(P, R), SparseLevel(ptr, idx, val, diag, coarse_block[:coarse].copy(), coarse_shape, mass)


def coarsest_solve(level: SparseLevel) -> Coarsest:
    """Dense (pseudo-)inverse; the kernel is what constants on connected components without boundary span."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    A = csr_matrix((level.data.astype(np.float64), level.indices, level.indptr), shape=(level.n, level.n))
    dense = A.toarray()
    dense = 0.5 * (dense + dense.T)
    active = level.diag > 0
    dense[~active, ~active] = 1.0
    count, labels = connected_components(A, directed=False)
    sums = np.bincount(labels, weights=A.sum(axis=1).A1 if hasattr(A.sum(axis=1), "A1") else A.sum(axis=1))
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
    inverse = cho_solve(cho_factor(dense, lower=True), np.eye(level.n))
    if kernel.shape[1]:
        inverse -= (kernel @ kernel.T) / strength
    inverse[~active, ~active] = 0.0
    return Coarsest(np.ascontiguousarray(0.5 * (inverse + inverse.T), np.float32))
