"""Body forces on a MAC grid."""

from __future__ import annotations

import numpy as np

from .mac import MacGrid, Velocity

__all__ = ["add_buoyancy", "add_confinement"]

SMALLEST_SLOPE = 1e-3
"""Slopes of the vorticity below this share of its largest value per cell make less than full confinement."""


def add_buoyancy(velocity: Velocity, smoke: np.ndarray, strength: float) -> None:
    """Push the upward component by `strength` times the smoke at its faces, in place."""
    w = velocity[-1]
    w[..., 1:-1] += 0.5 * strength * (smoke[..., 1:] + smoke[..., :-1])
    w[..., -1] += strength * smoke[..., -1]


def add_confinement(grid: MacGrid, velocity: Velocity, strength: float) -> None:
    r"""Add `strength` times :math:`h\,N\times\omega`, `N` the direction of :math:`\nabla|\omega|`, in place.

    Vorticity confinement (Steinhoff and Underhill, Phys. Fluids 6 (1994) 2738–2744): a force that winds up
    eddies which interpolation would smear. It vanishes with the grid size `h`.
    """
    u, h = grid.at_centres(velocity), grid.spacing
    if grid.ndim == 2:
        omega = [_slope(u[1], 0, h) - _slope(u[0], 1, h)]
        size = np.abs(omega[0])
    else:
        omega = [
            _slope(u[(a + 2) % 3], (a + 1) % 3, h) - _slope(u[(a + 1) % 3], (a + 2) % 3, h) for a in range(3)
        ]
        size = np.sqrt(omega[0] ** 2 + omega[1] ** 2 + omega[2] ** 2)
    N = [_slope(size, axis, h) for axis in range(grid.ndim)]
    length = np.sqrt(sum(n**2 for n in N))
    # Where |ω| hardly varies, its gradient has no direction but that of rounding.
    floor = SMALLEST_SLOPE * size.max() / min(h) + np.finfo(float).tiny
    factor = strength * min(h) / np.maximum(length, floor)
    if grid.ndim == 2:
        force = [N[1] * omega[0], -N[0] * omega[0]]
    else:
        force = [N[(a + 1) % 3] * omega[(a + 2) % 3] - N[(a + 2) % 3] * omega[(a + 1) % 3] for a in range(3)]
    for axis, component in enumerate(velocity):
        inner = component[(slice(None),) * axis + (slice(1, -1),)]
        push = factor * force[axis]
        inner += 0.5 * (np.delete(push, 0, axis=axis) + np.delete(push, -1, axis=axis))


def _slope(values: np.ndarray, axis: int, spacing: tuple[float, ...]) -> np.ndarray:
    if values.shape[axis] == 1:
        return np.zeros_like(values)
    return np.gradient(values, spacing[axis], axis=axis)
