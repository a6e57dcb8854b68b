"""Transport of a field along a velocity on a MAC grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.threads import parallel
from .mac import MacGrid, Velocity

__all__ = ["SCHEMES", "advect", "advect_velocity"]

SCHEMES = ("maccormack", "semi-lagrangian")

GRAIN_POINTS = 8_000
"""Fewer points are not worth waking another thread for."""


def advect(
    grid: MacGrid, field: np.ndarray, velocity: Velocity, dt: float, *, scheme: str = "maccormack"
) -> np.ndarray:
    """Carry a cell-centred `field` along for the time `dt`.

    Parameters
    ----------
    grid : MacGrid
    field : array of shape ``grid.shape``
    velocity : tuple of arrays
        On faces, in lengths of the grid's spacing per time.
    dt : float
        Stable for every size; particles are traced back by the midpoint rule.
    scheme : {"maccormack", "semi-lagrangian"}
        Semi-Lagrangian interpolates linearly, which is first order and smears. MacCormack corrects it by half
        the error of going there and back, limited to the values around the departure point: second order
        where the field is smooth.

    Returns
    -------
    ndarray
        Within the range of `field`: no scheme makes a new extremum.

    References
    ----------
    Stam, Stable fluids, SIGGRAPH 1999. Selle, Fedkiw, Kim, Liu and Rossignac, An unconditionally stable
    MacCormack method, J. Sci. Comput. 35 (2008) 350–371.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.fluids import MacGrid, advect
    >>> grid = MacGrid.create((4, 4))
    >>> right = (np.ones((5, 4)), np.zeros((4, 5)))
    >>> advect(grid, np.eye(4), right, 1.0)[1]     # what was in row 0
    array([1., 0., 0., 0.])
    """
    velocity = grid.check_velocity(velocity)
    values = np.ascontiguousarray(field, dtype=float)
    if values.shape != grid.shape:
        raise ValueError(f"field has shape {values.shape}; expected the grid's, {grid.shape}")
    return _advect(grid, values, velocity, dt, scheme, None)


def advect_velocity(
    grid: MacGrid, velocity: Velocity, dt: float, *, scheme: str = "maccormack"
) -> tuple[np.ndarray, ...]:
    """Carry a velocity along itself for the time `dt`, every component on its own faces; see `advect`."""
    velocity = grid.check_velocity(velocity)
    return tuple(_advect(grid, u, velocity, dt, scheme, axis) for axis, u in enumerate(velocity))


def _advect(
    grid: MacGrid, field: np.ndarray, velocity: Velocity, dt: float, scheme: str, normal: int | None
) -> np.ndarray:
    """`normal` is the axis across whose faces the values of `field` sit, None at centres."""
    from ...backends.kernels.numba import advection  # compiles on first use

    if scheme not in SCHEMES:
        raise ValueError(f"scheme is {scheme!r}; expected one of {', '.join(SCHEMES)}")
    f = _three_axes(field)
    u: tuple[np.ndarray, ...] = tuple(_three_axes(component) for component in velocity)
    courant = [dt / h for h in grid.spacing]
    offset = [0.0 if axis == normal else 0.5 for axis in range(grid.ndim)]
    if grid.ndim == 2:
        u = (u[0], np.zeros((1, 1, 1)), u[1])
        courant.insert(1, 0.0)
        offset.insert(1, 0.5)
    rest: tuple[Any, ...] = (u, tuple(courant), tuple(offset))
    grain = max(1, GRAIN_POINTS // (f.shape[1] * f.shape[2]))
    out = np.empty_like(f)
    if scheme == "semi-lagrangian":
        none = np.empty((0, 0, 0))
        parallel(advection.semi_lagrangian, f.shape[0], f, out, none, none, *rest, grain=grain)
        return out.reshape(field.shape)
    forward, low, high = np.empty_like(f), np.empty_like(f), np.empty_like(f)
    parallel(advection.semi_lagrangian, f.shape[0], f, forward, low, high, *rest, grain=grain)
    parallel(advection.maccormack, f.shape[0], f, forward, out, low, high, *rest, grain=grain)
    return out.reshape(field.shape)


def _three_axes(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 3 else values[:, None, :]
