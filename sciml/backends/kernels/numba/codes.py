"""Passes over flat arrays that need no neighbours."""

from __future__ import annotations

import numpy as np

from .common import U, jit

__all__ = ["histogram", "translate"]


@jit
def histogram(start, stop, code):
    """How often each of the 256 codes occurs in ``code[start:stop]``."""
    # Four tables: neighbouring cells mostly share a code, and one counter would wait for itself.
    counts = np.zeros((4, 256), np.int64)
    for i in range(start, stop):
        counts[i & 3, code[i]] += 1
    return counts[0] + counts[1] + counts[2] + counts[3]


@jit
def translate(start, stop, code, table, out):
    """``out[i] = table[code[i]]``."""
    for i in range(start, stop):
        out[i] = table[U(code[i])]
