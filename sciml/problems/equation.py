"""Semilinear equations on periodic boxes, to which terms can be added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array
from .spectral import Fields, PeriodicGrid, Symbol

__all__ = ["SpectralEquation"]


class SpectralEquation:
    """A semilinear equation ``u_t = L u + N(u)`` on a periodic box, `L` diagonal in Fourier space.

    Parameters
    ----------
    grid : PeriodicGrid
    symbol : callable
        ``symbol(grid) -> array``: the Fourier symbol of `L`.
    nonlinear : callable
        ``nonlinear(fields) -> array``: the *transform* of ``N(u)``, from a `Fields`.
    name : str

    Examples
    --------
    The heat equation, and what is left of a sine after a time of one half:

    >>> import numpy as np
    >>> from sciml.problems.spectral import PeriodicGrid
    >>> from sciml.problems import ETDRK4, SpectralEquation, forecast
    >>> heat = SpectralEquation(PeriodicGrid(16, 2 * np.pi), lambda g: -g.wavenumbers[0] ** 2, None, "heat")
    >>> x, = heat.grid.coordinates()
    >>> u = forecast(ETDRK4(heat, 0.1), np.sin(x), 5)
    >>> bool(np.allclose(u, np.exp(-0.5) * np.sin(x)))
    True
    """

    def __init__(
        self,
        grid: PeriodicGrid,
        symbol: Callable[[PeriodicGrid], np.ndarray],
        nonlinear: Callable[[Fields], Array] | None,
        name: str,
    ):
        self.grid, self.name = grid, name
        self._symbol, self._nonlinear = symbol, nonlinear
        values = np.broadcast_to(np.asarray(symbol(grid)), grid.spectral_shape)
        self.symbol = values.astype(complex if values.dtype.kind == "c" else float)

    def nonlinear(self, hat: Array) -> Any:
        """The transform of ``N(u)`` from that of `u`; None where there is no such part."""
        if self._nonlinear is None:
            return None
        return self._nonlinear(Fields(self.grid.inverse(hat), self.grid, hat))

    def tendency(self, u: Array) -> Array:
        """``L u + N(u)``."""
        hat = self.grid.transform(u)
        total = Symbol(self.symbol).like(u) * hat
        extra = self.nonlinear(hat)
        return self.grid.inverse(total if extra is None else total + extra)

    def on(self, grid: PeriodicGrid) -> SpectralEquation:
        """The same equation on another grid of the same box."""
        if grid.lengths != self.grid.lengths:
            raise ValueError(
                f"grid has lengths {grid.lengths}; expected those of the equation, {self.grid.lengths}"
            )
        return SpectralEquation(grid, self._symbol, self._nonlinear, self.name)

    def with_terms(self, terms: Sequence[Any], coefficients: Sequence[float]) -> SpectralEquation:
        """The equation with ``Σ c_j φ_j(u)`` added to its right-hand side.

        A term with a Fourier symbol (``term.symbol(grid)`` is not None) joins `L`, which implicit methods
        treat implicitly; any other joins `N` through ``term(fields)``.
        """
        linear, other = _split_terms(terms, coefficients, self.grid)

        def symbol(grid: PeriodicGrid) -> np.ndarray:
            return self._symbol(grid) + sum(c * term.symbol(grid) for c, term in linear)

        base = self._nonlinear

        def nonlinear(fields: Fields) -> Array:
            sources = sum(c * term(fields) for c, term in other)
            transformed = fields._grid().transform(sources)
            return transformed if base is None else base(fields) + transformed

        return SpectralEquation(
            self.grid,
            symbol if linear else self._symbol,
            nonlinear if other else base,
            f"{self.name}, corrected",
        )

    def __repr__(self) -> str:
        return f"<{self.name} on {self.grid!r}>"


def _split_terms(
    terms: Sequence[Any], coefficients: Sequence[float], grid: PeriodicGrid
) -> tuple[list[tuple[float, Any]], list[tuple[float, Any]]]:
    linear: list[tuple[float, Any]] = []
    other: list[tuple[float, Any]] = []
    for c, term in zip(coefficients, terms, strict=True):
        (linear if term.symbol(grid) is not None else other).append((float(c), term))
    return linear, other
