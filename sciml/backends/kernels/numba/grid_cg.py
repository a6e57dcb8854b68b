"""Conjugate gradient updates on grids, fused so that one iteration passes twice over memory.

``A p`` is recomputed in the second pass instead of being stored: reading one byte of geometry per cell costs
less than writing and reading back eight.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit, lagging, row_offsets, tile_width
from .paired import unpair_row
from .stencil import neighbour_sum

__all__ = ["direction", "step"]


@inner
def _energy_plane(i, first, last, p, stencil, t):
    """``<p, A p>`` over rows first..last of plane i."""
    shape, periodic, q, d0, d1, _, w, faces = stencil
    n = U(shape[2])
    total = 0.0
    for j in range(first, last):
        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
        neighbour_sum(t, p, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
        s = 0.0
        for k in range(n):
            s += p[o + k] * ((d0 + d1 * t.dtype.type(q[o + k])) * p[o + k] - t[k])
        total += s
    return total


@inner
def _new_row(p, z, paired, alpha, beta, o, n, t):
    if paired:
        unpair_row(t, U(0), z, o, n)
    else:
        for k in range(n):
            t[k] = z[o + k]
    if beta == 0.0:  # p may hold anything
        for k in range(n):
            p[o + k] = alpha * t[k]
    else:
        for k in range(n):
            p[o + k] = alpha * t[k] + beta * p[o + k]


@jit
def direction(start, stop, phase, z, paired, alpha, beta, p, stencil, sums):
    """``p = alpha z + beta p``, ``sums[i] = <p, A p>`` of plane i; a barrier parts phases 1 and 2.

    `z` is in natural order or `paired` (see `paired.py`).
    """
    shape, periodic = stencil[0], stencil[1]
    n1, n2 = shape[1], shape[2]
    t = np.empty(n2, p.dtype)
    width = tile_width(n1, n2, 4 * 13, periodic[1])
    if phase == 1:
        sums[start:stop] = 0.0
    for tile in range(0, n1, width):
        stop0 = min(tile + width, n1)
        start1, stop1 = lagging(tile, stop0, n1, 1)
        for i in range(start, stop):
            if phase == 1:
                for j in range(tile, stop0):
                    _new_row(p, z, paired, alpha, beta, U((i * n1 + j) * n2), U(n2), t)
                if i - 1 > start:
                    sums[i - 1] += _energy_plane(i - 1, start1, stop1, p, stencil, t)
            elif i == start or i == stop - 1:
                sums[i] += _energy_plane(i, start1, stop1, p, stencil, t)


@jit
def step(start, stop, alpha, p, x, r, stencil, sums):
    """``x += alpha p``, ``r -= alpha A p`` and ``sums[i] = <r, r>`` of plane i."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    t = np.empty(shape[2], p.dtype)
    for i in range(start, stop):
        total = 0.0
        for j in range(shape[1]):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            neighbour_sum(t, p, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
            s = 0.0
            for k in range(n):
                pk = p[o + k]
                x[o + k] += alpha * pk
                value = r[o + k] - alpha * ((d0 + d1 * t.dtype.type(q[o + k])) * pk - t[k])
                value = value if q[o + k] != none else 0.0
                r[o + k] = value
                s += value * value
            total += s
        sums[i] = total
