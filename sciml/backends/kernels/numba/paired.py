"""Grid vectors with the even cells of each row before its odd ones: the layout of the multigrid cycle.

A row of `n` cells lies in memory as cells 0, 2, 4, ... followed by cells 1, 3, 5, ... A red-black half sweep
then works on one contiguous half of every row, with all neighbours contiguous too, instead of computing every
lane and keeping half. Geometry (`q`, `faces`) of a *paired* stencil lies the same way. Vectors end, as
elsewhere, in a row of zeros that stands for everything beyond the box.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit, row_offsets

__all__ = [
    "half_sum",
    "natural_cells",
    "pair_in_place",
    "pair_rows",
    "pairing",
    "residual",
    "residual_half",
    "unpair_rows",
]


def pairing(index, n):
    """Where natural indices (an array) into rows of `n` cells lie in the paired layout."""
    row, k = np.divmod(index, n)
    return row * n + (k >> 1) + (k & 1) * ((n + 1) // 2)


def natural_cells(n):
    """The cells of a row in the order of the paired layout: 0, 2, 4, ..., 1, 3, 5, ..."""
    return np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)])


@inner
def pair_row(out, at, source, o, scale, n):
    """``out[at:]`` takes a scaled natural row of `source`, even cells first."""
    evens, odds = (n + U(1)) >> U(1), n >> U(1)
    for m in range(evens):
        out[at + m] = out.dtype.type(source[o + U(2) * m] * scale)
    for m in range(odds):
        out[at + evens + m] = out.dtype.type(source[o + U(2) * m + U(1)] * scale)


@inner
def unpair_row(out, at, source, o, n):
    """``out[at:]`` takes a paired row of `source` in natural order."""
    odds = n >> U(1)
    evens = n - odds
    for m in range(odds):
        out[at + U(2) * m] = source[o + m]
        out[at + U(2) * m + U(1)] = source[o + evens + m]
    if evens > odds:
        out[at + n - U(1)] = source[o + odds]


@jit
def pair_rows(start, stop, source, scale, out, n):
    """``out = scale source`` on rows start..stop of `n` cells, paired, in the precision of `out`."""
    for row in range(start, stop):
        pair_row(out, U(row * n), source, U(row * n), scale, U(n))


@jit
def unpair_rows(start, stop, source, out, n):
    """``out = source`` on rows start..stop of `n` cells, back in natural order."""
    for row in range(start, stop):
        unpair_row(out, U(row * n), source, U(row * n), U(n))


@jit
def pair_in_place(start, stop, x, n):
    """Pair rows start..stop of `x` where they lie."""
    t = np.empty(n, x.dtype)
    for row in range(start, stop):
        for k in range(n):  # a slice assigned to a slice brings in messages that take seconds to compile
            t[k] = x[row * n + k]
        pair_row(x, U(row * n), t, U(0), x.dtype.type(1), U(n))


@inner
def half_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, wrap, odd):
    """``t[m] = sum over neighbours of w x`` for half a row: its even cells, or (`odd` = 1) its odd ones."""
    one = U(1)
    evens, odds = (n + one) >> one, n >> one
    own = odd * evens  # where this half begins within a row
    count = odds if odd else evens
    if count == U(0):
        return
    # Neighbours along the row lie in the other half: cell 2m has odd cells m-1 and m, cell 2m+1 has even
    # cells m and m+1.
    left, right = (o, o + one) if odd else (o + evens - one, o + evens)
    a, b, c, d = lower0 + own, upper0 + own, lower1 + own, upper1 + own
    if faces is None:
        w0, w1, w2 = w
        # The loop takes both neighbours of every cell; at the ends of the row, where it reads what is no
        # neighbour (within x, thanks to its row of zeros), the sums are put right below.
        for m in range(count):
            t[m] = w0 * (x[a + m] + x[b + m]) + w1 * (x[c + m] + x[d + m]) + w2 * (x[left + m] + x[right + m])
        last = n - one
        for cell in (U(0), last):
            if cell & one != odd:
                continue
            at = cell >> one
            s = w0 * (x[a + at] + x[b + at]) + w1 * (x[c + at] + x[d + at])
            if cell > U(0):
                s += w2 * x[left + at]
            elif wrap:
                s += w2 * x[o + (last & one) * evens + (last >> one)]
            if cell < last:
                s += w2 * x[right + at]
            elif wrap:
                s += w2 * x[o]
            t[at] = s
    else:
        f0, f1, f2 = faces
        # Beyond the box x is zero, so any finite weight does: take the row's own.
        zeros = U(f0.size)
        g, at = o + own, o + evens
        e = upper0 + own if upper0 < zeros else g
        h = upper1 + own if upper1 < zeros else g
        for m in range(count):
            t[m] = f0[g + m] * x[a + m] + f0[e + m] * x[b + m]
        for m in range(count):
            t[m] += f1[g + m] * x[c + m] + f1[h + m] * x[d + m]
        # Face k lies between cells k-1 and k, and is stored where cell k is. Face 0 is closed or wraps.
        if odd:
            for m in range(odds):
                t[m] += f2[at + m] * x[o + m]
            for m in range(evens - one):
                t[m] += f2[o + m + one] * x[o + m + one]
        else:
            for m in range(evens - one):
                t[m + one] += f2[o + m + one] * x[at + m]
            for m in range(odds):
                t[m] += f2[at + m] * x[at + m]
        if wrap:
            last = n - one
            if not odd:
                t[U(0)] += f2[o] * x[o + (last & one) * evens + (last >> one)]
            if last & one == odd:
                t[last >> one] += f2[o] * x[o]


@inner
def residual_half(out, t, x, b, q, d0, d1, none, at, count):
    """``out = b - A x`` for the half row at `at`, given its neighbour sums; zero in cells without unknown."""
    for m in range(count):
        d = d0 + d1 * t.dtype.type(q[at + m])
        value = b[at + m] + t[m] - d * x[at + m]
        out[m] = value if q[at + m] != none else t.dtype.type(0)


@jit
def residual(start, stop, x, b, r, stencil):
    """``r = b - A x`` on planes start..stop of a paired stencil."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    evens = (n + U(1)) >> U(1)
    t = np.empty(shape[2], x.dtype)
    for i in range(start, stop):
        for j in range(shape[1]):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            for odd in (U(0), U(1)):
                at, count = o + odd * evens, n - evens if odd else evens
                half_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2], odd)
                residual_half(r[at : at + count], t, x, b, q, d0, d1, none, at, count)
