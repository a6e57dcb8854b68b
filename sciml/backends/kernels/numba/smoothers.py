"""Smoothers of the multigrid cycle on paired grids: red-black over-relaxation and Chebyshev iteration.

Any number of sweeps, with the loading of the right-hand side or the prolongation before them, runs in one
pass over memory: each half sweep is a *stage* that lags one plane behind the stage before. Large planes are
cut into tiles of rows, so that the planes in flight stay in the cache; rows lag at tile borders as planes do.
At the border between two threads' slabs the stages form a staircase, which a second phase completes after a
barrier; the values do not depend on the number of slabs.
"""

from __future__ import annotations

import numpy as np

from .common import U, inlined, inner, jit, lagging, row_offsets, tile_width
from .paired import half_sum, pair_row
from .transfer import coarse_row

__all__ = ["PLAIN", "PROLONG", "ZERO", "chebyshev_step", "extras_residual", "prolong", "relax"]

ZERO, PLAIN, PROLONG = 0, 1, 2


@inner
def _zero_guess_plane(i, first, last, colour, x, b, source, scale, stencil, omega):
    """First half sweep from x = 0: ``x = omega b / d`` on one colour, 0 on the other. Never reads x.

    Where `source` is not empty, b is made of it first.
    """
    shape, _, q, d0, d1, none, _, _ = stencil
    n = U(shape[2])
    evens = (n + U(1)) >> U(1)
    for j in range(first, last):
        o = U((i * shape[1] + j) * shape[2])
        if source.size > 0:
            pair_row(b, o, source, o, scale, n)
        odd = U((i + j + colour) & 1)
        at, count = o + odd * evens, n - evens if odd else evens
        for m in range(count):
            value = omega * b[at + m] / (d0 + d1 * x.dtype.type(q[at + m]))
            x[at + m] = value if q[at + m] != none else x.dtype.type(0)
        other = o + (U(1) - odd) * evens
        for m in range(n - count):
            x[other + m] = x.dtype.type(0)


@inner
def _relax_half(x, t, b, q, d0, d1, none, omega, at, count):
    for m in range(count):
        old = x[at + m]
        value = old + omega * ((b[at + m] + t[m]) / (d0 + d1 * x.dtype.type(q[at + m])) - old)
        x[at + m] = value if q[at + m] != none else x.dtype.type(0)


