"""The Lorenz systems of 1963 (three variables) and 1996 (a ring of variables)."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from .steppers import RK4

__all__ = ["lorenz63", "lorenz96"]


def lorenz63(dt: float = 0.01, *, sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0) -> RK4:
    """``x' = σ (y − x)``, ``y' = x (ρ − z) − y``, ``z' = x y − β z``.

    Returns
    -------
    RK4
        States have shape ``(..., 3)``.

    References
    ----------
    Lorenz, J. Atmos. Sci. 20 (1963) 130–141.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems import forecast, lorenz63
    >>> bool(np.all(np.abs(forecast(lorenz63(), np.ones(3), 1000)) < 60))
    True
    """

    def tendency(u: Array) -> Array:
        x, y, z = u[..., 0], u[..., 1], u[..., 2]
        parts = [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]
        return array_namespace(u).stack(parts, axis=-1)

    return RK4(tendency, (3,), dt, name="Lorenz 63")


def lorenz96(n: int = 40, dt: float = 0.05, *, forcing: float = 8.0, damping: float = 1.0) -> RK4:
    """``x_i' = (x_{i+1} − x_{i−2}) x_{i−1} − d x_i + F`` on a ring.

    Returns
    -------
    RK4
        States have shape ``(..., n)``.

    References
    ----------
    Lorenz, Predictability: a problem partly solved, Proc. ECMWF Seminar on Predictability (1996).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems import lorenz96
    >>> model = lorenz96(8)
    >>> bool(np.allclose(model.tendency(np.full(8, 8.0)), 0.0))     # the unstable fixed point
    True
    """

    def tendency(u: Array) -> Array:
        xp = array_namespace(u)
        ahead, behind, behind2 = xp.roll(u, -1, axis=-1), xp.roll(u, 1, axis=-1), xp.roll(u, 2, axis=-1)
        return (ahead - behind2) * behind - damping * u + forcing

    return RK4(tendency, (n,), dt, name="Lorenz 96")
