"""Candidate terms for two-dimensional flows in vorticity form."""

from __future__ import annotations

import numpy as np

from ...problems.kolmogorov import advection_term, kolmogorov_forcing, velocity
from ...problems.spectral import Fields, PeriodicGrid
from .library import Library, Term

__all__ = ["vorticity_library"]


def on_grid(fields: Fields) -> PeriodicGrid:
    """The grid of a state, which these terms need."""
    if fields.grid is None:
        raise ValueError("these terms need a state on a periodic grid")
    return fields.grid


def vorticity_library(wavenumber: int = 4) -> Library:
    """Candidates for the vorticity equation on ``2π × 2π``: linear terms, transport, forcing, products.

    Parameters
    ----------
    wavenumber : int
        Of the sinusoidal force.

    Examples
    --------
    >>> from sciml.learned.medida import vorticity_library
    >>> vorticity_library().names
    ('ω', 'Δω', 'Δ²ω', 'v·∇ω', 'forcing', 'ω_x', 'ω_y', 'v', 'ω²', 'ω³', '|∇ω|²')
    """

    def laplacian(grid: PeriodicGrid, power: int) -> np.ndarray:
        return (-(grid.magnitude() ** 2)) ** power

    def linear(name: str, latex: str, power: int) -> Term:
        def apply(f: Fields) -> np.ndarray:
            grid = on_grid(f)
            return grid.inverse(laplacian(grid, power) * f.hat)

        return Term(name, apply, latex, linear_symbol=lambda grid: laplacian(grid, power))

    def slope(name: str, axis: int) -> Term:
        def symbol(grid: PeriodicGrid) -> np.ndarray:
            return grid.derivative_symbol(1, axis).values

        return Term(name, lambda f: f.d(1, axis), rf"\omega_{'xy'[axis]}", linear_symbol=symbol)

    def forcing(f: Fields) -> np.ndarray:
        return np.broadcast_to(kolmogorov_forcing(on_grid(f), wavenumber), f.u.shape)

    return Library([
        Term("ω", lambda f: f.u, r"\omega", linear_symbol=lambda grid: np.ones(grid.spectral_shape)),
        linear("Δω", r"\Delta\omega", 1),
        linear("Δ²ω", r"\Delta^2\omega", 2),
        Term("v·∇ω", advection_term, r"v \cdot \nabla\omega"),
        Term("forcing", forcing),
        slope("ω_x", 0),
        slope("ω_y", 1),
        Term("v", lambda f: velocity(f)[0]),
        Term("ω²", lambda f: f.u**2, r"\omega^2"),
        Term("ω³", lambda f: f.u**3, r"\omega^3"),
        Term("|∇ω|²", lambda f: f.d(1, 0) ** 2 + f.d(1, 1) ** 2, r"|\nabla\omega|^2"),
    ])  # fmt: skip
