"""Compiler options and the flat indexing all grid kernels share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["U", "jit", "row_offsets"]

U = np.uintp
"""Unsigned offsets: numba would otherwise test every index for being negative, and LLVM not vectorise."""

# Re-association lets LLVM vectorise sums and contraction lets it use fused multiply-adds. NaN and infinity keep
# their meaning (no `nnan`, `ninf`): solvers must be able to see them. `error_model="numpy"` removes the
# division-by-zero exception, a branch that would stop vectorisation.
jit: Any = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})


@jit
def row_offsets(i, j, shape, periodic):
    """Flat offsets of the row (i, j, :) and of its four neighbour rows in an array with one row of zeros appended.

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
