"""The 5/7-point stencil ``A x = d x - sum_neighbours w x`` on flat arrays with one appended row of zeros.

A *stencil* is the tuple ``(shape, periodic, q, d0, d1, none, w, faces)``:

shape, periodic
    Three integers and three flags; 2D grids are embedded with one axis of length 1.
q, d0, d1, none
    The diagonal of a cell is ``d0 + d1 * q``. ``q`` is one byte per cell for constant coefficients (so that a
    sweep moves one byte of geometry) or the diagonal itself; ``q == none`` marks cells without unknown.
w
    Three off-diagonal weights ``1/h²``.
faces
    None, or three arrays of face weights between a cell and its lower neighbour along each axis.

Vectors are zero in cells without unknown, so off-diagonal terms need no mask.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit, row_offsets

__all__ = ["apply", "neighbour_sum", "residual", "residual_row"]


@inner
def neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, wrap):
    """Write ``t[k] = sum over neighbours of w x`` for one row of `n` cells starting at offset `o`."""
    one = U(1)
    last = n - one
    # The main loops run over the whole row, ends included, because LLVM handles what does not fill its
    # unrolled vectors by scalar code. Beyond the row they read the neighbouring rows of memory; the ends are
    # put right below.
    inner = o > U(0) and o + n < U(x.size)
    if faces is None:
        w0, w1, w2 = w
        if inner:
            for k in range(n):
                t[k] = (
                    w0 * (x[lower0 + k] + x[upper0 + k])
                    + w1 * (x[lower1 + k] + x[upper1 + k])
                    + w2 * (x[o + k - one] + x[o + k + one])
                )
        else:
            for k in range(one, last):
                t[k] = (
                    w0 * (x[lower0 + k] + x[upper0 + k])
                    + w1 * (x[lower1 + k] + x[upper1 + k])
                    + w2 * (x[o + k - one] + x[o + k + one])
                )
        for end in (U(0), last):
            s = w0 * (x[lower0 + end] + x[upper0 + end]) + w1 * (x[lower1 + end] + x[upper1 + end])
            if end > U(0):
                s += w2 * x[o + end - one]
            elif wrap:
                s += w2 * x[o + last]
            if end < last:
                s += w2 * x[o + end + one]
            elif wrap:
                s += w2 * x[o]
            t[end] = s
    else:
        f0, f1, f2 = faces
        # Beyond the box x is zero, so any finite weight does: take the row's own.
        zeros = U(f0.size)
        q0 = upper0 if upper0 < zeros else o
        q1 = upper1 if upper1 < zeros else o
        for k in range(n):
            t[k] = f0[o + k] * x[lower0 + k] + f0[q0 + k] * x[upper0 + k]
        for k in range(n):
            t[k] += f1[o + k] * x[lower1 + k] + f1[q1 + k] * x[upper1 + k]
        # Face 0 of a row is closed or wraps; x beyond the row does not belong to it.
        for k in range(last):
            t[k] += f2[o + k + one] * x[o + k + one]
        for k in range(last):
            t[k + one] += f2[o + k + one] * x[o + k]
        if wrap:
            t[U(0)] += f2[o] * x[o + last]
            t[last] += f2[o] * x[o]


@inner
def residual_row(out, t, x, b, scale, q, d0, d1, none, o, n):
    """``out = scale b - A x`` for one row, given the neighbour sums `t`; zero where there is no unknown."""
    for k in range(n):
        d = d0 + d1 * t.dtype.type(q[o + k])
        value = t.dtype.type(b[o + k] * scale) + t[k] - d * x[o + k]
        out[k] = value if q[o + k] != none else t.dtype.type(0)


@jit
def apply(start, stop, x, y, stencil):
    """``y = A x`` on planes start..stop, zero in cells without unknown; returns the sum ``<x, y>``."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n1, n = shape[1], U(shape[2])
    t = np.empty(shape[2], x.dtype)
    dot = 0.0
    for i in range(start, stop):
        for j in range(n1):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
            s = 0.0
            for k in range(n):
                d = d0 + d1 * t.dtype.type(q[o + k])
                value = d * x[o + k] - t[k] if q[o + k] != none else t.dtype.type(0)
                y[o + k] = value
                s += value * x[o + k]
            dot += s
    return dot


@jit
def residual(start, stop, x, b, r, stencil):
    """``r = b - A x`` on planes start..stop, zero in cells without unknown; returns the sum ``<r, r>``."""
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n1, n = shape[1], U(shape[2])
    t = np.empty(shape[2], x.dtype)
    dot = 0.0
    for i in range(start, stop):
        for j in range(n1):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
            s = 0.0
            for k in range(n):
                d = d0 + d1 * t.dtype.type(q[o + k])
                value = b[o + k] + t[k] - d * x[o + k] if q[o + k] != none else t.dtype.type(0)
                r[o + k] = value
                s += value * value
            dot += s
    return dot
