"""Semi-Lagrangian and MacCormack advection on a staggered (MAC) grid.

Positions are in cells: the centre of cell ``i`` is at ``i + 0.5``, its lower face at ``i``. The `offset` of a
field is, per axis, 0.5 where its values sit at centres and 0 where they sit on faces. Arrays have three axes;
a plane is ``(n0, 1, n1)``, so that slabs of the first axis are worth a thread each, and its middle axis and
velocity component are not looked at. Positions beyond the grid take the value of its border.
"""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit

__all__ = ["maccormack", "semi_lagrangian"]

EDGE = 1e-6
"""A departure point this close to the edge of a cell has limits from both sides: rounding must not decide."""


@inner
def _split(x, n):
    """Lower index, upper index and weight of the upper one, for interpolation between `n` >= 1 values."""
    last = n - 1
    x = min(max(x, 0.0), float(last))
    i = min(int(x), max(last - 1, 0))
    return U(i), U(min(i + 1, last)), x - i


@inner
def _sample(f, x0, x1, x2):
    """Multilinear interpolation at index coordinates, exact for constants and at the points themselves."""
    i, i1, r = _split(x0, f.shape[0])
    k, k1, t = _split(x2, f.shape[2])
    if f.shape[1] == 1:
        return _bilinear(f, U(0), i, i1, r, k, k1, t)
    j, j1, s = _split(x1, f.shape[1])
    low = _bilinear(f, j, i, i1, r, k, k1, t)
    return low + s * (_bilinear(f, j1, i, i1, r, k, k1, t) - low)


@inner
def _bilinear(f, j, i, i1, r, k, k1, t):
    low = f[i, j, k] + t * (f[i, j, k1] - f[i, j, k])
    high = f[i1, j, k] + t * (f[i1, j, k1] - f[i1, j, k])
    return low + r * (high - low)


@inner
def _around(x, n):
    """First and one past the last index around `x`; on an index, up to rounding, also those beside it."""
    first = min(max(int(np.floor(x - EDGE)), 0), n - 1)
    last = min(max(int(np.floor(x + EDGE)) + 1, 0), n - 1)
    return first, last + 1


@inner
def _bounds(f, x0, x1, x2):
    """Smallest and largest of the values around a position, those `_sample` interpolates between included."""
    i0, i1 = _around(x0, f.shape[0])
    j0, j1 = _around(x1, f.shape[1])
    k0, k1 = _around(x2, f.shape[2])
    low = high = f[U(i0), U(j0), U(k0)]
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                value = f[U(i), U(j), U(k)]
                low, high = min(low, value), max(high, value)
    return low, high


@inner
def _velocity(u, x0, x1, x2):
    """Velocity at a position, from the components on the faces."""
    v0 = _sample(u[0], x0, x1 - 0.5, x2 - 0.5)
    v1 = _sample(u[1], x0 - 0.5, x1, x2 - 0.5) if u[1].shape[1] > 1 else 0.0
    v2 = _sample(u[2], x0 - 0.5, x1 - 0.5, x2)
    return v0, v1, v2


@inner
def _trace(u, c, x0, x1, x2):
    """Where a particle now at `x` was a time step ago (midpoint rule); `c` is ``Δt/h`` per axis."""
    v0, v1, v2 = _velocity(u, x0, x1, x2)
    v0, v1, v2 = _velocity(u, x0 - 0.5 * c[0] * v0, x1 - 0.5 * c[1] * v1, x2 - 0.5 * c[2] * v2)
    return x0 - c[0] * v0, x1 - c[1] * v1, x2 - c[2] * v2


@jit
def semi_lagrangian(start, stop, f, out, low, high, u, c, offset):
    """``out`` = `f` at the departure points, on planes start..stop.

    `low` and `high`, unless they are empty, receive the range of the values around the departure points.
    """
    o0, o1, o2 = offset
    for i in range(start, stop):
        for j in range(f.shape[1]):
            for k in range(f.shape[2]):
                y0, y1, y2 = _trace(u, c, i + o0, j + o1, k + o2)
                out[i, j, k] = _sample(f, y0 - o0, y1 - o1, y2 - o2)
                if low.size > 0:
                    low[i, j, k], high[i, j, k] = _bounds(f, y0 - o0, y1 - o1, y2 - o2)


@jit
def maccormack(start, stop, f, forward, out, low, high, u, c, offset):
    """Correct the semi-Lagrangian `forward` by half the error of going there and back.

    The result stays within `low` and `high`, so no new extremum appears.
    """
    o0, o1, o2 = offset
    back = (-c[0], -c[1], -c[2])
    for i in range(start, stop):
        for j in range(f.shape[1]):
            for k in range(f.shape[2]):
                z0, z1, z2 = _trace(u, back, i + o0, j + o1, k + o2)
                value = forward[i, j, k] + 0.5 * (f[i, j, k] - _sample(forward, z0 - o0, z1 - o1, z2 - o2))
                out[i, j, k] = min(max(value, low[i, j, k]), high[i, j, k])
