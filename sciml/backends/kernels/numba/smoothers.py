"""Smoothers on the grid: red-black successive over-relaxation and Chebyshev iteration.

The half sweeps of both colours run in one pass over memory: the second colour lags one plane behind the first
(and both lag behind the prolongation, when it is fused in). Large planes are cut into tiles of rows, so that
the planes in flight stay in the cache; rows lag at tile borders as planes do. Planes at the border of a
thread's slab need planes of the neighbouring slab, so a pass has phases with a barrier between them; the
values do not depend on the number of slabs.
"""

from __future__ import annotations

import numpy as np

from .common import U, jit, lagging, row_offsets, tile_width
from .stencil import neighbour_sum
from .transfer import coarse_row

__all__ = ["PLAIN", "PROLONG", "ZERO", "chebyshev_step", "extras_residual", "prolong", "sweep"]

ZERO, PLAIN, PROLONG = 0, 1, 2


@jit
def _zero_guess_plane(i, first, last, colour, x, b, scale, stencil, comb):
    """First half sweep from x = 0: ``x = omega b / d`` on one colour, 0 on the other. Never reads x."""
    shape, _, q, d0, d1, none, _, _ = stencil
    n1, n = shape[1], U(shape[2])
    for j in range(first, last):
        o = U((i * n1 + j) * shape[2])
        p = U((i + j + colour) & 1)
        for k in range(n):
            d = d0 + d1 * x.dtype.type(q[o + k])
            value = comb[p + k] * x.dtype.type(b[o + k] * scale) / d
            x[o + k] = value if q[o + k] != none else x.dtype.type(0)


@jit
def _relax_row(x, t, b, scale, q, d0, d1, none, comb, p, o, n):
    for k in range(n):
        d = d0 + d1 * x.dtype.type(q[o + k])
        old = x[o + k]
        value = old + comb[p + k] * ((x.dtype.type(b[o + k] * scale) + t[k]) / d - old)
        x[o + k] = value if q[o + k] != none else x.dtype.type(0)


