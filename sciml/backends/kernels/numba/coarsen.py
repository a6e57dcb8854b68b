"""From the grid to the first coarse level: one unknown per connected component of every block of cells.

The Galerkin operator of piecewise constant transfer is again a 7-point stencil on the grid of blocks wherever no
block is split; rows of split blocks and of their neighbours are *irregular* and live in CSR. See
`sciml.backends.kernels.numba.transfer` for how blocks and components are stored.

The eight cells of a block are bits: bit ``4 di + 2 dj + dk``. Coarse weights are ``scale[a]`` times the sum of fine
weights across the face, with scale 1/2 along axes that are coarsened (the over-correction that piecewise constant
interpolation needs: Braess, Computing 55, 1995) and 1 along others.
"""

from __future__ import annotations

import numpy as np

from .common import jit

__all__ = ["block_labels", "coarse_stencil", "fill_blocks", "irregular_rows", "mark_irregular", "scan_blocks"]

EMPTY = 15
"""Component number of a cell without unknown."""


@jit
def _flood(occupied, e0, e1, e2):
    """Component numbers, four bits a cell; ``e_a`` has a bit at each cell joined to its upper neighbour along a."""
    labels = np.int64(0)
    for child in range(8):
        if not (occupied >> child) & 1:
            labels |= np.int64(15) << np.int64(4 * child)
    left = occupied
    number = 0
    while left:
        component = left & -left
        grown = 0
        while grown != component:
            grown = component
            component |= (component & e0) << 4 | (component >> 4) & e0
            component |= (component & e1) << 2 | (component >> 2) & e1
            component |= (component & e2) << 1 | (component >> 1) & e2
        for child in range(8):
            if (component >> child) & 1:
                labels |= np.int64(number) << np.int64(4 * child)
        left &= ~component
        number += 1
    return labels, number - 1


@jit
def _occupied(block_i, block_j, block_k, stencil, factors):
    shape, _, q, _, _, none, _, _ = stencil
    n0, n1, n2 = shape
    bits = 0
    for di in range(factors[0]):
        i = block_i * factors[0] + di
        if i >= n0:
            continue
        for dj in range(factors[1]):
            j = block_j * factors[1] + dj
            if j >= n1:
                continue
            o = (i * n1 + j) * n2 + block_k * factors[2]
            bit = 4 * di + 2 * dj
            if q[o] != none:
                bits |= 1 << bit
            if factors[2] == 2 and block_k * 2 + 1 < n2 and q[o + 1] != none:
                bits |= 2 << bit
    return bits


@jit
def _joined(bits, block_i, block_j, block_k, shape, factors, faces):
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


@jit
def block_labels(bits, block_i, block_j, block_k, shape, factors, faces, split):
    """Packed component numbers of the cells of a block, and how many components it has beyond the first."""
    if bits == 0xFF and faces is None:
        return np.int64(0), 0
    if not split:
        labels = np.int64(0)
        for child in range(8):
            if not (bits >> child) & 1:
                labels |= np.int64(15) << np.int64(4 * child)
        return labels, 0
    e0, e1, e2 = _joined(bits, block_i, block_j, block_k, shape, factors, faces)
    return _flood(bits, e0, e1, e2)


@jit
def scan_blocks(start, stop, stencil, factors, coarse_shape, split, bits, split_count, extra_count):
    """First pass over block planes: occupied cells of every block; split blocks and extra unknowns per block row."""
    shape, faces = stencil[0], stencil[7]
    _, m1, m2 = coarse_shape
    for i in range(start, stop):
        for j in range(m1):
            row = i * m1 + j
            splits = extras = 0
            for k in range(m2):
                b = _occupied(i, j, k, stencil, factors)
                bits[row * m2 + k] = b
                if b == 0xFF and faces is None:
                    continue
                _, extra = block_labels(b, i, j, k, shape, factors, faces, split)
                if extra > 0:
                    splits += 1
                    extras += extra
            split_count[row] = splits
            extra_count[row] = extras


@jit
def fill_blocks(start, stop, shape, faces, blocks, extra_start, bits, extra_block):
    """Second pass: the list of split blocks, and the block every extra unknown belongs to."""
    factors, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    m0, m1, m2 = coarse_shape
    first = m0 * m1 * m2
    for i in range(start, stop):
        for j in range(m1):
            row = i * m1 + j
            s, extra = split_start[row], extra_start[row]
            if s == split_start[row + 1]:
                continue
            for k in range(m2):
                labels, more = block_labels(np.int64(bits[row * m2 + k]), i, j, k, shape, factors, faces, True)
                if more > 0:
                    split_block[s], split_labels[s], split_extra[s] = k, labels, first + extra
                    for e in range(more):
                        extra_block[extra + e] = row * m2 + k
                    s += 1
                    extra += more


