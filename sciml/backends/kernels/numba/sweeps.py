"""Sweeps of successive over-relaxation: in natural order on sparse columns, by colours on grids."""

from __future__ import annotations

import math

import numpy as np

from .common import U, inner, jit, row_offsets
from .stencil import neighbour_sum

__all__ = ["relax_colour", "relax_columns", "transpose"]


@jit
def transpose(indptr, indices, values):
    """CSR arrays of the transpose of a square CSR matrix: its columns."""
    n = indptr.size - 1
    starts = np.zeros(n + 1, dtype=indptr.dtype)
    for j in indices:
        starts[j + 1] += 1
    for j in range(n):
        starts[j + 1] += starts[j]
    fill = starts[:-1].copy()
    rows = np.empty_like(indices)
    entries = np.empty_like(values)
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            place = fill[indices[k]]
            rows[place] = i
            entries[place] = values[k]
            fill[indices[k]] = place + 1
    return starts, rows, entries


@inner
def _relax_column(i, indptr, rows, values, factor, x, r):
    step = factor[i] * r[i]
    x[i] += step
    for k in range(indptr[i], indptr[i + 1]):
        r[rows[k]] -= values[k] * step


@jit
def relax_columns(indptr, rows, values, factor, x, r, symmetric, tolerance, norms):
    """Sweep until ``‖r‖ ≤ tolerance`` or ``norms.size`` sweeps are done; returns how many were.

    The columns of the matrix are given, not its rows: subtracting a column as soon as its unknown has
    moved keeps ``r = b − A x`` true all along, so the residual norm after a sweep costs no product.

    Parameters
    ----------
    indptr, rows, values : arrays
        Columns of `A`.
    factor : array
        ``omega / diagonal``.
    x, r : arrays
        Iterate and its residual, updated in place.
    symmetric : bool
        Follow every forward sweep by a backward one (SSOR).
    tolerance : float
        Negative: run all sweeps.
    norms : array of float64
        Receives ``‖r‖`` after every sweep.
    """
    n = x.size
    for sweep in range(norms.size):
        for i in range(n):
            _relax_column(i, indptr, rows, values, factor, x, r)
        if symmetric:
            for i in range(n - 1, -1, -1):
                _relax_column(i, indptr, rows, values, factor, x, r)
        total = 0.0
        for i in range(n):
            total += r[i].real * r[i].real + r[i].imag * r[i].imag
        norms[sweep] = math.sqrt(total)
        if norms[sweep] <= tolerance or not math.isfinite(norms[sweep]):
            return sweep + 1
    return norms.size


@jit
def relax_colour(start, stop, x, b, diagonal, faces, weights, shape, periodic, colour, omega):
    """Relax one colour of a red-black grid in rows start..stop; returns its sum of squared residuals before.

    With ``omega = 0`` it only measures. `x` carries one extra row of zeros and is zero in cells without an
    unknown, where `diagonal` is zero too.
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
                residual = b[o + k] + t[k] - d * x[o + k]
                total += np.float64(residual) * np.float64(residual)
                x[o + k] += x.dtype.type(omega) * residual / d
    return total
