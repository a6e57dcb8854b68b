"""Coordinates of a state: Fourier modes up to a cutoff as real orthonormal numbers, or the state itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...problems.spectral import PeriodicGrid

__all__ = ["FourierModes", "StateModes", "resolved_cutoff"]


class FourierModes:
    """Real orthonormal coordinates of the modes ``|k| <= cutoff``.

    White noise of standard deviation σ per node has the standard deviation σ in every coordinate, and
    coordinates are independent: the right rows for a regression, which filtered node values are not.

    Parameters
    ----------
    grid : PeriodicGrid
    cutoff : float
        Largest wavenumber. Nyquist modes are never among the modes.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida.modes import FourierModes
    >>> from sciml.problems import PeriodicGrid
    >>> modes = FourierModes(PeriodicGrid(16, 2 * np.pi), 3.0)
    >>> u = np.sin(2 * np.arange(16) * np.pi / 8)
    >>> modes.size, bool(np.allclose(modes.field(modes.coordinates(u)), u))
    (7, True)
    """

    def __init__(self, grid: PeriodicGrid, cutoff: float):
        self.grid, self.cutoff = grid, cutoff
        k = grid.magnitude()
        keep = k <= cutoff
        for axis, waves in enumerate(grid.wavenumbers):
            if grid.shape[axis] % 2 == 0:
                keep = keep & (np.abs(waves) < np.abs(waves).max() * (1 - 1e-12))
        index = [tuple(int(i) for i in row) for row in np.argwhere(keep)]
        chosen, partners = [], []
        for place in index:
            mirror = tuple((-i) % n for i, n in zip(place[:-1], grid.shape[:-1], strict=True))
            if place[-1] == 0 and place[:-1] > mirror:
                continue  # its mirror image in the plane of zero last wavenumber is kept
            chosen.append(place)
            on_plane = place[-1] == 0 and mirror != place[:-1]
            partners.append((*mirror, 0) if on_plane else None)
        self._at: Any = tuple(np.array(axis) for axis in zip(*chosen, strict=True))
        self._mirrored = [(row, partner) for row, partner in enumerate(partners) if partner is not None]
        waves = k[self._at]
        self._mean = waves == 0.0
        self._norm = math.sqrt(math.prod(grid.shape))
        self.wavenumbers = np.concatenate([waves, waves[~self._mean]])
        """Of every coordinate: real parts first, then imaginary parts."""

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.wavenumbers)

    def coordinates(self, u: np.ndarray) -> np.ndarray:
        """Coordinates ``(..., size)`` of fields ``(..., *grid.shape)``."""
        hat = self.grid.transform(u)[(..., *self._at)] / self._norm
        hat = hat * np.where(self._mean, 1.0, math.sqrt(2.0))
        return np.concatenate([hat.real, hat.imag[..., ~self._mean]], axis=-1)

    def field(self, c: np.ndarray) -> np.ndarray:
        """Fields ``(..., *grid.shape)`` of coordinates ``(..., size)``."""
        m = len(self._mean)
        values = c[..., :m].astype(complex)
        values[..., ~self._mean] += 1j * c[..., m:]
        values *= np.where(self._mean, self._norm, self._norm / math.sqrt(2.0))
        hat: Any = np.zeros((*c.shape[:-1], *self.grid.spectral_shape), dtype=complex)
        hat[(..., *self._at)] = values
        for row, partner in self._mirrored:
            hat[(..., *partner)] = values[..., row].conj()
        return self.grid.inverse(hat)

    def on(self, grid: PeriodicGrid) -> FourierModes:
        """The same modes on another grid of the box, with coordinates of the same size."""
        other = FourierModes(grid, self.cutoff)
        other._norm = math.sqrt(math.prod(self.grid.shape)) * (
            math.prod(grid.shape) / math.prod(self.grid.shape)
        )
        return other


class StateModes:
    """The coordinates of a state without a grid: its own entries."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.size = shape, math.prod(shape)
        self.grid = None

    def coordinates(self, u: np.ndarray) -> np.ndarray:
        """States as flat vectors."""
        return u.reshape(*u.shape[: u.ndim - len(self.shape)], self.size)

    def field(self, c: np.ndarray) -> np.ndarray:
        """Flat vectors as states."""
        return c.reshape(*c.shape[:-1], *self.shape)


def resolved_cutoff(
    grid: PeriodicGrid, fields: np.ndarray, noise_std: float, signal_to_noise: float = 1.0
) -> float:
    """The largest wavenumber up to which the mean spectrum of `fields` stands out of white noise.

    Parameters
    ----------
    grid : PeriodicGrid
    fields : ndarray, shape (n, *grid.shape)
        Noisy observations.
    noise_std : float
        Per node.
    signal_to_noise : float
        Smallest ratio of signal to noise power of a mode that counts.
    """
    power = np.mean(np.abs(grid.transform(fields)) ** 2, axis=0) / math.prod(grid.shape)
    k = grid.magnitude()
    step = 2.0 * math.pi / min(grid.lengths)
    shells = np.round(k / step).astype(int)
    limit = min(np.abs(w).max() for w in grid.wavenumbers)
    inside = (k < limit * (1 - 1e-12)) & (k > 0)
    mean = np.bincount(shells[inside], power[inside]) / np.maximum(np.bincount(shells[inside]), 1)
    count = np.bincount(shells[inside]) * len(fields)
    # A shell's mean power scatters around σ² by σ² / sqrt(count): only what stands out of that is signal.
    scatter = 3.0 / np.sqrt(np.maximum(count, 1))
    present = mean[1:] > noise_std**2 * (1.0 + np.maximum(signal_to_noise, scatter[1:]))
    gap = np.flatnonzero(~present)
    last = len(present) if len(gap) == 0 else int(gap[0])
    return min(max(last, 2) * step * (1 + 1e-9), limit)