@inner
def _relax_plane(i, first, last, colour, x, b, stencil, omega, t, dot):
    """Half sweep over one colour of rows first..last of plane i; returns their sum of x b if `dot`."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    evens = (n + U(1)) >> U(1)
    total = 0.0
    for j in range(first, last):
        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
        odd = U((i + j + colour) & 1)
        at, count = o + odd * evens, n - evens if odd else evens
        half_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2], odd)
        _relax_half(x, t, b, q, d0, d1, none, omega, at, count)
        if dot:
            s = 0.0
            for k in range(n):
                s += np.float64(x[o + k]) * np.float64(b[o + k])
            total += s
    return total


@inner
def _add_half(x, t, first, q, none, at, count):
    for m in range(count):
        x[at + m] += t[first + m] if q[at + m] != none else x.dtype.type(0)


@inner
def _prolong_plane(i, first, last, x, e, stencil, blocks, t):
    """``x += P e`` on rows first..last of plane i."""
    shape, _, q, _, _, none, _, _ = stencil
    n = U(shape[2])
    for j in range(first, last):
        odd = coarse_row(t, e, i, j, n, blocks)
        o = U((i * shape[1] + j) * shape[2])
        evens = (n + U(1)) >> U(1)
        _add_half(x, t, U(0), q, none, o, evens)
        _add_half(x, t, odd, q, none, o + evens, n - evens)


@inner
def _relax_extras(i, colour, zero_guess, x, b, stencil, omega, extras):
    """Complete a half sweep over plane i of the first coarse level, where blocks are split.

    First add what the extra unknowns contribute to regular ones of this colour (additive: they have the other
    colour), then relax the extra unknowns of this colour.
    """
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
        s = b[at]
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


@inlined
def _stage(
    i, first, last, stage, kind, colour, x, b, source, scale, stencil, omega, blocks, e, extras, busy, t, dot
):
    """One stage of `relax` on rows first..last of plane i."""
    half = stage
    if kind == PROLONG:
        half = stage - 1
        if stage == 0:
            _prolong_plane(i, first, last, x, e, stencil, blocks, t)
            return 0.0
    colour = (colour + half) & 1
    total = 0.0
    start_from_zero = kind == ZERO and half == 0
    if start_from_zero:
        _zero_guess_plane(i, first, last, colour, x, b, source, scale, stencil, omega)
    else:
        total = _relax_plane(i, first, last, colour, x, b, stencil, omega, t, dot)
    if extras is not None and busy:
        _relax_extras(i, colour, start_from_zero, x, b, stencil, omega, extras)
    return total


@jit
def relax(
    start,
    stop,
    stages,
    border,
    total,
    kind,
    colour,
    x,
    b,
    source,
    scale,
    stencil,
    omega,
    blocks,
    e,
    extras,
    dots,
):
    """Stages ``stages[0] .. stages[1]`` of a run of red-black half sweeps, on planes start..stop.

    Parameters
    ----------
    stages : pair of int
        All of them in one pass, or one at a time with a barrier between.
    border : bool
        False: the pass itself, without what depends on unfinished planes of the neighbouring slabs. True:
        what that left around plane `start`. A barrier parts the two. The pass needs slabs of at least twice
        as many planes as stages, and an axis 0 that is not periodic.
    total : int
        Number of stages of the whole run.
    kind : int
        ZERO: x starts as zero and is not read. PLAIN. PROLONG: stage 0 is ``x += P e``.
    colour : int
        Of the first half sweep.
    source, scale : array in natural order, or an empty one, and number
        With kind ZERO, b becomes ``scale source`` first where there is one.
    extras : tuple or None
        Couplings of extra unknowns, on the first coarse level (see
        `sciml.preconditioners.multigrid.blocks`).
    dots : array
        Where not empty, the last stage adds the sum of x b over plane i to ``dots[i]``.
    """
    n0, n1, n2 = stencil[0]
    t = np.empty(n2, x.dtype)
    first, last = stages
    count = last - first
    width, after = n1, stop + count - 1
    if border:
        if start == 0:
            return
        after = start + 2 * (count - 1)
    elif extras is None:  # they couple whole planes
        width = tile_width(n1, n2, (count + 2) * (9 if stencil[7] is None else 24), stencil[1][1])
    # Border and pass share these loops, as the compiler takes seconds over every call of `_stage`.
    for tile in range(0, n1, width):
        end = min(tile + width, n1)
        for i in range(start, after):
            for lag in range(count):
                plane = i - lag
                if border:
                    low, high = start - lag, start + lag
                else:
                    low, high = start if start == 0 else start + lag, stop if stop == n0 else stop - lag
                if plane < low or plane >= high:
                    continue
                dot = dots.size > 0 and first + lag == total - 1
                # Unpacking the tuple counts references; planes without extra unknowns are spared that.
                busy = False
                if extras is not None:
                    fix_start, ex_start = extras[0], extras[6]
                    busy = fix_start[plane + 1] > fix_start[plane] or ex_start[plane + 1] > ex_start[plane]
                row, last_row = lagging(tile, end, n1, lag)
                value = _stage(
                    plane, row, last_row, first + lag, kind, colour, x, b, source, scale, stencil, omega,
                    blocks, e, extras, busy, t, dot,
                )  # fmt: skip
                if dot:
                    dots[plane] += value


@jit
def chebyshev_step(start, stop, x, y, d, a, c, b, stencil):
    """One step of the Chebyshev iteration: ``d = a d + c D^-1 (b - A x)``, ``y = x + d``."""
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
                for m in range(count):
                    k = at + m
                    jacobi = (b[k] + t[m]) / (d0 + d1 * x.dtype.type(q[k])) - x[k]
                    value = a * d[k] + c * jacobi if q[k] != none else x.dtype.type(0)
                    d[k] = value
                    y[k] = x[k] + value


@jit
def prolong(start, stop, x, e, stencil, blocks):
    """``x += P e`` on planes start..stop, by itself (the red-black sweeps have it built in)."""
    t = np.empty(stencil[0][2], x.dtype)
    for i in range(start, stop):
        _prolong_plane(i, 0, stencil[0][1], x, e, stencil, blocks, t)
