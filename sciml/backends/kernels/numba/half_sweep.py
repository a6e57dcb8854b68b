"""One colour of a red-black sweep over a grid in natural order, for callers that exchange values between."""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit, row_offsets
from .stencil import neighbour_sum

__all__ = ["half_sweep"]


@inner
def _relax_row(x, t, b, q, d0, d1, none, comb, p, o, n):
    """All lanes are computed; ``comb[p + k]``, alternately omega and zero, keeps those of one colour."""
    for k in range(n):
        d = d0 + d1 * x.dtype.type(q[o + k])
        old = x[o + k]
        value = old + comb[p + k] * ((b[o + k] + t[k]) / d - old)
        x[o + k] = value if q[o + k] != none else x.dtype.type(0)


@jit
def half_sweep(start, stop, colour, x, b, stencil, comb):
    """Relax the cells of one colour on planes start..stop.

    Parameters
    ----------
    colour : int
        0 relaxes cells with an even sum of indices.
    x, b : arrays
        Flat, with a row of zeros appended; `x` is zero in cells without an unknown.
    comb : array
        Omega, 0, omega, ...; two longer than a row.
    """
    shape, periodic, q, d0, d1, none, w, faces = stencil
    n = U(shape[2])
    t = np.empty(shape[2], x.dtype)
    for i in range(start, stop):
        for j in range(shape[1]):
            o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
            neighbour_sum(t, x, faces, w, o, lower0, upper0, lower1, upper1, n, periodic[2])
            _relax_row(x, t, b, q, d0, d1, none, comb, U((i + j + colour) & 1), o, n)
