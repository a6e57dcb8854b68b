"""Two-dimensional turbulence under a sinusoidal force: Kolmogorov flow in vorticity form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array
from .equation import SpectralEquation
from .spectral import Fields, PeriodicGrid, Symbol

__all__ = ["advection_term", "kolmogorov", "kolmogorov_forcing", "velocity"]


def kolmogorov(
    n: int = 64,
    *,
    viscosity: float = 1.0 / 40.0,
    drag: float = 0.1,
    forcing: float = 1.0,
    wavenumber: int = 4,
    hyperviscosity: float = 0.0,
    advection: float = 1.0,
) -> SpectralEquation:
    """``ω_t + a (v ω_x + w ω_y) = ν Δω − μ ω − h Δ²ω − F k cos(k y)`` on the box ``2π × 2π``.

    ``(v, w)`` is the velocity, ``v = ψ_y``, ``w = −ψ_x`` with ``−Δψ = ω``. The nonlinear term is de-aliased
    by the 2/3 rule.

    Parameters
    ----------
    n : int
        Nodes per axis.
    viscosity, drag, forcing, hyperviscosity, advection : float
        The coefficients ν, μ, F, h, a.
    wavenumber : int
        k.

    Returns
    -------
    SpectralEquation
        States have shape ``(..., n, n)``, axes x and y.

    References
    ----------
    Meshalkin and Sinai, J. Appl. Math. Mech. 25 (1961) 1700–1705; chaotic regime: Platt, Sirovich and
    Fitzmaurice, Phys. Fluids A 3 (1991) 681–696.

    Examples
    --------
    >>> from sciml.problems import kolmogorov
    >>> kolmogorov(32)
    <Kolmogorov flow on PeriodicGrid((32, 32), (6.283185307179586, 6.283185307179586))>
    """
    grid = PeriodicGrid((n, n), 2.0 * np.pi)
    tables: dict[tuple[int, ...], tuple[Symbol, Symbol]] = {}

    def symbol(grid: PeriodicGrid) -> np.ndarray:
        k2 = grid.magnitude() ** 2
        return -viscosity * k2 - drag - hyperviscosity * k2**2

    def nonlinear(fields: Fields) -> Array:
        grid = fields._grid()
        if grid.shape not in tables:
            kept = np.ones(grid.spectral_shape)
            for k, m in zip(grid.wavenumbers, grid.shape, strict=True):
                kept = kept * (np.abs(k) < m / 3.0)
            force = grid.transform(kolmogorov_forcing(grid, wavenumber)) * forcing
            tables[grid.shape] = Symbol(-advection * kept), Symbol(force)
        kept_symbol, force_symbol = tables[grid.shape]
        transported = grid.transform(advection_term(fields))
        return kept_symbol.like(transported) * transported + force_symbol.like(transported)

    return SpectralEquation(grid, symbol, nonlinear, "Kolmogorov flow")


def kolmogorov_forcing(grid: PeriodicGrid, wavenumber: int = 4) -> np.ndarray:
    """``−k cos(k y)``, the curl of the force ``sin(k y)`` along x."""
    _, y = grid.coordinates()
    return np.broadcast_to(-wavenumber * np.cos(wavenumber * y), grid.shape)


def velocity(fields: Fields) -> tuple[Array, Array]:
    """The velocity of a vorticity field with zero mean flow."""
    return fields.once("velocity", lambda: _velocity(fields))


def advection_term(fields: Fields) -> Array:
    """``v ω_x + w ω_y``."""
    return fields.once("advection", lambda: _advection(fields))


def _velocity(fields: Fields) -> Any:
    grid = fields._grid()
    psi = grid.inverse_laplacian_symbol().like(fields.u) * fields.hat
    along_y = grid.inverse(grid.derivative_symbol(1, 1).like(fields.u) * psi)
    along_x = grid.inverse(grid.derivative_symbol(1, 0).like(fields.u) * psi)
    return along_y, -along_x


def _advection(fields: Fields) -> Array:
    v, w = velocity(fields)
    return v * fields.d(1, 0) + w * fields.d(1, 1)
