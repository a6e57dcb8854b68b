"""Transfer between the grid and its blocks of 2x2x2 cells (or fewer along axes that are not coarsened).

*Blocks* is the tuple ``(factors, coarse_shape, split_start, split_block, split_labels, split_extra)``. Every
block owns the coarse unknown of the same index. A block whose cells fall into several connected components
owns *extra* unknowns besides: it is listed in `split_block` (its index along the last axis; the range
``split_start[row], split_start[row + 1]`` belongs to the block row), `split_labels` packs the component
number of its eight cells in four bits each, and component L >= 1 is the unknown ``split_extra + L - 1``.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit, row_offsets
from .paired import half_sum, pair_row, residual_half, unpair_row

__all__ = ["coarse_row", "owners", "restrict_residual"]


@inner
def coarse_row(out, e, i, j, n, blocks):
    """Expand the coarse vector `e` to row (i, j) of the grid, ``(P e)[i, j, :]``, unmasked; both paired.

    Its even cells begin at ``out[0]``; returns where the odd ones begin.
    """
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    # Factors are 1 or 2: shifts and masks, as divisions would take longer than a short row.
    half0, half1 = factors[0] - 1, factors[1] - 1
    row = (i >> half0) * coarse_shape[1] + (j >> half1)
    m2 = U(coarse_shape[2])
    c, one = U(row) * m2, U(1)
    evens = (n + one) >> one
    first, last = split_start[row], split_start[row + 1]
    if factors[2] == 2:
        # Block k holds cells 2k and 2k+1, the k-th of either half: without split blocks one copy serves both.
        unpair_row(out, U(0), e, c, m2)
        if first == last:
            return U(0)
        for k in range(n - evens):
            out[evens + k] = out[k]
    else:
        for k in range(n):
            out[k] = e[c + k]
    child = 4 * (i & half0) + 2 * (j & half1)
    for s in range(first, last):
        for d in range(factors[2]):
            cell = U(split_block[s] * factors[2] + d)
            label = (split_labels[s] >> (4 * (child + d))) & 15
            if label > 0 and label < 15:
                out[(cell >> one) + (cell & one) * evens] = e[split_extra[s] + label - 1]
    return evens


@jit
def restrict_residual(start, stop, x, b, stencil, blocks, coarse):
    """``coarse = P^T (b - A x)`` for block planes start..stop, all paired."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    n0, n1, n2 = shape
    c0, c1, c2 = factors
    m1, m2 = coarse_shape[1], coarse_shape[2]
    n = U(n2)
    evens = (n + U(1)) >> U(1)
    coarse_evens = (m2 + 1) // 2
    t = np.empty(n2, x.dtype)
    # Residuals of the rows of a block row, by half; one zero beyond, so that an odd last cell has a partner.
    rows = np.empty((4, 2, n2 // 2 + 2), x.dtype)
    for a in range(8):  # all of them: a block of fewer than four rows never writes the others
        for k in range(n2 // 2 + 2):
            rows[a >> 1, a & 1, k] = 0
    sums = np.empty(m2, x.dtype)
    for block_i in range(start, stop):
        for block_j in range(m1):
            for di in range(c0):
                for dj in range(c1):
                    i, j = block_i * c0 + di, block_j * c1 + dj
                    out = rows[2 * di + dj]
                    if i < n0 and j < n1:
                        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
                        for odd in (U(0), U(1)):
                            at, count = o + odd * evens, n - evens if odd else evens
                            half_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2], odd)
                            residual_half(out[odd], t, x, b, q, d0, d1, none, at, count)
                    else:
                        for k in range(evens):
                            out[0, k] = out[1, k] = 0
            row = block_i * m1 + block_j
            c = U(row * m2)
            if c2 == 2:
                for k in range(U(m2)):
                    s = x.dtype.type(0)
                    for a in range(4):
                        s += rows[a, 0, k] + rows[a, 1, k]
                    sums[k] = s
            else:
                for half in range(2):
                    for k in range(evens if half == 0 else n - evens):
                        s = x.dtype.type(0)
                        for a in range(4):
                            s += rows[a, half, k]
                        sums[U(2) * k + U(half)] = s
            pair_row(coarse, c, sums, U(0), x.dtype.type(1), U(m2))
            for s in range(split_start[row], split_start[row + 1]):
                k = split_block[s]
                regular = row * m2 + (k >> 1) + (k & 1) * coarse_evens
                coarse[regular] = 0
                for label in range(8):
                    index = regular if label == 0 else split_extra[s] + label - 1
                    for child in range(8):
                        if (split_labels[s] >> (4 * child)) & 15 == label:
                            if label > 0 and child < 8 and _first(split_labels[s], child, label):
                                coarse[index] = 0
                            cell = k * c2 + (child & 1)
                            coarse[index] += rows[child >> 1, cell & 1, cell >> 1]


@inner
def _first(labels, child, label):
    """Whether `child` is the first cell of its component."""
    found = False
    for other in range(child):
        found |= (labels >> (4 * other)) & 15 == label
    return not found


@jit
def owners(start, stop, owner, stencil, blocks):
    """Coarse unknown (paired) of every cell (natural) of planes start..stop; -1 without unknown."""
    shape, _, q, _, _, none, _, _ = stencil
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    for i in range(start, stop):
        for j in range(shape[1]):
            row = (i // factors[0]) * coarse_shape[1] + j // factors[1]
            child = 4 * (i % factors[0]) + 2 * (j % factors[1])
            o = (i * shape[1] + j) * shape[2]
            evens = (coarse_shape[2] + 1) // 2
            for k in range(shape[2]):
                block = k // factors[2]
                at = row * coarse_shape[2] + (block >> 1) + (block & 1) * evens
                owner[o + k] = at if q[o + k] != none else -1
            for s in range(split_start[row], split_start[row + 1]):
                for d in range(factors[2]):
                    label = (split_labels[s] >> (4 * (child + d))) & 15
                    if label > 0 and label < 15:
                        owner[o + split_block[s] * factors[2] + d] = split_extra[s] + label - 1
