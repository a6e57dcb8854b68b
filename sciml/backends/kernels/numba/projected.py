"""Projected relaxation between bounds: by colours on grids, in natural order on sparse rows."""

from __future__ import annotations

import numpy as np

from .common import U, jit, row_offsets
from .stencil import neighbour_sum

__all__ = ["relax_colour_projected", "relax_rows_projected"]


@jit
def relax_colour_projected(
    start, stop, x, b, diagonal, lower, upper, faces, weights, shape, periodic, colour, omega
):
    """Relax and clip one colour in rows start..stop; returns its sum of squared projected residuals before.

    The projected residual of a cell is its residual as far as the bounds let the cell follow it. `x` carries
    one extra row of zeros and is zero in cells without an unknown, where `diagonal` is zero too.
    """
    n = U(shape[2])
    t = np.empty(shape[2], x.dtype)
    total = 0.0
    for row in range(start, stop):
        i = row // shape[1]
        j = row - i * shape[1]
        o, lower0, upper0, lower1, upper1 = row_offsets(i, j, shape, periodic)
        neighbour_sum(t, x, faces, weights, o, lower0, upper0, lower1, upper1, n, periodic[2])
        for k in range(U((i + j + colour) & 1), n, U(2)):
            d = diagonal[o + k]
            if d != 0:
                old = x[o + k]
                residual = b[o + k] + t[k] - d * old
                new = min(max(old + omega * residual / d, lower[o + k]), upper[o + k])
                # A cell at its bound counts only with the part of the residual it could follow.
                share = min(abs(residual), abs(new - old) * d / omega)
                total += share * share
                x[o + k] = new
    return total


@jit
def relax_rows_projected(indptr, indices, values, diagonal, b, x, lower, upper, omega):
    """One projected sweep in natural order over the rows of a CSR matrix; returns as the grid sweep does."""
    total = 0.0
    for i in range(x.size):
        residual = b[i]
        for k in range(indptr[i], indptr[i + 1]):
            residual -= values[k] * x[indices[k]]
        old = x[i]
        new = min(max(old + omega * residual / diagonal[i], lower[i]), upper[i])
        share = min(abs(residual), abs(new - old) * diagonal[i] / omega)
        total += share * share
        x[i] = new
    return total