@jit
def mark_irregular(blocks, periodic, irregular):
    """Mark split blocks and their face neighbours."""
    _, coarse_shape, split_start, split_block, _, _ = blocks
    m0, m1, m2 = coarse_shape
    for row in range(m0 * m1):
        for s in range(split_start[row], split_start[row + 1]):
            i, j, k = row // m1, row % m1, split_block[s]
            irregular[row * m2 + k] = 1
            for axis in range(3):
                for side in (-1, 1):
                    c = (i, j, k)[axis] + side
                    m = coarse_shape[axis]
                    if c < 0 or c >= m:
                        if not periodic[axis]:
                            continue
                        c %= m
                    ii, jj, kk = c if axis == 0 else i, c if axis == 1 else j, c if axis == 2 else k
                    irregular[(ii * m1 + jj) * m2 + kk] = 1


@jit
def _find(blocks, row, k, child):
    """Index of the coarse unknown that cell `child` of block k in block row `row` belongs to."""
    _, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    lo, hi = split_start[row], split_start[row + 1]
    while lo < hi:
        middle = (lo + hi) // 2
        if split_block[middle] < k:
            lo = middle + 1
        else:
            hi = middle
    index = row * coarse_shape[2] + k
    if lo < split_start[row + 1] and split_block[lo] == k:
        label = (split_labels[lo] >> (4 * child)) & 15
        if label > 0:
            index = split_extra[lo] + label - 1
    return index


@jit
def _weight(axis, upper, o, o_neighbour, w, faces):
    """Weight of the face between the cell at offset `o` and its neighbour along `axis`."""
    if faces is None:
        return np.float64(w[axis])
    f0, f1, f2 = faces
    at = o_neighbour if upper else o
    if axis == 0:
        return np.float64(f0[at])
    if axis == 1:
        return np.float64(f1[at])
    return np.float64(f2[at])


