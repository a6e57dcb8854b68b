"""Receive coils around the head and the smooth phase of an image, for simulated scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CoilArray", "smooth_phase"]


@dataclass(frozen=True)
class CoilArray:
    """Loop coils on a ring around the field of view (a birdcage), known at every point in the plane.

    The sensitivity of a coil at `(u, v)`, in units of half the field of view, falls with the distance `d`
    from its position, and its phase turns with the direction: ``exp(i (atan2(dx, −dy) − θ)) / d``, times a
    low-order complex polynomial. Maps are divided by their root sum of squares.

    Attributes
    ----------
    positions : ndarray, shape ``(C, 2)``
        ``(u, v)``, right and down.
    polynomials : ndarray of complex, shape ``(C, 3)``
        Coefficients of `u`, `v` and `uv`.

    Notes
    -----
    Source: the birdcage maps of SigPy, with random geometry.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.mri import CoilArray
    >>> maps = CoilArray.birdcage(8).maps((32, 32))
    >>> maps.shape, maps.dtype.name, bool(np.allclose((abs(maps) ** 2).sum(0), 1.0))
    ((8, 32, 32), 'complex64', True)
    """

    positions: np.ndarray
    polynomials: np.ndarray

    @classmethod
    def birdcage(cls, coils: int = 8, *, radius: float = 1.5, rotation: float = 0.0) -> CoilArray:
        """Evenly spaced coils on a ring of `radius`, in units of half the field of view."""
        if not isinstance(coils, int | np.integer) or coils < 1:
            raise ValueError(f"coils is {coils!r}; expected a positive number")
        angles = rotation + 2 * math.pi * np.arange(coils) / coils
        positions = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return cls(positions, np.zeros((coils, 3), dtype=complex))

    @classmethod
    def random(
        cls, coils: int = 8, *, seed: Any = 0, jitter: float = 0.05, polynomial: float = 0.1
    ) -> CoilArray:
        """A ring of random radius (1.2 to 1.8) and rotation, with jittered coils that are not all alike.

        Parameters
        ----------
        coils : int
        seed : int or numpy.random.Generator
        jitter : float
            Standard deviation of the relative error of angles and radii.
        polynomial : float
            Standard deviation of the coefficients of the polynomials.
        """
        rng = np.random.default_rng(seed)
        ring = cls.birdcage(coils, radius=rng.uniform(1.2, 1.8), rotation=rng.uniform(0, 2 * math.pi))
        turn = 2 * math.pi / coils * jitter * rng.standard_normal(coils)
        z = (ring.positions[:, 0] + 1j * ring.positions[:, 1]) * np.exp(1j * turn)
        z = z * (1.0 + jitter * np.clip(rng.standard_normal(coils), -2, 2))
        noise = rng.standard_normal((2, coils, 3))
        return cls(np.stack([z.real, z.imag], axis=1), polynomial * (noise[0] + 1j * noise[1]))

    def maps(self, shape: Sequence[int]) -> np.ndarray:
        """Sensitivities on a grid whose entry ``n // 2`` is the middle of the field of view.

        Returns
        -------
        ndarray of complex64, shape ``(C, H, W)``, with a root sum of squares of one
        """
        v, u = (
            _axis(n)[view] for n, view in zip(shape, ((slice(None), None), (None, slice(None))), strict=True)
        )
        angles = np.arctan2(self.positions[:, 1], self.positions[:, 0])
        out = np.empty((len(self.positions), *shape), dtype=np.complex64)
        for c, (x, y) in enumerate(self.positions.astype(np.float32)):
            dx, dy = u - x, v - y
            a, b, ab = (np.exp(-1j * angles[c]) * self.polynomials[c]).astype(np.complex64)
            polynomial = np.complex64(np.exp(-1j * angles[c])) + a * u + (b + ab * u) * v
            direction = np.empty(tuple(shape), dtype=np.complex64)
            direction.real, direction.imag = -dy, dx
            direction *= 1 / (dx * dx + dy * dy)
            np.multiply(direction, polynomial, out=out[c])
        total = sum(part.real**2 + part.imag**2 for part in out)
        out *= 1 / np.sqrt(total)
        return out


def smooth_phase(
    shape: Sequence[int], *, seed: Any = 0, amplitude: float = 1.5, order: int = 3
) -> np.ndarray:
    r"""A random smooth phase: low-order cosines of amplitude :math:`N(0, 1)/(i + j)`, and a constant.

    Parameters
    ----------
    shape : (int, int)
    seed : int or numpy.random.Generator
    amplitude : float
        Largest deviation from the mean.
    order : int
        Highest half-waves per axis.

    Returns
    -------
    ndarray of float32
        In radians.
    """
    rng = np.random.default_rng(seed)
    i, j = np.meshgrid(np.arange(order + 1), np.arange(order + 1), indexing="ij")
    weights = np.where(i + j > 0, 1.0 / np.maximum(i + j, 1), 0.0) * rng.standard_normal((order + 1,) * 2)
    rows, columns = (
        np.cos(math.pi * np.arange(order + 1)[:, None] * (_axis(n)[None, :] + 1) / 2) for n in shape
    )
    phase = rows.T @ weights @ columns
    phase *= amplitude / max(np.abs(phase).max(), 1e-12)
    return (phase + rng.uniform(-math.pi, math.pi)).astype(np.float32)


def _axis(n: int) -> np.ndarray:
    return ((np.arange(n) - n // 2) / (n / 2)).astype(np.float32)
