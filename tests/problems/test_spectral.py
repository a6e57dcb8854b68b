"""Periodic grids: derivatives, resampling, multipliers, fields without symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import cg
from sciml.backends.namespace import to_numpy
from sciml.problems import Fields, FourierMultiplier, PeriodicGrid, random_phases
from sciml.testing import check_linear_operator


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("n", [32, 33], ids=["even", "odd"])
def test_spectral_derivatives_of_sines_are_exact(order, n):
    grid = PeriodicGrid(n, 2 * np.pi)
    (x,) = grid.coordinates()
    expected = 3.0**order * np.sin(3 * x + order * np.pi / 2)
    np.testing.assert_allclose(grid.derivative(np.sin(3 * x), order), expected, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_finite_differences_are_of_second_order(order):
    errors = []
    for n in (64, 128):
        grid = PeriodicGrid(n, 2 * np.pi)
        (x,) = grid.coordinates()
        exact = 2.0**order * np.sin(2 * x + order * np.pi / 2)
        errors.append(np.abs(grid.derivative(np.sin(2 * x), order, scheme="fd2") - exact).max())
    assert 3.8 < errors[0] / errors[1] < 4.2


def test_derivatives_along_both_axes_of_a_plane():
    grid = PeriodicGrid((16, 24), (2 * np.pi, np.pi))
    x, y = grid.coordinates()
    u = np.sin(2 * x) * np.cos(4 * y)
    np.testing.assert_allclose(grid.derivative(u, 1, 0), 2 * np.cos(2 * x) * np.cos(4 * y), atol=1e-11)
    np.testing.assert_allclose(grid.derivative(u, 2, 1), -16 * u, atol=1e-10)


def test_derivatives_run_in_every_library(namespace):
    grid = PeriodicGrid(16, 2 * np.pi)
    u = namespace.array(np.sin(grid.coordinates()[0]))
    derivative = grid.derivative(u, 1)
    assert type(derivative) is type(u)
    np.testing.assert_allclose(to_numpy(derivative), np.cos(grid.coordinates()[0]), atol=1e-5)


def test_single_precision_stays():
    grid = PeriodicGrid(16, 2 * np.pi)
    assert grid.derivative(np.ones(16, dtype=np.float32), 2).dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 24), st.integers(4, 24), st.integers(0, 10**6))
def test_resampling_keeps_what_both_grids_hold(n, m, seed):
    fine, coarse = PeriodicGrid(n, 1.0), PeriodicGrid(m, 1.0)
    modes = (min(n, m) - 1) // 2
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, modes + 1))

    def sample(grid):
        (x,) = grid.coordinates()
        j = np.arange(modes + 1)[:, None]
        return (a[:, None] * np.cos(2 * np.pi * j * x) + b[:, None] * np.sin(2 * np.pi * j * x)).sum(axis=0)

    np.testing.assert_allclose(fine.resample(sample(fine), coarse), sample(coarse), atol=1e-10)


def test_resampling_a_plane_there_and_back(rng):
    small, large = PeriodicGrid((8, 6), 1.0), PeriodicGrid((16, 18), 1.0)
    u = small.lowpass(rng.standard_normal((3, 8, 6)), 2 * np.pi * 2.4)
    np.testing.assert_allclose(large.resample(small.resample(u, large), small), u, atol=1e-12)


@pytest.mark.parametrize("shape", [(16,), (8, 6)], ids=["1d", "2d"])
def test_multipliers_are_operators(shape):
    grid = PeriodicGrid(shape, 2 * np.pi)
    heat = FourierMultiplier(grid, 1.0 + 0.1 * grid.magnitude() ** 2)
    assert check_linear_operator(heat) == []
    assert "positive_definite" in heat.properties
    wave = FourierMultiplier(grid, 1.0 + grid.derivative_symbol(1).values)
    assert check_linear_operator(wave) == []
    assert "symmetric" not in wave.properties
    assert check_linear_operator(heat.inverse()) == []


def test_multipliers_go_to_solvers(rng):
    grid = PeriodicGrid(32, 2 * np.pi)
    A = FourierMultiplier(grid, 1.0 + grid.magnitude() ** 2)
    b = rng.standard_normal(32)
    np.testing.assert_allclose(cg(A, b, rtol=1e-12).x, A.inverse() @ b, atol=1e-10)


def test_singular_multiplier_has_no_inverse():
    grid = PeriodicGrid(8, 1.0)
    with pytest.raises(ValueError, match="singular"):
        FourierMultiplier(grid, grid.magnitude()).inverse()


def test_random_fields_have_no_antisymmetry(rng):
    """The field of the published study satisfies u(L/2 + s) = -u(L/2 - s) for ever; these must not."""
    grid = PeriodicGrid(64, 100.0)
    u = random_phases(grid, rng, rms=2.0, cutoff=1.0, batch=(5,))
    np.testing.assert_allclose(np.sqrt(np.mean(u**2, axis=1)), 2.0)
    for shift in range(64):
        mirrored = np.roll(u[:, ::-1], shift, axis=1)
        assert np.sqrt(np.mean((u + mirrored) ** 2, axis=1)).min() > 0.5


def test_fields_compute_each_derivative_once(rng):
    fields = Fields(rng.standard_normal(16), PeriodicGrid(16, 1.0))
    assert fields.d(2) is fields.d(2)
    assert fields.d(0) is fields.u
    with pytest.raises(ValueError, match="no grid"):
        Fields(np.ones(3)).d(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(((2,), 1.0), "at least 4"), (((8,), -1.0), "positive"), (((8, 8), (1.0, 2.0, 3.0)), "one per axis")],
)
def test_bad_grids(arguments, message):
    with pytest.raises(ValueError, match=message):
        PeriodicGrid(*arguments)


def test_unknown_scheme():
    with pytest.raises(ValueError, match="scheme is 'upwind'"):
        PeriodicGrid(8, 1.0).derivative(np.ones(8), 1, scheme="upwind")
