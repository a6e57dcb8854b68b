"""Connected components of the cells of every block: which share one coarse unknown, which need another.

The eight cells of a block are bits: bit ``4 di + 2 dj + dk``. `transfer.py` says how split blocks are stored.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit

__all__ = ["block_labels", "component_of", "fill_blocks", "joined", "scan_blocks"]


@inner
def component_of(seed, e0, e1, e2):
    """The cells connected to those of `seed`; ``e_a`` marks cells joined to their upper neighbour along a."""
    component, grown = seed, 0
    while grown != component:
        grown = component
        component |= (component & e0) << 4 | (component >> 4) & e0
        component |= (component & e1) << 2 | (component >> 2) & e1
        component |= (component & e2) << 1 | (component >> 1) & e2
    return component


@inner
def _flood(occupied, e0, e1, e2):
    """Component numbers, four bits a cell, and the last of them; ``e_a`` as in `component_of`."""
    labels = np.int64(0)
    for child in range(8):
        if not (occupied >> child) & 1:
            labels |= np.int64(15) << np.int64(4 * child)
    left = occupied
    number = 0
    while left:
        component = component_of(left & -left, e0, e1, e2)
        for child in range(8):
            if (component >> child) & 1:
                labels |= np.int64(number) << np.int64(4 * child)
        left &= ~component
        number += 1
    return labels, number - 1


@inner
def _occupied(block_i, block_j, stencil, factors, bits):
    """The cells with an unknown of a row of blocks."""
    shape, _, q, _, _, none, _, _ = stencil
    n0, n1, n2 = shape
    pairs = n2 // 2
    for k in range(bits.size):
        bits[k] = 0
    for di in range(min(factors[0], n0 - factors[0] * block_i)):
        for dj in range(min(factors[1], n1 - factors[1] * block_j)):
            o = U(((block_i * factors[0] + di) * n1 + block_j * factors[1] + dj) * n2)
            bit = np.uint8(1 << (4 * di + 2 * dj))
            if factors[2] == 1:
                for k in range(U(n2)):
                    bits[k] |= bit if q[o + k] != none else 0
                continue
            upper = np.uint8(2 * bit)
            for k in range(U(pairs)):
                lower_cell = bit if q[o + U(2) * k] != none else np.uint8(0)
                upper_cell = upper if q[o + U(2) * k + U(1)] != none else np.uint8(0)
                bits[k] |= lower_cell | upper_cell
            if n2 % 2:
                bits[pairs] |= bit if q[o + U(n2 - 1)] != none else 0


@inner
def joined(bits, block_i, block_j, block_k, shape, factors, faces):
    """Open faces inside a block, as bits of the lower cell, for each axis."""
    e0, e1, e2 = bits & (bits >> 4) & 0x0F, bits & (bits >> 2) & 0x33, bits & (bits >> 1) & 0x55
    if faces is not None:
        f0, f1, f2 = faces
        n1, n2 = shape[1], shape[2]
        for child in range(8):
            i = block_i * factors[0] + (child >> 2)
            j = block_j * factors[1] + ((child >> 1) & 1)
            k = block_k * factors[2] + (child & 1)
            o = (i * n1 + j) * n2 + k
            if (e0 >> child) & 1 and f0[o + n1 * n2] <= 0:
                e0 &= ~(1 << child)
            if (e1 >> child) & 1 and f1[o + n2] <= 0:
                e1 &= ~(1 << child)
            if (e2 >> child) & 1 and f2[o + 1] <= 0:
                e2 &= ~(1 << child)
    return e0, e1, e2


@inner
def _strong(e0, e1, e2, block_i, block_j, block_k, shape, factors, faces, q, theta):
    """Those of the open faces inside a block whose weight is at least theta sqrt(d d') (d: diagonals)."""
    f0, f1, f2 = faces
    n1, n2 = shape[1], shape[2]
    limit = np.float64(theta) ** 2
    for child in range(8):
        i = block_i * factors[0] + (child >> 2)
        j = block_j * factors[1] + ((child >> 1) & 1)
        o = (i * n1 + j) * n2 + block_k * factors[2] + (child & 1)
        if (e0 >> child) & 1:
            w, d = np.float64(f0[o + n1 * n2]), limit * np.float64(q[o]) * np.float64(q[o + n1 * n2])
            if w * w < d:
                e0 &= ~(1 << child)
        if (e1 >> child) & 1:
            w, d = np.float64(f1[o + n2]), limit * np.float64(q[o]) * np.float64(q[o + n2])
            if w * w < d:
                e1 &= ~(1 << child)
        if (e2 >> child) & 1:
            w, d = np.float64(f2[o + 1]), limit * np.float64(q[o]) * np.float64(q[o + 1])
            if w * w < d:
                e2 &= ~(1 << child)
    return e0, e1, e2


@inner
def block_labels(bits, block_i, block_j, block_k, shape, factors, faces, q, theta, split):
    """Packed component numbers of the cells of a block, and how many components it has beyond the first.

    With face weights, cells are joined by strong faces only (see `_strong`; `theta` in the unit of faces over
    the unit of `q`), so that a block across a jump of the coefficient falls into its two sides.
    """
    if bits == 0xFF and faces is None:
        return np.int64(0), 0
    if not split:
        labels = np.int64(0)
        for child in range(8):
            if not (bits >> child) & 1:
                labels |= np.int64(15) << np.int64(4 * child)
        return labels, 0
    e0, e1, e2 = joined(bits, block_i, block_j, block_k, shape, factors, faces)
    if faces is not None:
        e0, e1, e2 = _strong(e0, e1, e2, block_i, block_j, block_k, shape, factors, faces, q, theta)
    return _flood(bits, e0, e1, e2)


@jit
def scan_blocks(start, stop, stencil, factors, coarse_shape, theta, split, bits, split_count, extra_count):
    """First pass over block planes: cells of every block, split blocks and extra unknowns per block row."""
    shape, q, faces = stencil[0], stencil[2], stencil[7]
    _, m1, m2 = coarse_shape
    full = 0
    for child in range(8):
        if child >> 2 < factors[0] and (child >> 1) & 1 < factors[1] and child & 1 < factors[2]:
            full |= 1 << child
    for i in range(start, stop):
        for j in range(m1):
            row = i * m1 + j
            splits = extras = 0
            _occupied(i, j, stencil, factors, bits[row * m2 : (row + 1) * m2])
            for k in range(m2):
                b = np.int64(bits[row * m2 + k])
                if b == full and faces is None:
                    continue
                _, extra = block_labels(b, i, j, k, shape, factors, faces, q, theta, split)
                if extra > 0:
                    splits += 1
                    extras += extra
            split_count[row] = splits
            extra_count[row] = extras


@jit
def fill_blocks(start, stop, stencil, theta, blocks, extra_start, first, bits, extra_block):
    """Second pass: list split blocks and the blocks of extra unknowns; `bits` keeps first components only."""
    shape, q, faces = stencil[0], stencil[2], stencil[7]
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    _, m1, m2 = coarse_shape
    for i in range(start, stop):
        for j in range(m1):
            row = i * m1 + j
            s, extra = split_start[row], extra_start[row]
            if s == split_start[row + 1]:
                continue
            for k in range(m2):
                b = row * m2 + k
                labels, more = block_labels(np.int64(bits[b]), i, j, k, shape, factors, faces, q, theta, True)
                if more > 0:
                    split_block[s], split_labels[s], split_extra[s] = k, labels, first + extra
                    for e in range(more):
                        extra_block[extra + e] = b
                    bits[b] = 0
                    for child in range(8):
                        if (labels >> (4 * child)) & 15 == 0:
                            bits[b] |= 1 << child
                    s += 1
                    extra += more
