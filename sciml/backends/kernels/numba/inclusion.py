"""Inner loops of variance-reduced methods for dense affine maps, where one step is a few microseconds.

``F(u) = K u − q``; component `i` holds the columns ``blocks[i]`` (−1: none) times `n`. Sets are a box and
simplices over index ranges, as `sciml.operators.sets` compiles them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["forb", "project", "vr_extragradient"]


@njit(nogil=True, cache=True)
def project(v, lower, upper, ranges, totals):
    """Project `v` in place: clip, then each simplex by Michelot's method, which ends exactly."""
    for j in range(v.size):
        v[j] = min(max(v[j], lower[j]), upper[j])
    for s in range(ranges.shape[0]):
        start, stop, total = ranges[s, 0], ranges[s, 1], totals[s]
        shift, active = -np.inf, -1
        while True:
            mass, count = 0.0, 0
            for j in range(start, stop):
                if v[j] > shift:
                    mass += v[j]
                    count += 1
            if (
                count == active or count == 0
            ):  # none at all: the entries are NaN, which the residual will show
                break
            active = count
            shift = (mass - total) / count
        for j in range(start, stop):
            v[j] = max(v[j] - shift, 0.0)


@njit(nogil=True, cache=True)
def _add_component(out, scale, columns, block, a, b):
    """``out += scale (K[:, block] (a − b)[block])``."""
    for c in block:
        if c >= 0:
            weight = scale * (a[c] - b[c])
            if weight != 0.0:
                column = columns[c]
                for j in range(out.size):
                    out[j] += weight * column[j]


@njit(nogil=True, cache=True)
def forb(K, columns, q, blocks, lower, upper, ranges, totals, u, Fu, eta, gamma, p, n, numbers, coins):
    """VR-FoRB steps; returns the last iterate and the argument of its projection."""
    v, w, before, z = u.copy(), u.copy(), u.copy(), u.copy()
    Bw = eta * Fu
    change = np.empty_like(u)
    for m in range(numbers.size):
        for j in range(u.size):
            change[j] = Bw[j] + v[j] - before[j]
        _add_component(change, eta * n, columns, blocks[numbers[m]], v, before)
        for j in range(u.size):
            z[j] = (1.0 - p) * v[j] + p * w[j] - gamma * change[j]
            before[j] = w[j]
            v[j] = z[j]
        project(v, lower, upper, ranges, totals)
        if coins[m]:
            w[:] = v
            Bw = eta * (np.dot(K, w) - q) + w - u
    return v, z


@njit(nogil=True, cache=True)
def vr_extragradient(
    K, columns, q, blocks, lower, upper, ranges, totals, z, w, Fw, gamma, p, n, numbers, coins
):
    """VR-EG steps up to the first true coin; returns iterate, argument of its projection, steps."""
    z, half, argument = z.copy(), np.empty_like(z), np.empty_like(z)
    for m in range(numbers.size):
        for j in range(z.size):
            argument[j] = (1.0 - p) * z[j] + p * w[j] - gamma * Fw[j]
            half[j] = argument[j]
        project(half, lower, upper, ranges, totals)
        _add_component(argument, -gamma * n, columns, blocks[numbers[m]], half, w)
        z[:] = argument
        project(z, lower, upper, ranges, totals)
        if coins[m]:
            return z, argument, m + 1
    return z, argument, numbers.size