@jit
def _relax_plane(i, first, last, colour, x, b, scale, stencil, comb, t, dot):
    """Half sweep over one colour of plane i: all lanes are computed, `comb` (omega, 0, omega, ...) blends."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    total = 0.0
    for j in range(first, last):
        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
        neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
        _relax_row(x, t, b, scale, q, d0, d1, none, comb, U((i + j + colour) & 1), o, n)
        if dot:
            s = 0.0
            for k in range(n):
                s += np.float64(x[o + k]) * np.float64(b[o + k])
            total += s
    return total


@jit
def _prolong_plane(i, first, last, x, e, stencil, blocks, t):
    """``x += P e`` on plane i."""
    shape, _, q, _, _, none, _, _ = stencil
    n1, n = shape[1], U(shape[2])
    for j in range(first, last):
        coarse_row(t, e, i, j, n, blocks)
        o = U((i * n1 + j) * shape[2])
        for k in range(n):
            x[o + k] += t[k] if q[o + k] != none else x.dtype.type(0)


@jit
def _relax_extras(i, colour, zero_guess, x, b, scale, stencil, omega, extras):
    """Complete a half sweep over plane i of the first coarse level, where blocks are split.

    First add what the extra unknowns contribute to regular ones of this colour (additive: they have the other
    colour), then relax the extra unknowns of this colour.
    """
    if extras is None:
        return
    _, _, q, d0, d1, _, _, _ = stencil
    fix_start, fix_slot, fix_colour, fix_ptr, fix_col, fix_weight = extras[:6]
    ex_start, ex_colour, ex_ptr, ex_col, ex_weight, ex_diag, first = extras[6:]
    if not zero_guess:
        for f in range(fix_start[i], fix_start[i + 1]):
            if fix_colour[f] != colour:
                continue
            s = x.dtype.type(0)
            for entry in range(fix_ptr[f], fix_ptr[f + 1]):
                s += fix_weight[entry] * x[fix_col[entry]]
            slot = fix_slot[f]
            x[slot] += omega * s / (d0 + d1 * x.dtype.type(q[slot]))
    for e in range(ex_start[i], ex_start[i + 1]):
        at = first + e
        if ex_colour[e] != colour:
            if zero_guess:
                x[at] = 0
            continue
        s = x.dtype.type(b[at] * scale)
        old = x[at]
        if zero_guess:
            old = x.dtype.type(0)
        else:
            for entry in range(ex_ptr[e], ex_ptr[e + 1]):
                s += ex_weight[entry] * x[ex_col[entry]]
        d = ex_diag[e]
        x[at] = old + omega * (s / d - old) if d > 0 else x.dtype.type(0)


@jit
def extras_residual(start, stop, x, b, r, extras):
    """Complete ``r = b - A x`` of the stencil by the extra unknowns, planes start..stop."""
    fix_start, fix_slot, _, fix_ptr, fix_col, fix_weight = extras[:6]
    ex_start, _, ex_ptr, ex_col, ex_weight, ex_diag, first = extras[6:]
    for f in range(fix_start[start], fix_start[stop]):
        s = x.dtype.type(0)
        for entry in range(fix_ptr[f], fix_ptr[f + 1]):
            s += fix_weight[entry] * x[fix_col[entry]]
        r[fix_slot[f]] += s
    for e in range(ex_start[start], ex_start[stop]):
        s = b[first + e] - ex_diag[e] * x[first + e]
        for entry in range(ex_ptr[e], ex_ptr[e + 1]):
            s += ex_weight[entry] * x[ex_col[entry]]
        r[first + e] = s


@jit
def sweep(start, stop, phase, kind, colour, x, b, scale, stencil, comb, blocks, e, extras, dots):
    """One red-black sweep over planes start..stop, starting with `colour`.

    Parameters
    ----------
    phase : int
        1, then 2, then (kind PROLONG only) 3, with a barrier between them.
    kind : int
        ZERO: x starts as zero and is not read. PLAIN. PROLONG: ``x += P e`` first.
    comb : array
        Alternating omega, 0, omega, ...; one longer than a row.
    extras : tuple or None
        Couplings of extra unknowns, on the first coarse level (see
        `sciml.preconditioners.multigrid.hierarchy`).
    dots : array
        Where not empty, ``dots[i]`` becomes the sum of x b over plane i after the sweep.
    """
    shape, periodic = stencil[0], stencil[1]
    n1 = shape[1]
    t = np.empty(shape[2], x.dtype)
    want_dot = dots.size > 0
    other = 1 - colour
    width = n1
    if extras is None:
        width = tile_width(n1, shape[2], 13, periodic[1])
    if want_dot and phase == 1:
        dots[start:stop] = 0.0
    for tile in range(0, n1, width):
        stop0 = min(tile + width, n1)
        # Rows of the second and third stage lag behind those of the first, like planes do.
        start1, stop1 = lagging(tile, stop0, n1, 1)
        start2, stop2 = lagging(tile, stop0, n1, 2)
        if kind != PROLONG:
            for i in range(start, stop):
                if phase == 1:
                    if kind == ZERO:
                        _zero_guess_plane(i, tile, stop0, colour, x, b, scale, stencil, comb)
                        _relax_extras(i, colour, True, x, b, scale, stencil, comb[0], extras)
                    else:
                        _relax_plane(i, tile, stop0, colour, x, b, scale, stencil, comb, t, False)
                        _relax_extras(i, colour, False, x, b, scale, stencil, comb[0], extras)
                    at = i - 1 if i - 1 > start else -1
                else:
                    at = i if i == start or i == stop - 1 else -1
                if at >= 0:
                    value = _relax_plane(at, start1, stop1, other, x, b, scale, stencil, comb, t, want_dot)
                    _relax_extras(at, other, False, x, b, scale, stencil, comb[0], extras)
                    if want_dot:
                        dots[at] += value
        else:
            for i in range(start, stop):
                at = last = -1
                if phase == 1:
                    _prolong_plane(i, tile, stop0, x, e, stencil, blocks, t)
                    if i - 1 > start:
                        at = i - 1
                    if i - 2 > start + 1:
                        last = i - 2
                elif phase == 2:
                    if i == start or i == stop - 1:
                        at = i
                elif i < start + 2 or i >= stop - 2:
                    last = i
                if at >= 0:
                    _relax_plane(at, start1, stop1, colour, x, b, scale, stencil, comb, t, False)
                if last >= 0:
                    value = _relax_plane(last, start2, stop2, other, x, b, scale, stencil, comb, t, want_dot)
                    if want_dot:
                        dots[last] += value


@jit
def chebyshev_step(start, stop, x, y, d, a, c, b, scale, stencil):
    """One step of the Chebyshev iteration: ``d = a d + c D^-1 (scale b - A x)``, ``y = x + d``."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    t = np.empty(shape[2], x.dtype)
    for i in range(start, stop):
        for j in range(shape[1]):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
            for k in range(n):
                diagonal = d0 + d1 * x.dtype.type(q[o + k])
                jacobi = (x.dtype.type(b[o + k] * scale) + t[k]) / diagonal - x[o + k]
                value = a * d[o + k] + c * jacobi if q[o + k] != none else x.dtype.type(0)
                d[o + k] = value
                y[o + k] = x[o + k] + value


@jit
def prolong(start, stop, x, e, stencil, blocks):
    """``x += P e`` on planes start..stop, by itself (the red-black sweep has it built in)."""
    t = np.empty(stencil[0][2], x.dtype)
    for i in range(start, stop):
        _prolong_plane(i, 0, stencil[0][1], x, e, stencil, blocks, t)
