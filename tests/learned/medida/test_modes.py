"""Coordinates of fields: orthonormal, invertible, white noise stays white; what stands out of noise."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.learned.medida.modes import FourierModes, StateModes, resolved_cutoff
from sciml.problems import PeriodicGrid, random_phases


@pytest.mark.parametrize("shape", [(16,), (17,), (8, 10), (9, 8)], ids=str)
def test_coordinates_are_an_isometry(shape, rng):
    grid = PeriodicGrid(shape, 2 * np.pi)
    modes = FourierModes(grid, 2.9)
    c = rng.standard_normal((3, modes.size))
    u = modes.field(c)
    np.testing.assert_allclose(modes.coordinates(u), c, atol=1e-12)
    axes = tuple(range(1, u.ndim))
    np.testing.assert_allclose(np.sum(u**2, axis=axes), np.sum(c**2, axis=1))
    inside = sum(
        np.hypot(i, j) <= 2.9 for i in range(-3, 4) for j in (range(-3, 4) if len(shape) > 1 else [0])
    )
    assert modes.size == inside


def test_white_noise_keeps_its_standard_deviation(rng):
    modes = FourierModes(PeriodicGrid((16, 16), 1.0), 30.0)
    c = modes.coordinates(0.3 * rng.standard_normal((2000, 16, 16)))
    np.testing.assert_allclose(c.std(axis=0), 0.3, rtol=0.08)
    correlation = np.corrcoef(c.T) - np.eye(modes.size)
    assert np.abs(correlation).max() < 0.12


def test_coordinates_do_not_depend_on_the_grid(rng):
    fine, coarse = PeriodicGrid(64, 10.0), PeriodicGrid(24, 10.0)
    modes = FourierModes(fine, 3.0)
    c = rng.standard_normal(modes.size)
    small = modes.on(coarse)
    np.testing.assert_allclose(small.field(c), fine.resample(modes.field(c), coarse), atol=1e-12)
    np.testing.assert_allclose(small.coordinates(small.field(c)), c, atol=1e-12)


def test_state_modes_are_the_entries(rng):
    modes = StateModes((3, 2))
    u = rng.standard_normal((4, 3, 2))
    np.testing.assert_array_equal(modes.field(modes.coordinates(u)), u)


def test_cutoff_is_where_the_signal_ends(rng):
    grid = PeriodicGrid(128, 2 * np.pi)
    u = random_phases(grid, rng, rms=1.0, cutoff=9.0, batch=(20,))
    noisy = u + 0.05 * rng.standard_normal(u.shape)
    assert resolved_cutoff(grid, noisy, 0.05) == pytest.approx(9.0, abs=0.01)
    assert resolved_cutoff(grid, rng.standard_normal(u.shape), 1.0) == pytest.approx(2.0, abs=0.01)
