"""From the grid to the first coarse level: one unknown per connected component of every block of cells.

The Galerkin operator of piecewise constant transfer is again a 7-point stencil on the grid of blocks, as long
as one looks at the first component of every block. Couplings with the *extra* unknowns of split blocks do not
fit it and are kept in CSR. See `sciml.backends.kernels.numba.transfer` for how blocks and components are
stored.

The eight cells of a block are bits: bit ``4 di + 2 dj + dk``. Coarse weights are ``scale[a]`` times the sum
of fine weights across the face, with scale 1/2 along axes that are coarsened (the over-correction that
piecewise constant interpolation needs: Braess, Computing 55, 1995) and 1 along others.
"""

from __future__ import annotations

import numpy as np

from .common import inner, jit
from .components import joined

__all__ = [
    "coarse_diagonal",
    "coarse_stencil",
    "extra_rows",
]


@inner
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


@inner
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


@inner
def _component_row(i, j, k, labels, label, unknown, stencil, blocks, scale, shift, columns, values, lifts):
    """Galerkin row of one component of a split block, by a loop over its cells and their neighbours.

    Fills ``columns, values`` (positive weights) and ``lifts``: what a neighbour's diagonal gains because the
    weight is scaled by its axis' factor, not by ``scale[3]``. Returns the number of entries and the diagonal.
    """
    shape, periodic, q, d0, d1, none, w, faces = stencil
    factors, coarse_shape = blocks[0], blocks[1]
    m1 = coarse_shape[1]
    n1, n2 = shape[1], shape[2]
    count, members = 0, 0
    excess = total = outside = 0.0
    for child in range(8):
        if (labels >> (4 * child)) & 15 != label:
            continue
        cell = (
            i * factors[0] + (child >> 2),
            j * factors[1] + ((child >> 1) & 1),
            k * factors[2] + (child & 1),
        )
        o = (cell[0] * n1 + cell[1]) * n2 + cell[2]
        d = np.float64(d0) + np.float64(d1) * np.float64(q[o])
        members += 1
        total += d
        excess += d
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
                excess -= weight
                row = (ii // factors[0]) * m1 + jj // factors[1]
                other_child = 4 * (ii % factors[0]) + 2 * (jj % factors[1]) + kk % factors[2]
                other = _find(blocks, row, kk // factors[2], other_child)
                if other == unknown:
                    continue
                entry = 0
                while entry < count and columns[entry] != other:
                    entry += 1
                if entry == count:
                    columns[entry], values[entry], lifts[entry] = other, 0.0, 0.0
                    count += 1
                values[entry] += weight * scale[axis]
                lifts[entry] += weight * (scale[axis] - scale[3])
                outside += weight * scale[axis]
    excess -= shift * members
    # What is left of a row that sums to zero is rounding: drop it, so that singular stays singular.
    if excess < 1e-6 * total:
        excess = 0.0
    return count, outside + scale[3] * excess + shift * members


@jit
def extra_rows(start, stop, fill, stencil, blocks, scale, shift, first, ptr, columns, weights, lifts, diag):
    """CSR rows (positive weights, no diagonal) of the extra unknowns; counts in ``ptr[1:]`` first."""
    _, coarse_shape, split_start, split_block, split_labels, split_extra = blocks
    m1 = coarse_shape[1]
    col, val, lift = np.empty(48, np.int64), np.empty(48), np.empty(48)
    for row in range(start * m1, stop * m1):
        for s in range(split_start[row], split_start[row + 1]):
            labels = split_labels[s]
            for label in range(1, 8):
                present = False
                for child in range(8):
                    present |= (labels >> (4 * child)) & 15 == label
                if not present:
                    break
                unknown = split_extra[s] + label - 1
                e = unknown - first
                count, d = _component_row(
                    row // m1, row % m1, split_block[s], labels, label, unknown, stencil, blocks, scale,
                    shift, col, val, lift,
                )  # fmt: skip
                if not fill:
                    ptr[e + 1] = count
                    continue
                diag[e] = d
                for entry in range(count):
                    at = ptr[e] + entry
                    columns[at], weights[at], lifts[at] = col[entry], val[entry], lift[entry]


@inner
def _layer(bits, axis, top):
    """The cells of a block in its lowest or highest layer along `axis`, as bits of the lowest layer."""
    if axis == 0:
        return (bits >> 4) & 0x0F if top else bits & 0x0F
    if axis == 1:
        return (bits >> 2) & 0x33 if top else bits & 0x33
    return (bits >> 1) & 0x55 if top else bits & 0x55


@jit
def coarse_stencil(start, stop, bits, stencil, factors, coarse_shape, scale, shift, popcount, g0, g1, g2, qc):
    """Face weights ``g`` between the first components of neighbouring blocks."""
    shape, periodic, _, _, _, _, w, faces = stencil
    _, n1, n2 = shape
    _, m1, m2 = coarse_shape
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
                        pairs = _layer(own, axis, False) & _layer(
                            np.int64(bits[(ii * m1 + jj) * m2 + kk]), axis, top
                        )
                        if pairs:
                            if faces is None:
                                weight = scale[axis] * w[axis] * popcount[pairs]
                            else:
                                for child in range(8):
                                    if (pairs >> child) & 1:
                                        at = (
                                            (
                                                (i * factors[0] + (child >> 2)) * n1
                                                + j * factors[1]
                                                + ((child >> 1) & 1)
                                            )
                                            * n2
                                            + k * factors[2]
                                            + (child & 1)
                                        )
                                        weight += scale[axis] * _weight(axis, False, at, at, w, faces)
                    if axis == 0:
                        g0[b] = weight
                    elif axis == 1:
                        g1[b] = weight
                    else:
                        g2[b] = weight


@jit
def coarse_diagonal(
    start, stop, bits, stencil, factors, coarse_shape, scale, shift, popcount, g0, g1, g2, qc
):
    """Diagonal of the coarse stencil, once all its face weights are known; -1 for blocks without unknown."""
    shape, periodic, q, d0, d1, _, w, faces = stencil
    _, n1, n2 = shape
    _, m1, m2 = coarse_shape
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
                            ((i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)) * n2
                            + k * factors[2]
                            + (child & 1)
                        )
                        total += np.float64(d0) + np.float64(d1) * np.float64(q[at])
                        members += 1
                e0, e1, e2 = joined(own, i, j, k, shape, factors, faces)
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
                # A closed component that is one unknown has diagonal 0 and nothing to solve: treat it as
                # empty.
                value = outside + scale[3] * excess + shift * members
                qc[b] = value if value > 0.0 else -1.0


@inner
def _inside(e0, e1, e2, i, j, k, shape, factors, w, faces, popcount):
    """Sum of the weights of the open faces inside a block."""
    if faces is None:
        return popcount[e0] * w[0] + popcount[e1] * w[1] + popcount[e2] * w[2]
    n1, n2 = shape[1], shape[2]
    f0, f1, f2 = faces
    weight = 0.0
    for child in range(8):
        at = (
            ((i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)) * n2
            + k * factors[2]
            + (child & 1)
        )
        if (e0 >> child) & 1:
            weight += f0[at + n1 * n2]
        if (e1 >> child) & 1:
            weight += f1[at + n2]
        if (e2 >> child) & 1:
            weight += f2[at + 1]
    return weight


@inner
def _wrap_weight(own, axis, i, j, k, shape, factors, w, faces, popcount):
    n1, n2 = shape[1], shape[2]
    pairs = _layer(own, axis, False) & _layer(own, axis, factors[axis] == 2)
    if faces is None:
        return w[axis] * popcount[pairs]
    weight = 0.0
    for child in range(8):
        if (pairs >> child) & 1:
            at = (
                ((i * factors[0] + (child >> 2)) * n1 + j * factors[1] + ((child >> 1) & 1)) * n2
                + k * factors[2]
                + (child & 1)
            )
            weight += _weight(axis, False, at, at, w, faces)
    return weight
