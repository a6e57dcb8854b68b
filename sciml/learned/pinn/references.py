"""Reference solutions that are computed, not stored."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.special import roots_hermite
from torch import Tensor

from ...problems import ETDRK4, SpectralEquation, trajectory
from ...problems.spectral import Fields, PeriodicGrid

__all__ = ["allen_cahn_reference", "burgers_exact"]

_NODES = 160
"""Of the Gauss–Hermite rule; more change nothing at the viscosities of the library (tested)."""

_MODES, _TIMES, _STEPS = 2048, 200, 4
"""Allen–Cahn: nodes, stored times on [0, 1], time steps between them (their convergence is tested)."""


def burgers_exact(x: Tensor, viscosity: float, nodes: int = _NODES) -> Tensor:
    """Solution of Burgers' equation from ``−sin(πx)`` by the Cole–Hopf transform and quadrature.

    Parameters
    ----------
    x : Tensor (n, 2)
        Position and time.
    viscosity : float
    nodes : int
        Of the Gauss–Hermite rule.

    References
    ----------
    Basdevant et al., Computers & Fluids 14 (1986) 23–41, equation 3.
    """
    z, w = (torch.from_numpy(values) for values in roots_hermite(nodes))
    parts = []
    for part in x.split(max(1, 4_000_000 // nodes)):
        y = part[:, :1] - (4.0 * viscosity * part[:, 1:2]) ** 0.5 * z
        exponent = -torch.cos(math.pi * y) / (2.0 * math.pi * viscosity)
        # Only the ratio of the two integrals matters: no exponent is positive then.
        weights = w * torch.exp(exponent - exponent.max(dim=1, keepdim=True).values)
        parts.append(-(weights * torch.sin(math.pi * y)).sum(dim=1) / weights.sum(dim=1))
    return torch.cat(parts)


def allen_cahn_reference(x: Tensor, diffusivity: float) -> Tensor:
    """Solution of the Allen–Cahn problem of the library by a Fourier method.

    Exact interpolation in space; in time the cubic through values and tendencies of the two stored times
    around a point.

    Parameters
    ----------
    x : Tensor (n, 2)
        Position in [-1, 1] and time in [0, 1].
    diffusivity : float
    """
    values, rates = (torch.from_numpy(table) for table in allen_cahn_table(diffusivity))
    at = (x[:, 1] * (len(values) - 1)).clamp(0, len(values) - 1)
    left = at.floor().clamp(max=len(values) - 2).to(torch.int64)
    s, h = at - left, 1.0 / (len(values) - 1)
    waves = math.pi * torch.arange(values.shape[1], dtype=x.dtype)
    result = torch.empty_like(s)
    for rows in torch.arange(len(x)).split(4000):
        # The solution is even, so its Fourier series has cosines only; the grid starts at -1.
        basis = torch.cos((x[rows, :1] + 1.0) * waves)
        i, r = left[rows], s[rows]
        ends = [(basis * table[j]).sum(dim=1) for table in (values, rates) for j in (i, i + 1)]
        u0, u1, du0, du1 = ends
        result[rows] = (
            (1 + 2 * r) * (1 - r) ** 2 * u0 + r**2 * (3 - 2 * r) * u1
            + h * (r * (1 - r) ** 2 * du0 - r**2 * (1 - r) * du1)
        )  # fmt: skip
    start = x[:, 0] ** 2 * torch.cos(math.pi * x[:, 0])
    return torch.where(x[:, 1] == 0.0, start, result)  # a Fourier series rounds off the kink at the start


@lru_cache(maxsize=4)
def allen_cahn_table(
    diffusivity: float, modes: int = _MODES, times: int = _TIMES, steps: int = _STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine coefficients of the solution and its tendency at equidistant times: (times + 1, modes / 2)."""
    grid = PeriodicGrid(modes, 2.0)

    def nonlinear(fields: Fields) -> np.ndarray:
        return grid.transform(5.0 * (fields.u - fields.u**3))

    equation = SpectralEquation(
        grid, lambda g: diffusivity * g.derivative_symbol(2).values.real, nonlinear, "Allen–Cahn"
    )
    stepper = ETDRK4(equation, 1.0 / (times * steps))
    states = trajectory(stepper, _start(grid), times * steps, every=steps)
    return _cosines(states), _cosines(np.stack([equation.tendency(u) for u in states]))


def _start(grid: PeriodicGrid) -> np.ndarray:
    """``x² cos(πx)`` from its exact Fourier coefficients: samples of its kink would alias into all."""
    k = np.arange(grid.spectral_shape[0])

    def integral(m: np.ndarray) -> np.ndarray:
        """Of ``x² cos(mπx)`` over [-1, 1]."""
        safe = np.where(m == 0, 1, m)
        return np.where(m == 0, 2 / 3, 4.0 * (-1.0) ** m / (safe * math.pi) ** 2)

    coefficients = (integral(k - 1) + integral(k + 1)) / 2
    # The first node is -1, so every other cosine changes its sign.
    return grid.inverse((grid.shape[0] / 2 * (-1.0) ** k * coefficients).astype(complex))


def _cosines(values: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    coefficients = np.fft.rfft(values, axis=-1).real[..., : n // 2] * (2.0 / n)
    coefficients[..., 0] *= 0.5
    return coefficients