@jit
def _block_rows(i, j, k, bits, stencil, blocks, scale, shift, columns, values, count, diagonal):
    """Galerkin rows of all components of one block, by a loop over its cells and their neighbours.

    Returns the number of components. ``columns[c, :count[c]]``, ``values[c, :count[c]]`` and ``diagonal[c]``
    belong to component c.
    """
    shape, periodic, q, d0, d1, none, w, faces = stencil
    factors, coarse_shape = blocks[0], blocks[1]
    m1, m2 = coarse_shape[1], coarse_shape[2]
    n0, n1, n2 = shape
    row = i * m1 + j
    own = row * m2 + k
    members = np.zeros(4, np.int64)
    excess, total, outside = np.zeros(4), np.zeros(4), np.zeros(4)
    names = np.full(4, -1, np.int64)
    names[0] = own
    components = 1
    count[:] = 0
    for child in range(8):
        if not (bits >> child) & 1:
            continue
        index = _find(blocks, row, k, child)
        c = 0
        while c < components and names[c] != index:
            c += 1
        if c == components:
            names[c] = index
            components += 1
        cell = (i * factors[0] + (child >> 2), j * factors[1] + ((child >> 1) & 1), k * factors[2] + (child & 1))
        o = (cell[0] * n1 + cell[1]) * n2 + cell[2]
        d = np.float64(d0) + np.float64(d1) * np.float64(q[o])
        members[c] += 1
        total[c] += d
        excess[c] += d
        for axis in range(3):
            for side in (-1, 1):
                at = cell[axis] + side
                n = shape[axis]
                if at < 0 or at >= n:
                    if not periodic[axis]:
                        continue
                    at %= n
                ii = at if axis == 0 else cell[0]
                jj = at if axis == 1 else cell[1]
                kk = at if axis == 2 else cell[2]
                oo = (ii * n1 + jj) * n2 + kk
                if q[oo] == none:
                    continue
                weight = _weight(axis, side > 0, o, oo, w, faces)
                if weight <= 0.0:
                    continue
                excess[c] -= weight
                block_row = (ii // factors[0]) * m1 + jj // factors[1]
                block_k = kk // factors[2]
                other_child = 4 * (ii % factors[0]) + 2 * (jj % factors[1]) + kk % factors[2]
                other = _find(blocks, block_row, block_k, other_child)
                if other == index:
                    continue
                weight *= scale[axis]
                outside[c] += weight
                found = False
                for entry in range(count[c]):
                    if columns[c, entry] == other:
                        values[c, entry] -= weight
                        found = True
                        break
                if not found:
                    columns[c, count[c]], values[c, count[c]] = other, -weight
                    count[c] += 1
    for c in range(components):
        extra = excess[c] - shift * members[c]
        # What is left of a row that sums to zero is rounding: drop it, so that singular stays singular.
        if extra < 1e-6 * total[c]:
            extra = 0.0
        diagonal[c] = outside[c] + scale[3] * extra + shift * members[c]
    return components, names


@jit
def irregular_rows(start, stop, fill, bits, irregular, stencil, blocks, scale, shift, indptr, indices, data, diag):
    """CSR rows (diagonal first) of blocks marked in `irregular`. With ``fill`` false only counts, in ``indptr[1:]``."""
    _, m1, m2 = blocks[1]
    columns, values = np.empty((4, 24), np.int64), np.empty((4, 24))
    count, diagonal = np.zeros(4, np.int64), np.zeros(4)
    for i in range(start, stop):
        for j in range(m1):
            for k in range(m2):
                b = (i * m1 + j) * m2 + k
                if not irregular[b] or bits[b] == 0:
                    continue
                components, names = _block_rows(
                    i, j, k, np.int64(bits[b]), stencil, blocks, scale, shift, columns, values, count, diagonal
                )
                for c in range(components):
                    u = names[c]
                    if not fill:
                        indptr[u + 1] = count[c] + 1
                        continue
                    at = indptr[u]
                    indices[at], data[at] = u, diagonal[c]
                    diag[u] = diagonal[c]
                    for entry in range(count[c]):
                        indices[at + 1 + entry], data[at + 1 + entry] = columns[c, entry], values[c, entry]


@jit
def _layer(bits, axis, top):
    """The cells of a block in its lowest or highest layer along `axis`, as bits of the lowest layer."""
    if axis == 0:
        return (bits >> 4) & 0x0F if top else bits & 0x0F
    if axis == 1:
        return (bits >> 2) & 0x33 if top else bits & 0x33
    return (bits >> 1) & 0x55 if top else bits & 0x55


@jit
def coarse_stencil(start, stop, bits, stencil, factors, coarse_shape, scale, shift, popcount, g0, g1, g2, qc):
    """Face weights ``g`` and diagonal ``qc`` (-1 for empty blocks) of the coarse stencil, valid for regular blocks."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n0, n1, n2 = shape
    m0, m1, m2 = coarse_shape
    # Pass 1: weights across the lower face of every block.
    for i in range(start, stop):
        for j in range(m1):
            for k in range(m2):
                b = (i * m1 + j) * m2 + k
                own = np.int64(bits[b])
                block = (i, j, k)
                for axis in range(3):
                    lower = block[axis] - 1
                    weight = 0.0
                    m = coarse_shape[axis]
                    wraps = lower < 0
                    if own != 0 and (not wraps or (periodic[axis] and m > 1)):
                        if wraps:
                            lower = m - 1
                        ii = lower if axis == 0 else i
                        jj = lower if axis == 1 else j
                        kk = lower if axis == 2 else k
                        # An odd last block, or an axis that is not coarsened, has one layer only.
                        top = factors[axis] == 2 and 2 * lower + 1 < shape[axis]
                        pairs = _layer(own, axis, False) & _layer(np.int64(bits[(ii * m1 + jj) * m2 + kk]), axis, top)
                        if pairs:
                            if faces is None:
                                weight = scale[axis] * w[axis] * popcount[pairs]
                            else:
                                for child in range(8):
                                    if (pairs >> child) & 1:
                                        at = (
                                            (i * factors[0] + (child >> 2)) * n1
                                            + j * factors[1] + ((child >> 1) & 1)
                                        ) * n2 + k * factors[2] + (child & 1)
                                        weight += scale[axis] * _weight(axis, False, at, at, w, faces)
                    if axis == 0:
                        g0[b] = weight
                    elif axis == 1:
                        g1[b] = weight
                    else:
                        g2[b] = weight


@jit
def coarse_diagonal(start, stop, bits, stencil, factors, coarse_shape, scale, shift, popcount, g0, g1, g2, qc):
    """Diagonal of the coarse stencil, once all its face weights are known; -1 for empty blocks."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n0, n1, n2 = shape
    m0, m1, m2 = coarse_shape
    for i in range(start, stop):
        for j in range(m1):
            for k in range(m2):
                b = (i * m1 + j) * m2 + k
                own = np.int64(bits[b])
                if own == 0:
                    qc[b] = -1
                    continue
                total = 0.0
                members = 0
                for child in range(8):
                    if (own >> child) & 1:
                        at = (
                            (i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)
                        ) * n2 + k * factors[2] + (child & 1)
                        total += np.float64(d0) + np.float64(d1) * np.float64(q[at])
                        members += 1
                e0, e1, e2 = _joined(own, i, j, k, shape, factors, faces)
                inside = _inside(e0, e1, e2, i, j, k, shape, factors, w, faces, popcount)
                outside = all_open = 0.0
                for axis in range(3):
                    m = coarse_shape[axis]
                    block = (i, j, k)[axis]
                    upper = block + 1
                    if upper == m:
                        upper = 0 if periodic[axis] and m > 1 else -1
                    lower_weight = (g0[b], g1[b], g2[b])[axis]
                    upper_weight = 0.0
                    if upper >= 0:
                        ii = upper if axis == 0 else i
                        jj = upper if axis == 1 else j
                        kk = upper if axis == 2 else k
                        c = (ii * m1 + jj) * m2 + kk
                        upper_weight = (g0[c], g1[c], g2[c])[axis]
                    outside += lower_weight + upper_weight
                    all_open += (lower_weight + upper_weight) / scale[axis]
                    if periodic[axis] and m == 1 and shape[axis] > 1:
                        # The block is its own neighbour across the wrap face.
                        all_open += 2.0 * _wrap_weight(own, axis, i, j, k, shape, factors, w, faces, popcount)
                excess = total - 2.0 * inside - all_open - shift * members
                if excess < 1e-6 * total:
                    excess = 0.0
                qc[b] = outside + scale[3] * excess + shift * members


@jit
def _inside(e0, e1, e2, i, j, k, shape, factors, w, faces, popcount):
    """Sum of the weights of the open faces inside a block."""
    if faces is None:
        return popcount[e0] * w[0] + popcount[e1] * w[1] + popcount[e2] * w[2]
    n1, n2 = shape[1], shape[2]
    f0, f1, f2 = faces
    weight = 0.0
    for child in range(8):
        at = (
            (i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)
        ) * n2 + k * factors[2] + (child & 1)
        if (e0 >> child) & 1:
            weight += f0[at + n1 * n2]
        if (e1 >> child) & 1:
            weight += f1[at + n2]
        if (e2 >> child) & 1:
            weight += f2[at + 1]
    return weight


@jit
def _wrap_weight(own, axis, i, j, k, shape, factors, w, faces, popcount):
    n1, n2 = shape[1], shape[2]
    pairs = _layer(own, axis, False) & _layer(own, axis, factors[axis] == 2)
    if faces is None:
        return w[axis] * popcount[pairs]
    weight = 0.0
    for child in range(8):
        if (pairs >> child) & 1:
            at = (
                (i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)
            ) * n2 + k * factors[2] + (child & 1)
            weight += _weight(axis, False, at, at, w, faces)
    return weight


@jit
def regular_rows(start, stop, fill, irregular, coarse_shape, periodic, g0, g1, g2, qc, indptr, indices, data, diag):
    """CSR rows (diagonal first) of regular blocks, from the coarse stencil. Counts in ``indptr[1:]`` first."""
    m0, m1, m2 = coarse_shape
    for i in range(start, stop):
        for j in range(m1):
            for k in range(m2):
                b = (i * m1 + j) * m2 + k
                if irregular[b] or qc[b] < 0:
                    continue
                at = indptr[b]
                count = 1
                if fill:
                    indices[at], data[at], diag[b] = b, qc[b], qc[b]
                for axis in range(3):
                    m = coarse_shape[axis]
                    block = (i, j, k)[axis]
                    for side in (0, 1):
                        c = block + 2 * side - 1
                        if c < 0 or c >= m:
                            if not periodic[axis] or m == 1:
                                continue
                            c %= m
                        ii = c if axis == 0 else i
                        jj = c if axis == 1 else j
                        kk = c if axis == 2 else k
                        other = (ii * m1 + jj) * m2 + kk
                        at_face = other if side else b
                        weight = (g0[at_face], g1[at_face], g2[at_face])[axis]
                        if weight > 0:
                            if fill:
                                indices[at + count], data[at + count] = other, -weight
                            count += 1
                if not fill:
                    indptr[b + 1] = count
