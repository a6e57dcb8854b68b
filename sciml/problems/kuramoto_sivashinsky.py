"""The Kuramoto–Sivashinsky equation, and the 23 imperfect models of it that MEDIDA is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .equation import SpectralEquation
from .spectral import Fields, PeriodicGrid

__all__ = ["KS_CASES", "KSCase", "kuramoto_sivashinsky"]


def kuramoto_sivashinsky(
    n: int = 1024,
    length: float = 100.0,
    *,
    advection: float = 1.0,
    diffusion: float = 1.0,
    hyperdiffusion: float = 1.0,
    dispersion: float = 0.0,
    cubic: float = 0.0,
) -> SpectralEquation:
    """``u_t + a u u_x + b u_xx + c u_xxxx + d u_xxx + e u² u_x = 0`` on a periodic interval.

    Parameters
    ----------
    n : int
        Nodes.
    length : float
        Of the interval.
    advection, diffusion, hyperdiffusion, dispersion, cubic : float
        The coefficients a, b, c, d, e.

    Returns
    -------
    SpectralEquation

    References
    ----------
    Kuramoto and Tsuzuki, Prog. Theor. Phys. 55 (1976) 356–369; Sivashinsky, Acta Astronaut. 4 (1977)
    1177–1206.

    Examples
    --------
    >>> from sciml.problems import kuramoto_sivashinsky
    >>> kuramoto_sivashinsky(64, 22.0, diffusion=0.5)
    <Kuramoto–Sivashinsky on PeriodicGrid((64,), (22.0,))>
    """

    def symbol(grid: PeriodicGrid) -> np.ndarray:
        d2, d3, d4 = (grid.derivative_symbol(order).values for order in (2, 3, 4))
        even = -diffusion * d2.real - hyperdiffusion * d4.real
        return even - dispersion * d3 if dispersion else even

    def nonlinear(fields: Fields) -> np.ndarray:
        flux = (-0.5 * advection) * fields.u**2
        if cubic:
            flux = flux - (cubic / 3.0) * fields.u**3
        grid = fields._grid()
        return grid.derivative_symbol(1).like(flux) * grid.transform(flux)

    grid = PeriodicGrid(n, length)
    return SpectralEquation(grid, symbol, nonlinear if advection or cubic else None, "Kuramoto–Sivashinsky")


@dataclass(frozen=True)
class KSCase:
    """An imperfect model: coefficients of ``u u_x``, ``u_xx``, ``u_xxxx``, ``u_xxx`` and ``u² u_x``.

    The truth is ``(1, 1, 1, 0, 0)``.
    """

    name: str
    advection: float = 1.0
    diffusion: float = 1.0
    hyperdiffusion: float = 1.0
    dispersion: float = 0.0
    cubic: float = 0.0

    def equation(self, n: int = 1024, length: float = 100.0) -> SpectralEquation:
        """The equation of the model."""
        return kuramoto_sivashinsky(
            n, length, advection=self.advection, diffusion=self.diffusion,
            hyperdiffusion=self.hyperdiffusion, dispersion=self.dispersion, cubic=self.cubic,
        )  # fmt: skip

    def missing(self) -> dict[str, float]:
        """What has to be added to the right-hand side of the model to get the truth, by name of the term."""
        found = {
            "u u_x": self.advection - 1.0,
            "u_xx": self.diffusion - 1.0,
            "u_xxxx": self.hyperdiffusion - 1.0,
            "u_xxx": self.dispersion,
            "u^2 u_x": self.cubic,
        }
        return {name: value for name, value in found.items() if value != 0.0}

    def error(self, found: dict[str, float]) -> float:
        """``100 ‖c_true − c_model‖ / ‖c_true‖`` in per cent, for the model corrected by `found`.

        Spurious terms count.
        """
        wanted = self.missing()
        names = set(wanted) | set(found)
        squares = sum((wanted.get(name, 0.0) - found.get(name, 0.0)) ** 2 for name in names)
        return 100.0 * float(np.sqrt(squares / 3.0))

    @staticmethod
    def error_size(covariance: np.ndarray) -> float:
        """Root mean square of `error`, in per cent, for estimates of the missing terms of this covariance.

        Where `covariance` is that of an efficient estimator, no unbiased one has a smaller error on average.
        """
        return 100.0 * float(np.sqrt(np.trace(covariance) / 3.0))


KS_CASES: dict[str, KSCase] = {
    case.name: case
    for case in (
        KSCase("1", advection=0.0),
        KSCase("2", diffusion=0.0),
        KSCase("3", hyperdiffusion=0.0),
        KSCase("4", diffusion=0.0, hyperdiffusion=0.0),
        KSCase("5", advection=0.0, hyperdiffusion=0.0),
        KSCase("6", advection=0.0, diffusion=0.0),
        KSCase("7", advection=0.5),
        KSCase("8", diffusion=0.5),
        KSCase("9", hyperdiffusion=0.5),
        KSCase("10", advection=2.0, diffusion=2.0, hyperdiffusion=2.0),
        KSCase("11", advection=0.0, diffusion=0.5, hyperdiffusion=2.0),
        KSCase("12", advection=0.5, diffusion=0.0),
        KSCase("x3a", dispersion=0.1),
        KSCase("x3b", dispersion=0.5),
        KSCase("x3c", dispersion=1.0),
        KSCase("x3-21", advection=0.0, dispersion=0.5),
        KSCase("x3-22", diffusion=0.0, dispersion=0.5),
        KSCase("x3-23", hyperdiffusion=0.0, dispersion=0.5),
        KSCase("q1", cubic=2.25),
        KSCase("q2", cubic=0.225),
        KSCase("q3", cubic=0.0225),
        KSCase("q22", diffusion=0.0, cubic=0.225),
        KSCase("q23", hyperdiffusion=0.0, cubic=0.225),
    )
}
"""The 23 cases of the published code. Its cubic label l3 stands for the coefficient 1.5 l3, used here."""
