"""The first coarse level: one unknown per connected component of each block of cells, and its couplings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...backends.grid import GRAIN_CELLS, Grid, two_colourable
from ...backends.kernels.numba import coarsen, components, paired, regroup
from ...backends.threads import parallel
from .aggregation import Aggregates, collected
from .hierarchy import DOMINANT, GRAIN_ROWS, SparseLevel, packed_rows

__all__ = ["BlockLevel", "first_coarse_level"]


@dataclass
class BlockLevel:
    """The first coarse level as a stencil on the grid of blocks, and the couplings of extra unknowns beside
    it.

    Unknowns are numbered: one per block (empty ones too), each row of blocks paired as the grid's rows are, a
    row of zeros, extra unknowns. `extras` is the tuple
    ``(fix_start, fix_slot, fix_colour, fix_ptr, fix_col, fix_weight, ex_start, ex_colour, ex_ptr, ex_col,
    ex_weight, ex_diag, first)``: "fix" lists, per plane, the regular unknowns that have extra neighbours and
    these couplings; "ex" lists the extra unknowns of a plane with all their couplings. ``first`` is the
    number of the first extra.
    """

    block_shape: tuple[int, int, int]
    periodic: tuple[int, ...]
    faces: tuple[np.ndarray, ...]
    q: np.ndarray
    extras: tuple[Any, ...]
    extra_block: np.ndarray
    mass: np.ndarray | None
    coupled: bool
    """Whether some components of one block are neighbours, so that the parity of blocks is no colouring."""

    @property
    def n(self) -> int:
        return self.extras[-1] + self.extra_block.size

    @property
    def unknowns(self) -> int:
        return int(np.count_nonzero(self.q > 0)) + self.extra_block.size

    @property
    def nnz(self) -> int:
        faces = sum(int(np.count_nonzero(f)) for f in self.faces)
        return self.unknowns + 2 * faces + self.extras[9].size + self.extras[4].size

    @property
    def nbytes(self) -> int:
        arrays = (*self.faces, self.q, *self.extras[:-1], self.extra_block)
        return sum(a.nbytes for a in arrays)

    @property
    def colours(self) -> int:
        return 2

    @property
    def grain(self) -> int:
        """Smallest number of block planes worth a thread of its own."""
        return max(2, GRAIN_CELLS // max(1, self.block_shape[1] * self.block_shape[2]))

    @property
    def two_colourable(self) -> bool:
        return two_colourable(self.block_shape, self.periodic) and not self.coupled

    def stencil(self) -> tuple[Any, ...]:
        """The stencil tuple of `sciml.backends.kernels.numba.stencil`."""
        t = np.float32
        return (self.block_shape, self.periodic, self.q, t(0), t(1), t(-1), (t(1), t(1), t(1)), self.faces)

    @cached_property
    def _rows(self) -> tuple[Any, ...]:
        """The level tuple of `sciml.backends.kernels.numba.regroup`."""
        fix_row = np.searchsorted(self.extras[1], self._row_starts)
        return (self.block_shape, self.periodic, self.faces, self.q, fix_row, self.extras)

    @property
    def _row_starts(self) -> np.ndarray:
        """Number of the first block of every row of blocks, and of all blocks."""
        m0, m1, m2 = self.block_shape
        return np.arange(m0 * m1 + 1) * m2

    @property
    def diag(self) -> np.ndarray:
        """Diagonal; 0 where there is no unknown."""
        diag = np.zeros(self.n, np.float32)
        np.maximum(self.q, 0, out=diag[: self.q.size])
        diag[self.extras[-1] :] = self.extras[11]
        return diag

    def smoothing_suffices(self) -> bool:
        """See `SparseLevel.smoothing_suffices`."""
        return all(parallel(regroup.diagonally_dominant, self.n, self._rows, DOMINANT, grain=GRAIN_ROWS))

    def joined(self, factors, coarse_shape, *, strength: float, split: bool) -> Aggregates:
        """The unknowns of blocks of blocks that are connected inside them."""
        (_, m1, m2), (f0, f1, _) = self.block_shape, factors
        extra_row = np.searchsorted(self.extra_block, self._row_starts)
        # Extra unknowns of a coarse row, and from which place on it writes.
        row = self.extra_block // m2
        coarse_row = row // m1 // f0 * coarse_shape[1] + row % m1 // f1
        rows = coarse_shape[0] * coarse_shape[1]
        extras = np.bincount(coarse_row, minlength=rows)
        place = np.concatenate([[0], np.cumsum(extras + f0 * f1 * m2)])
        stop, members, block = (np.empty(place[-1], np.int32) for _ in range(3))
        found = parallel(
            regroup.join, rows, self._rows, tuple(factors), coarse_shape, strength, split, place,
            self.extra_block, extra_row, stop, members, block, grain=max(1, GRAIN_ROWS // m2),
        )  # fmt: skip
        agg = np.full(self.n, -1, np.int32)
        return collected(found, rows, place, stop, members, block, agg)

    def galerkin(self, joined: Aggregates):
        """See `SparseLevel.galerkin`."""
        ptr, more = joined.ptr, self._irregular
        args = (joined.count, ptr, joined.members, joined.agg, self._rows)
        return packed_rows(
            regroup.galerkin, lambda start, stop: 7 * int(ptr[stop] - ptr[start]) + more, joined.count, *args
        )

    @property
    def _irregular(self) -> int:
        """Entries of the level that are not those of its stencil."""
        return self.extras[4].size + self.extras[9].size + self.extra_block.size

    def sparse(self) -> SparseLevel:
        """The same level in CSR."""
        more = self._irregular
        indptr, indices, data = packed_rows(
            regroup.level_rows, lambda start, stop: 7 * (stop - start) + more, self.n, self._rows
        )
        m2, first = self.block_shape[2], self.extras[-1]
        block_of = np.zeros(self.n, np.int32)
        first_of_row = np.arange(0, self.q.size, m2, dtype=np.int32)
        np.add.outer(first_of_row, paired.natural_cells(m2), out=block_of[: self.q.size].reshape(-1, m2))
        block_of[first:] = self.extra_block
        diag = self._with_row_sums(indptr, data)
        return SparseLevel(indptr, indices, data, diag, block_of, self.block_shape, self.mass)

    def _with_row_sums(self, indptr: np.ndarray, data: np.ndarray) -> np.ndarray:
        """The diagonal of the CSR matrix, changed in both where row sums are but rounding and mass.

        See `sciml.backends.kernels.numba.csr.diagonal` for why.
        """
        diag = self.diag
        row, mass = np.flatnonzero(diag > 0), 0.0 if self.mass is None else self.mass[diag > 0]
        first = indptr[row]
        # Rows without entries end where the next one begins, so these sums are those of the others.
        sums = np.add.reduceat(data, first, dtype=np.float64) if row.size else np.empty(0)
        beside = diag[row].astype(np.float64) - sums
        near = np.abs(sums - mass) <= 1e-6 * diag[row]
        exact = (beside + mass)[near]
        diag[row[near]] = data[first[near]] = exact
        return diag


def first_coarse_level(
    grid: Grid, stencil, factors, *, split: bool, coarse_scaling: float, shift: float, strength: float
):
    """Blocks of the grid and the level of their components.

    `stencil` is that of the grid in natural order, in units of ``grid.unit``.
    """
    theta = strength * stencil[4]  # diagonals are d1 * q where there are face weights
    coarse_shape = tuple(-(-n // f) for n, f in zip(grid.shape, factors, strict=True))
    m0, m1, m2 = coarse_shape
    slots = m0 * m1 * m2
    first = slots + m2  # extra unknowns follow the row of zeros that grid kernels need
    grain = max(1, GRAIN_ROWS // max(1, m1 * m2))
    bits = np.zeros(slots, np.uint8)
    split_count, extra_count = np.zeros(m0 * m1, np.int64), np.zeros(m0 * m1, np.int64)
    parallel(
        components.scan_blocks,
        m0,
        stencil,
        factors,
        coarse_shape,
        theta,
        split,
        bits,
        split_count,
        extra_count,
        grain=grain,
    )
    split_start = np.concatenate([[0], np.cumsum(split_count)])
    extra_start = np.concatenate([[0], np.cumsum(extra_count)])
    splits, extras = int(split_start[-1]), int(extra_start[-1])
    lists = tuple(np.zeros(splits, np.int64) for _ in range(3))
    blocks = (tuple(factors), coarse_shape, split_start, *lists)
    extra_block = np.zeros(extras, np.int64)
    popcount = np.array([bin(v).count("1") for v in range(256)], np.int64)
    if splits:
        parallel(
            components.fill_blocks,
            m0,
            stencil,
            theta,
            blocks,
            extra_start,
            first,
            bits,
            extra_block,
            grain=grain,
        )

    scale = (*(coarse_scaling if f == 2 else 1.0 for f in factors), coarse_scaling)
    g = tuple(np.empty(slots, np.float32) for _ in range(3))
    qc = np.empty(slots, np.float32)
    args = (bits, stencil, factors, coarse_shape, scale, shift, popcount, *g, qc)
    parallel(coarsen.coarse_stencil, m0, *args, grain=grain)
    parallel(coarsen.coarse_diagonal, m0, *args, grain=grain)

    ptr = np.zeros(extras + 1, np.int64)
    columns, weights, lifts = np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
    diag = np.empty(extras, np.float32)
    for fill in (False, True):
        args = (fill, stencil, blocks, scale, shift, first, ptr, columns, weights, lifts, diag)
        if splits:
            parallel(coarsen.extra_rows, m0, *args, grain=grain)
        if not fill:
            np.cumsum(ptr, out=ptr)
            columns = np.empty(ptr[-1], np.int64)
            weights, lifts = np.empty(ptr[-1], np.float32), np.empty(ptr[-1], np.float32)

    # The regular unknowns that extra ones couple to: the transpose of the rows just made.
    to_slot = np.flatnonzero(columns < slots)
    if splits and len(set(scale)) > 1:
        np.add.at(qc, columns[to_slot], lifts[to_slot])
    # From here on rows of blocks are paired, like rows of cells in the cycle.
    for array in (*g, qc):
        parallel(paired.pair_in_place, m0 * m1, array, m2, grain=max(1, GRAIN_CELLS // m2))
    columns[to_slot] = paired.pairing(columns[to_slot], m2)
    to_slot = to_slot[np.argsort(columns[to_slot], kind="stable")]
    fix_slot, fix_counts = np.unique(columns[to_slot], return_counts=True)
    fix_ptr = np.concatenate([[0], np.cumsum(fix_counts)])
    extra_of_entry = np.repeat(np.arange(extras), np.diff(ptr))

    def parity(block):
        i, rest = np.divmod(block, m1 * m2)
        j, k = np.divmod(rest, m2)
        return ((i + j + k) & 1).astype(np.uint8)

    def natural(slot):
        return slot - slot % m2 + paired.natural_cells(m2)[slot % m2]

    planes = np.arange(m0 + 1) * (m1 * m2)
    overflow = (
        np.searchsorted(fix_slot, planes), fix_slot, parity(natural(fix_slot)), fix_ptr,
        first + extra_of_entry[to_slot], weights[to_slot],
        np.searchsorted(extra_block, planes), parity(extra_block), ptr, columns, weights, diag, first,
    )  # fmt: skip
    periodic = tuple(int(p and m > 1) for p, m in zip(grid.periodic, coarse_shape, strict=True))
    # Only weak faces, of variable coefficients, join components of one block.
    block_of = np.where(columns < slots, natural(np.minimum(columns, slots - 1)), 0)
    block_of[columns >= first] = extra_block[columns[columns >= first] - first]
    coupled = bool(np.any(block_of == extra_block[extra_of_entry]))
    mass = shift * _cells_per_unknown(bits, blocks, first + extras, popcount) if shift > 0 else None
    return blocks, BlockLevel(coarse_shape, periodic, g, qc, overflow, extra_block, mass, coupled)


def _cells_per_unknown(bits, blocks, n, popcount):
    """Number of grid cells of every unknown of the first coarse level; `bits` marks first components."""
    _, (_, _, m2), _, _, split_labels, split_extra = blocks
    cells = np.zeros(n)
    cells[: bits.size] = popcount[bits].reshape(-1, m2)[:, paired.natural_cells(m2)].ravel()
    for child in range(8):
        label = (split_labels >> (4 * child)) & 15
        extra = (label > 0) & (label < 15)
        np.add.at(cells, split_extra[extra] + label[extra] - 1, 1.0)
    return cells
