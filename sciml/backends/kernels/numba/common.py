"""Compiler options and the flat indexing all grid kernels share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["U", "inlined", "inner", "jit", "lagging", "row_offsets", "tile_width"]

U = np.uintp
"""Unsigned offsets: numba would otherwise test every index for being negative, and LLVM not vectorise."""

# Re-association lets LLVM vectorise sums and contraction lets it use fused multiply-adds. NaN and infinity
# keep their meaning (no `nnan`, `ninf`): solvers must be able to see them. `error_model="numpy"` removes the
# division-by-zero exception, a branch that would stop vectorisation. Kernels fill arrays in loops, as
# `np.full`, `np.zeros` and `np.arange` take one or two tenths of a second to compile each.
_OPTIONS: Any = {
    "nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "no_cfunc_wrapper": True,
}  # fmt: skip
_njit: Any = njit  # whose annotations leave out the options on wrappers
jit: Any = _njit(**_OPTIONS)
inner: Any = _njit(**_OPTIONS, no_cpython_wrapper=True)
"""For functions that only kernels call: without a way in from Python they are compiled in less time."""
inlined: Any = _njit(**_OPTIONS, inline="always")
"""For functions called once a row with tuples of arrays, which are passed word by word."""


@inner
def row_offsets(i, j, shape, periodic):
    """Flat offsets of the row (i, j, :) and of its four neighbour rows in an array with one row of zeros
    appended.

    A neighbour row outside the box is the appended row, so no kernel needs a mask for the boundary.
    """
    n0, n1, n2 = shape
    plane = n1 * n2
    zeros = n0 * plane
    o = i * plane + j * n2
    if i > 0:
        lower0 = o - plane
    elif periodic[0]:
        lower0 = o + (n0 - 1) * plane
    else:
        lower0 = zeros
    if i < n0 - 1:
        upper0 = o + plane
    elif periodic[0]:
        upper0 = o - (n0 - 1) * plane
    else:
        upper0 = zeros
    if j > 0:
        lower1 = o - n2
    elif periodic[1]:
        lower1 = o + (n1 - 1) * n2
    else:
        lower1 = zeros
    if j < n1 - 1:
        upper1 = o + n2
    elif periodic[1]:
        upper1 = o - (n1 - 1) * n2
    else:
        upper1 = zeros
    return U(o), U(lower0), U(upper0), U(lower1), U(upper1)


@inner
def tile_width(rows, row_length, bytes_per_cell, periodic):
    """Rows of a plane to process at once: those in flight, `bytes_per_cell` over all planes, fit in cache."""
    width = max(32, 1_000_000 // (bytes_per_cell * row_length))
    # A wrap would make the first tile wait for the last.
    return rows if periodic or 2 * width > 3 * rows else width


@inner
def lagging(start, stop, rows, lag):
    """The rows start..stop of a tile shifted down by `lag`, except at the borders of the plane."""
    return (0 if start == 0 else start - lag), (rows if stop == rows else stop - lag)
