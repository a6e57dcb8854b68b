"""Which unknowns of a level make one of the next: the connected pieces of blocks of its blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...backends.grid import GRAIN_CELLS
from ...backends.kernels.numba import grouping
from ...backends.threads import parallel, slabs

__all__ = ["Aggregates", "aggregate", "all_coarsened", "block_factors", "coarser_blocks", "collected"]


def block_factors(shape, weights) -> tuple[int, int, int]:
    """Which axes to coarsen: those whose weight is within a factor 4 of the largest."""
    able = [n > 1 and w > 0 for n, w in zip(shape, weights, strict=True)]
    largest = max((w for w, a in zip(weights, able, strict=True) if a), default=0.0)
    return tuple(2 if a and 4.0 * w > 1.0001 * largest else 1 for w, a in zip(weights, able, strict=True))  # type: ignore[return-value]


def all_coarsened(factors, shape) -> bool:
    """Whether these factors coarsen every axis that has more than one cell."""
    return all(f > 1 or n == 1 for f, n in zip(factors, shape, strict=True))


def coarser_blocks(block_of, shape, factors, coarse_shape):
    """The block of the next grid of blocks that every unknown belongs to."""
    out = np.empty(block_of.size, np.int32)
    parallel(
        grouping.coarser_blocks, out.size, block_of, shape, factors, coarse_shape, out, grain=GRAIN_CELLS
    )
    return out


@dataclass
class Aggregates:
    """Aggregate I owns the unknowns ``members[ptr[I]:ptr[I + 1]]`` and lies in block ``block_of[I]``.

    `agg` names the aggregate of every unknown; -1 where the smoother alone solves it.
    """

    agg: np.ndarray
    ptr: np.ndarray
    members: np.ndarray
    block_of: np.ndarray

    @property
    def count(self) -> int:
        return self.block_of.size


def aggregate(block_of, coarse_shape, A, diag, *, strength: float, split: bool, rows: int | None = None):
    """Join the unknowns of every block that are strongly connected inside it.

    Parameters
    ----------
    block_of : int32 array
        Block of every unknown; columns that belong to nobody here have -1 and come after the `rows`.
    coarse_shape : tuple of int
        Of the grid of blocks.
    A : tuple
        ``(indptr, indices, data)`` of the level.
    diag : array
    strength : float
        See `Multigrid`.
    split : bool
        False joins all unknowns of a block.
    rows : int, optional
        Of the level, where it has more columns.

    Returns
    -------
    Aggregates
        The same on any number of threads.
    """
    rows = block_of.size if rows is None else rows
    blocks = math.prod(coarse_shape)
    start, by_block = np.zeros(blocks + 1, np.int32), np.empty(rows, np.int32)
    grouping.bucket(block_of[:rows], start, by_block)
    agg = np.full(rows, -1, np.int32)
    stop, members, block = (np.empty(rows, np.int32) for _ in range(3))
    args = (start, by_block, block_of, *A, diag, strength, split, agg, stop, members, block)
    found = parallel(grouping.aggregate, blocks, *args, grain=GRAIN_CELLS)
    return collected(found, blocks, start, stop, members, block, agg)


def collected(found, blocks: int, start, stop, members, block, agg) -> Aggregates:
    """Close the gaps between what threads have written, each from the `start` of its first block on.

    `found` has the numbers of aggregates and of members of every thread; `agg` is filled in.
    """
    parts, before = [], 0
    for (begin, _), (coarse, count) in zip(slabs(blocks, len(found)), found, strict=True):
        at = start[begin]
        parts.append((stop[at : at + coarse] + before, members[at : at + count], block[at : at + coarse]))
        before += count
    ends, members, block = (np.concatenate(part) for part in zip(*parts, strict=True))
    ptr = np.concatenate([np.zeros(1, np.int32), ends.astype(np.int32, copy=False)])
    parallel(grouping.name_members, block.size, ptr, members, agg, grain=GRAIN_CELLS)
    return Aggregates(agg, ptr, members, block)
