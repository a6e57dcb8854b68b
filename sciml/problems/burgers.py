"""The viscous Burgers equation, forced so that it does not die out."""

from __future__ import annotations

import numpy as np

from .equation import SpectralEquation
from .spectral import Fields, PeriodicGrid, Symbol

__all__ = ["burgers"]


def burgers(
    n: int = 256,
    length: float = 2.0 * np.pi,
    *,
    viscosity: float = 0.05,
    advection: float = 1.0,
    forcing: float = 0.0,
    drag: float = 0.0,
) -> SpectralEquation:
    """``u_t + a u u_x = ν u_xx − μ u + F sin(2 · 2π x / length)`` on a periodic interval.

    Parameters
    ----------
    n : int
        Nodes.
    length : float
        Of the interval.
    viscosity, advection, forcing, drag : float
        The coefficients ν, a, F, μ.

    Returns
    -------
    SpectralEquation

    Examples
    --------
    >>> from sciml.problems import burgers
    >>> burgers(64)
    <Burgers on PeriodicGrid((64,), (6.283185307179586,))>
    """
    grid = PeriodicGrid(n, length)
    waves: dict[tuple[int, ...], Symbol] = {}

    def symbol(grid: PeriodicGrid) -> np.ndarray:
        return viscosity * grid.derivative_symbol(2).values.real - drag

    def nonlinear(fields: Fields) -> np.ndarray:
        grid = fields._grid()
        flux = (-0.5 * advection) * fields.u**2
        change = grid.derivative_symbol(1).like(flux) * grid.transform(flux)
        if forcing:
            if grid.shape not in waves:
                (x,) = grid.coordinates()
                waves[grid.shape] = Symbol(grid.transform(forcing * np.sin(4.0 * np.pi * x / length)))
            change = change + waves[grid.shape].like(change)
        return change

    return SpectralEquation(grid, symbol, nonlinear, "Burgers")
