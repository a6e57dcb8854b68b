"""Transfer between the grid and its blocks of 2x2x2 cells (or fewer along axes that are not coarsened).

*Blocks* is the tuple ``(factors, coarse_shape, split_start, split_block, split_labels, split_extra)``. Every
block owns the coarse unknown of the same index. A block whose cells fall into several connected components
owns *extra* unknowns besides: it is listed in `split_block` (its index along the last axis; the range
``split_start[row], split_start[row + 1]`` belongs to the block row), `split_labels` packs the component
number of its eight cells in four bits each, and component L >= 1 is the unknown ``split_extra + L - 1``.
"""

from __future__ import annotations

import numpy as np

from .common import U, jit, row_offsets
from .stencil import neighbour_sum, residual_row

__all__ = ["coarse_row", "owners", "restrict_residual"]


@jit
def coarse_row(out, e, i, j, n, blocks):
    """Expand the coarse vector `e` to one row of the grid: ``out = (P e)[i, j, :]``, unmasked."""
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    row = (i // factors[0]) * coarse_shape[1] + j // factors[1]
    c = U(row * coarse_shape[2])
    if factors[2] == 2:
        half = n // U(2)
        for k in range(half):
            out[U(2) * k] = e[c + k]
            out[U(2) * k + U(1)] = e[c + k]
        if n % U(2) == U(1):
            out[n - U(1)] = e[c + half]
    else:
        for k in range(n):
            out[k] = e[c + k]
    child = 4 * (i % factors[0]) + 2 * (j % factors[1])
    for s in range(split_start[row], split_start[row + 1]):
        for d in range(factors[2]):
            k = split_block[s] * factors[2] + d
            label = (split_labels[s] >> (4 * (child + d))) & 15
            if label > 0 and label < 15:
                out[k] = e[split_extra[s] + label - 1]


@jit
def restrict_residual(start, stop, x, b, scale, stencil, blocks, coarse):
    """``coarse = P^T (scale b - A x)`` for block planes start..stop."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    n0, n1, n2 = shape
    c0, c1, c2 = factors
    m1, m2 = coarse_shape[1], coarse_shape[2]
    n = U(n2)
    t = np.empty(n2, x.dtype)
    # One zero beyond the row, so that an odd last cell has a partner.
    rows = np.zeros((4, n2 + 2), x.dtype)
    for block_i in range(start, stop):
        for block_j in range(m1):
            for di in range(c0):
                for dj in range(c1):
                    i, j = block_i * c0 + di, block_j * c1 + dj
                    out = rows[2 * di + dj]
                    if i < n0 and j < n1:
                        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
                        neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
                        residual_row(out, t, x, b, scale, q, d0, d1, none, o, n)
                    else:
                        out[:] = 0
            row = block_i * m1 + block_j
            c = U(row * m2)
            if c2 == 2:
                for k in range(U(m2)):
                    s = x.dtype.type(0)
                    for a in range(4):
                        s += rows[a, U(2) * k] + rows[a, U(2) * k + U(1)]
                    coarse[c + k] = s
            else:
                for k in range(U(m2)):
                    coarse[c + k] = rows[0, k] + rows[1, k] + rows[2, k] + rows[3, k]
            for s in range(split_start[row], split_start[row + 1]):
                k = split_block[s]
                coarse[row * m2 + k] = 0
                for label in range(8):
                    index = row * m2 + k if label == 0 else split_extra[s] + label - 1
                    for child in range(8):
                        if (split_labels[s] >> (4 * child)) & 15 == label:
                            if label > 0 and child < 8 and _first(split_labels[s], child, label):
                                coarse[index] = 0
                            coarse[index] += rows[child >> 1, k * c2 + (child & 1)]


@jit
def _first(labels, child, label):
    """Whether `child` is the first cell of its component."""
    found = False
    for other in range(child):
        found |= (labels >> (4 * other)) & 15 == label
    return not found


@jit
def owners(start, stop, owner, stencil, blocks):
    """Coarse unknown that every cell of planes start..stop belongs to; -1 without unknown."""
    shape, _, q, _, _, none, _, _ = stencil
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    for i in range(start, stop):
        for j in range(shape[1]):
            row = (i // factors[0]) * coarse_shape[1] + j // factors[1]
            child = 4 * (i % factors[0]) + 2 * (j % factors[1])
            o = (i * shape[1] + j) * shape[2]
            for k in range(shape[2]):
                owner[o + k] = row * coarse_shape[2] + k // factors[2] if q[o + k] != none else -1
            for s in range(split_start[row], split_start[row + 1]):
                for d in range(factors[2]):
                    label = (split_labels[s] >> (4 * (child + d))) & 15
                    if label > 0 and label < 15:
                        owner[o + split_block[s] * factors[2] + d] = split_extra[s] + label - 1
