"""Conjugate gradient updates on grids, fused so that one iteration passes twice over memory.

``A p`` is recomputed in the second pass instead of being stored: reading one byte of geometry per cell costs less
than writing and reading back eight.
"""

from __future__ import annotations

import numpy as np

from .common import U, jit, row_offsets
from .stencil import neighbour_sum

__all__ = ["direction", "step"]


@jit
def _energy_plane(i, p, stencil, t):
    """``<p, A p>`` over plane i."""
    shape, periodic, q, d0, d1, _, w, faces = stencil
    n = U(shape[2])
    total = 0.0
    for j in range(shape[1]):
        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
        neighbour_sum(t, p, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
        s = 0.0
        for k in range(n):
            s += p[o + k] * ((d0 + d1 * t.dtype.type(q[o + k])) * p[o + k] - t[k])
        total += s
    return total


@jit
def direction(start, stop, phase, z, alpha, beta, p, stencil, sums):
    """``p = alpha z + beta p`` and ``sums[i] = <p, A p>`` of plane i; phases 1 and 2 with a barrier between them."""
    shape = stencil[0]
    plane = shape[1] * shape[2]
    t = np.empty(shape[2], p.dtype)
    if phase == 1:
        for i in range(start, stop):
            first, last = U(i * plane), U((i + 1) * plane)
            if beta == 0.0:
                for k in range(first, last):
                    p[k] = alpha * z[k]
            else:
                for k in range(first, last):
                    p[k] = alpha * z[k] + beta * p[k]
            if i - 1 > start:
                sums[i - 1] = _energy_plane(i - 1, p, stencil, t)
    else:
        for i in range(start, stop):
            if i == start or i == stop - 1:
                sums[i] = _energy_plane(i, p, stencil, t)


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
