"""Passes over flat arrays that need no neighbours."""

from __future__ import annotations

import numpy as np

from .common import U, jit

__all__ = ["enclose", "histogram", "translate"]


@jit
def enclose(start, stop, v, padded, q, none):
    """Copy `v` into the work vector `padded`, zero where there is no unknown; returns in how many such cells
    `v` is not zero."""
    held = 0
    for k in range(start, stop):
        inside = q[k] != none
        padded[k] = v[k] if inside else 0
        held += not inside and v[k] != 0
    return held


@jit
def histogram(start, stop, code):
    """How often each of the 256 codes occurs in ``code[start:stop]``."""
    # Four tables: neighbouring cells mostly share a code, and one counter would wait for itself.
    counts = np.empty(4 * 256, np.int64)
    for k in range(counts.size):
        counts[k] = 0
    for i in range(start, stop):
        counts[U(256 * (i & 3) + code[i])] += 1
    for k in range(256):
        counts[k] += counts[256 + k] + counts[512 + k] + counts[768 + k]
    return counts[:256]


@jit
def translate(start, stop, code, table, out):
    """``out[i] = table[code[i]]``."""
    for i in range(start, stop):
        out[i] = table[U(code[i])]
