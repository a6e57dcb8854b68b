"""From the first coarse level to the next, without a matrix in between.

The first coarse level is a stencil on the grid of blocks and the couplings of extra unknowns beside it (see
`BlockLevel`, in the paired numbering). A kernel here makes the row it needs on the spot: the level has an
eighth of the grid's unknowns in space but a quarter in the plane, and its matrix would cost as much to write
as several cycles.

`level` is the tuple ``(block_shape, periodic, faces, q, fix_row, extras)``; ``fix_row`` says where the
couplings of a row of blocks begin in the lists of `extras`.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit
from .components import component_of
from .csr import galerkin_rows

__all__ = ["diagonally_dominant", "galerkin", "join", "level_rows", "rows_of"]

LONGEST = 96
"""More entries than a row can have: a block has 24 faces to its six neighbours, and 7 further components."""

BATCH = 512
"""Rows made at a time: few enough to stay in a cache, many enough to hide the call."""


@inner
def rows_of(which, start, stop, level, ptr, idx, val):
    """The rows ``which[start:stop]`` (``start .. stop`` themselves if it is None) in CSR, the diagonal first.

    The r-th of them owns the entries ``ptr[r]`` to ``ptr[r + 1]``.
    """
    (m0, m1, m2), periodic, (g0, g1, g2), q, fix_row, extras = level
    _, fix_slot, _, fix_ptr, fix_col, fix_weight, _, _, ex_ptr, ex_col, ex_weight, ex_diag, first = extras
    evens, plane = (m2 + 1) >> 1, m1 * m2
    at = 0
    for r in range(start, stop):
        u = np.int64(r) if which is None else np.int64(which[r])
        ptr[r - start] = at
        if u >= first:
            e = u - first
            idx[at], val[at] = u, ex_diag[e]
            at += 1
            for entry in range(ex_ptr[e], ex_ptr[e + 1]):
                idx[at], val[at] = ex_col[entry], -ex_weight[entry]
                at += 1
            continue
        if u >= q.size or q[u] < 0:
            continue
        idx[at], val[at] = u, q[u]
        at += 1
        # Division of 32-bit numbers is several times faster than of 64-bit ones.
        row = np.int64(np.uint32(u) // np.uint32(m2))
        place = u - row * m2
        i = np.int64(np.uint32(row) // np.uint32(m1))
        j = row - i * m1
        # Faces belong to the block above them: its weight is 0 where there is no neighbour below. The axes
        # are written out, as a function called for each of them doubles the time of this kernel.
        if g0[u] > 0:
            idx[at], val[at] = u - plane if i > 0 else u + (m0 - 1) * plane, -g0[u]
            at += 1
        if i + 1 < m0 or periodic[0]:
            other = u + plane if i + 1 < m0 else u - i * plane
            if g0[other] > 0:
                idx[at], val[at] = other, -g0[other]
                at += 1
        if g1[u] > 0:
            idx[at], val[at] = u - m2 if j > 0 else u + (m1 - 1) * m2, -g1[u]
            at += 1
        if j + 1 < m1 or periodic[1]:
            other = u + m2 if j + 1 < m1 else u - j * m2
            if g1[other] > 0:
                idx[at], val[at] = other, -g1[other]
                at += 1
        k = 2 * place if place < evens else 2 * (place - evens) + 1
        if g2[u] > 0:
            below = k - 1 if k > 0 else m2 - 1
            idx[at], val[at] = row * m2 + (below >> 1) + (below & 1) * evens, -g2[u]
            at += 1
        if k + 1 < m2 or periodic[2]:
            above = k + 1 if k + 1 < m2 else 0
            other = row * m2 + (above >> 1) + (above & 1) * evens
            if g2[other] > 0:
                idx[at], val[at] = other, -g2[other]
                at += 1
        lo, end = fix_row[row], fix_row[row + 1]
        hi = end
        while lo < hi:
            middle = (lo + hi) >> 1
            if fix_slot[middle] < u:
                lo = middle + 1
            else:
                hi = middle
        if lo < end and fix_slot[lo] == u:
            for entry in range(fix_ptr[lo], fix_ptr[lo + 1]):
                idx[at], val[at] = fix_col[entry], -fix_weight[entry]
                at += 1
    ptr[stop - start] = at


@inner
def _buffers(rows):
    return (
        np.empty(rows + 1, np.int64),
        np.empty(rows * LONGEST, np.int32),
        np.empty(rows * LONGEST, np.float32),
    )


@jit
def level_rows(start, stop, level, place, ptr, idx, val):
    """The level in CSR: rows start..stop, written and counted as in `csr.sparse_product`."""
    row_ptr = np.empty(BATCH + 1, np.int64)
    at = place[start]
    for begin in range(start, stop, BATCH):
        count = min(BATCH, stop - begin)
        rows_of(None, begin, begin + count, level, row_ptr, idx[at:], val[at:])
        for r in range(count):
            ptr[begin + r + 1] = row_ptr[r + 1] - row_ptr[r]
        at += row_ptr[count]
    return at - place[start]


@jit
def diagonally_dominant(start, stop, level, share):
    """Whether in rows start..stop what is off the diagonal sums to no more than a share of it."""
    ptr, idx, val = _buffers(BATCH)
    for begin in range(start, stop, BATCH):
        count = min(BATCH, stop - begin)
        rows_of(None, begin, begin + count, level, ptr, idx, val)
        for r in range(count):
            outside = 0.0
            for entry in range(ptr[r] + 1, ptr[r + 1]):
                outside -= val[entry]
            if ptr[r] < ptr[r + 1] and val[ptr[r]] > 0 and outside > share * val[ptr[r]]:
                return False
    return True


@inner
def _above(at, rows, m, periodic):
    """The place above `at` along an axis of a larger block of `rows` blocks; -1 outside of it."""
    if at + 1 < rows:
        return at + 1
    # A block as wide as a periodic axis also meets itself across the wrap.
    return 0 if periodic and m > 1 and rows == m else -1


@inner
def _strong(weight, theta, diag_a, diag_b):
    return weight > 0 and weight > theta * np.sqrt(diag_a * diag_b)


@inner
def _connect(a, b, weight, theta, diag, paired_up, label, count):
    """Nodes a and b are neighbours; strong ones, and all that are joined to them, get one label."""
    if weight <= 0:
        return
    paired_up[a] = paired_up[b] = True
    low, high = min(label[a], label[b]), max(label[a], label[b])
    if low != high and _strong(weight, theta, diag[a], diag[b]):
        for v in range(count):
            if label[v] == high:
                label[v] = low


@inner
def _name_pieces(present, e0, e1, e2, local, factors, paired_up, label):
    """Give the nodes of every piece of a small block one label, that of the first of them."""
    left = present
    while left:
        piece = component_of(left & -left, e0, e1, e2)
        left &= ~piece
        name = -1
        for bit in range(8):
            if (piece >> bit) & 1:
                v = local[((bit >> 2) * factors[1] + ((bit >> 1) & 1)) * factors[2] + (bit & 1)]
                name = v if name < 0 else name
                label[v] = name
                paired_up[v] = piece & (piece - 1) != 0


@inner
def _connect_regular(local, rows, level, factors, node, theta, diag, paired_up, label, count):
    """`_connect` all regular nodes of a block, whatever its size, across the wrap of periodic axes too."""
    (m0, m1, m2), periodic, (g0, g1, g2) = level[:3]
    _, f1, f2 = factors
    for di in range(rows[0]):
        for dj in range(rows[1]):
            for dk in range(rows[2]):
                a = local[(di * f1 + dj) * f2 + dk]
                if a < 0:
                    continue
                for axis in range(3):  # one call of `_connect`, as each is compiled into its place
                    if axis == 0:
                        other = _above(di, rows[0], m0, periodic[0])
                        b = local[(other * f1 + dj) * f2 + dk] if other >= 0 else -1
                    elif axis == 1:
                        other = _above(dj, rows[1], m1, periodic[1])
                        b = local[(di * f1 + other) * f2 + dk] if other >= 0 else -1
                    else:
                        other = _above(dk, rows[2], m2, periodic[2])
                        b = local[(di * f1 + dj) * f2 + other] if other >= 0 else -1
                    if b >= 0:
                        at = U(node[b])
                        weight = g0[at] if axis == 0 else g1[at] if axis == 1 else g2[at]
                        _connect(a, b, weight, theta, diag, paired_up, label, count)


@jit
def join(
    start, stop, level, factors, coarse_shape, theta, split, place, extra_block, extra_row,
    stop_of, members, block,
):  # fmt: skip
    """Join the unknowns of larger blocks that are connected inside them, over the coarse rows start..stop.

    As `grouping.aggregate` does for matrices: connected are i, j with ``-a_ij > theta sqrt(a_ii a_jj)``,
    unknowns without any neighbour are left out, and what is found is written from ``place[start]`` on.
    ``extra_row`` says which extra unknowns (of the blocks ``extra_block``) a row of blocks has. Returns the
    numbers of aggregates and of members.
    """
    (m0, m1, m2), periodic, (g0, g1, g2), q, _, extras = level
    ex_ptr, ex_col, ex_weight, ex_diag, first = extras[8], extras[9], extras[10], extras[11], extras[12]
    f0, f1, f2 = factors
    evens = (m2 + 1) >> 1
    # One regular unknown in a block, and at most seven extra ones.
    node = np.empty(8 * f0 * f1 * f2, members.dtype)
    diag = np.empty(node.size, np.float32)
    label = np.empty(node.size, np.int64)
    paired_up = np.empty(node.size, np.int64)
    local = np.empty(f0 * f1 * f2, np.int64)
    cursor = np.empty(f0 * f1, np.int64)
    row_ptr, idx, val = _buffers(np.int64(1))
    # Then bits tell all; a block as wide as a periodic axis also meets itself across the wrap.
    small = max(f0, f1, f2) <= 2
    small &= not ((periodic[0] and m0 == f0) or (periodic[1] and m1 == f1) or (periodic[2] and m2 == f2))
    begin = place[start]
    coarse = written = 0
    for coarse_row in range(start, stop):
        i0, j0 = coarse_row // coarse_shape[1] * f0, coarse_row % coarse_shape[1] * f1
        rows0, rows1 = min(f0, m0 - i0), min(f1, m1 - j0)
        for di in range(rows0):
            for dj in range(rows1):
                cursor[di * f1 + dj] = extra_row[(i0 + di) * m1 + j0 + dj]
        for coarse_k in range(coarse_shape[2]):
            k0 = coarse_k * f2
            rows2 = min(f2, m2 - k0)
            count = 0
            present = e0 = e1 = e2 = 0  # bits as in `components`
            for di in range(rows0):
                for dj in range(rows1):
                    o = ((i0 + di) * m1 + j0 + dj) * m2
                    for dk in range(rows2):
                        k = k0 + dk
                        u = o + (k >> 1) + (k & 1) * evens
                        at = (di * f1 + dj) * f2 + dk
                        local[at] = -1
                        if q[u] < 0:
                            continue
                        node[count], diag[count], local[at] = u, q[u], count
                        count += 1
                        bit = 4 * di + 2 * dj + dk
                        present |= 1 << bit
                        if di > 0 and local[at - f1 * f2] >= 0:
                            e0 |= _strong(g0[u], theta, q[u], diag[local[at - f1 * f2]]) << (bit - 4)
                        if dj > 0 and local[at - f2] >= 0:
                            e1 |= _strong(g1[u], theta, q[u], diag[local[at - f2]]) << (bit - 2)
                        if dk > 0 and local[at - 1] >= 0:
                            e2 |= _strong(g2[u], theta, q[u], diag[local[at - 1]]) << (bit - 1)
            regular = count
            for di in range(rows0):
                for dj in range(rows1):
                    row = (i0 + di) * m1 + j0 + dj
                    c, end = cursor[di * f1 + dj], extra_row[row + 1]
                    while c < end and extra_block[c] < row * m2 + k0 + rows2:
                        node[count], diag[count] = first + c, ex_diag[c]
                        count += 1
                        c += 1
                    cursor[di * f1 + dj] = c
            first_piece = component_of(present & -present, e0, e1, e2)
            if small and 1 < count == regular and first_piece == present:  # as most blocks are
                for v in range(count):
                    members[begin + written + v] = node[v]
                written += count
                stop_of[begin + coarse] = written
                block[begin + coarse] = coarse_row * coarse_shape[2] + coarse_k
                coarse += 1
                continue
            for v in range(count):
                label[v], paired_up[v] = v, False
            if small:
                _name_pieces(present, e0, e1, e2, local, factors, paired_up, label)
            else:
                _connect_regular(
                    local, (rows0, rows1, rows2), level, factors, node, theta, diag, paired_up, label, count
                )
            for a in range(regular, count):
                e = node[a] - first
                for entry in range(ex_ptr[e], ex_ptr[e + 1]):
                    for b in range(count):
                        if node[b] == ex_col[entry]:
                            _connect(a, b, ex_weight[entry], theta, diag, paired_up, label, count)
                            break
            for v in range(count):
                if not paired_up[v]:
                    rows_of(node, v, v + 1, level, row_ptr, idx, val)
                if not paired_up[v] and row_ptr[1] < 2:
                    label[v] = -1
                elif not split:
                    label[v] = count
            for name in range(count + 1):
                # The first of its members names an aggregate; the one of all that are not split is `count`.
                if (split or name < count) and (name == count or label[name] != name):
                    continue
                before = written
                for v in range(count):
                    if label[v] == name:
                        members[begin + written] = node[v]
                        written += 1
                if written > before:
                    stop_of[begin + coarse] = written
                    block[begin + coarse] = coarse_row * coarse_shape[2] + coarse_k
                    coarse += 1
    return coarse, written


@jit
def galerkin(start, stop, columns, ptr, members, agg, level, place, c_ptr, c_idx, c_val):
    """Rows of ``P^T A P``, diagonal first: what `csr.galerkin_constant` does for matrices."""
    longest = 0
    for row in range(start, stop):
        longest = max(longest, ptr[row + 1] - ptr[row])
    row_ptr, idx, val = _buffers(BATCH + longest)
    local = np.empty(BATCH + longest, np.int32)
    for v in range(local.size):
        local[v] = v
    where = np.empty(columns, np.int32)
    for column in range(columns):
        where[column] = -1
    begin = end = place[start]
    batch = start
    while batch < stop:
        # As many aggregates as make up a batch of rows.
        offset, last = np.int64(ptr[batch]), batch + 1
        while last < stop and ptr[last] - offset < BATCH:
            last += 1
        rows_of(members, offset, np.int64(ptr[last]), level, row_ptr, idx, val)
        end = galerkin_rows(
            batch, last, ptr, offset, local, agg, row_ptr, idx, val, where, end, c_ptr, c_idx, c_val
        )
        batch = last
    return end - begin
