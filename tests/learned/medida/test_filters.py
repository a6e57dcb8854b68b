"""Ensemble filters: the Kalman answer, tapers, cycles on chaotic models, no way for the truth to enter."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from sciml.learned.medida import ETKF, LETKF, EnKF, Snapshots, assimilate, discover, gaspari_cohn
from sciml.problems import (
    CNAB2,
    ETDRK4,
    KS_CASES,
    RK4,
    BlowUpError,
    PeriodicGrid,
    forecast,
    kuramoto_sivashinsky,
    lorenz63,
    random_phases,
    trajectory,
)


def kalman(ensemble, y, std):
    """Mean and covariance of the Kalman analysis for the sample covariance of the ensemble."""
    mean, B = ensemble.mean(axis=0), np.cov(ensemble.T)
    K = B @ np.linalg.inv(B + std**2 * np.eye(len(y)))
    return mean + K @ (y - mean), (np.eye(len(y)) - K) @ B


def test_etkf_is_the_kalman_filter(rng):
    ensemble, y = rng.standard_normal((8, 5)), rng.standard_normal(5)
    mean, covariance = kalman(ensemble, y, 0.7)
    analysis = ETKF().analyse(ensemble, y, 0.7, rng)
    np.testing.assert_allclose(analysis.mean(axis=0), mean, atol=1e-12)
    np.testing.assert_allclose(np.cov(analysis.T), covariance, atol=1e-12)


def test_stochastic_filter_is_the_kalman_filter_in_the_mean(rng):
    ensemble, y = rng.standard_normal((4000, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]]), np.array([1.0, -1.0])
    mean, covariance = kalman(ensemble, y, 0.5)
    analysis = EnKF().analyse(ensemble, y, 0.5, rng)
    np.testing.assert_allclose(analysis.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(analysis.T), covariance, atol=0.03)


def test_local_filter_without_localisation_is_the_global_one(rng):
    grid = PeriodicGrid(12, 12.0)
    ensemble, y = rng.standard_normal((5, 12)), rng.standard_normal(12)
    local = LETKF(grid, half_width=1e9).analyse(ensemble, y, 0.7, rng)
    np.testing.assert_allclose(local, ETKF().analyse(ensemble, y, 0.7, rng), atol=1e-6)


def test_observations_beyond_the_taper_have_no_weight(rng):
    grid = PeriodicGrid(32, 32.0)
    ensemble, y = rng.standard_normal((5, 32)), rng.standard_normal(32)
    changed = y.copy()
    changed[20] += 100.0
    one, other = (LETKF(grid, half_width=2.0).analyse(ensemble, v, 0.7, rng) for v in (y, changed))
    moved = np.abs(one - other).max(axis=0) > 1e-9
    assert moved[20]
    assert np.flatnonzero(moved).min() >= 17
    assert np.flatnonzero(moved).max() <= 23


def test_inflation_scales_the_anomalies(rng):
    ensemble, y = rng.standard_normal((6, 3)), rng.standard_normal(3)
    for kind in (EnKF, ETKF):
        plain, inflated = (kind(i).analyse(ensemble, y, 1.0, np.random.default_rng(0)) for i in (1.0, 1.5))
        np.testing.assert_allclose(inflated.mean(axis=0), plain.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(inflated.std(axis=0), 1.5 * plain.std(axis=0))


def test_taper_is_a_correlation_function():
    r = np.linspace(0, 3, 301)
    c = gaspari_cohn(r, 1.0)
    assert c[0] == 1.0
    assert np.all(c[r >= 2.0] == 0.0)
    assert np.all(np.diff(c) <= 1e-15)
    x = np.arange(40) / 4.0
    matrix = gaspari_cohn(x[:, None] - x[None, :], 1.0)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-10


def test_cycled_local_filter_beats_the_observations():
    """Four members on 128 nodes; published 0.18 for long runs. A short run, so a wide margin."""
    rng = np.random.default_rng(4)
    equation = kuramoto_sivashinsky(128, 32 * np.pi)
    model = ETDRK4(equation, 0.5)
    start = forecast(model, random_phases(equation.grid, rng), 300)
    truth = trajectory(model, start, 400, 2)[1:]
    observations = truth + rng.standard_normal(truth.shape)
    ensemble = start + 0.03 * rng.standard_normal((4, 128))
    method = LETKF(equation.grid, 15 * equation.grid.spacing[0], 1.11)
    means, spreads = assimilate(model, ensemble, observations, 2, noise_std=1.0, method=method, rng=rng)
    error = np.sqrt(np.mean((means - truth)[50:] ** 2))
    assert 0.12 < error < 0.25
    assert 0.6 < np.sqrt(np.mean(spreads[50:] ** 2)) / error < 1.6


@pytest.mark.parametrize("method", [EnKF(1.05), ETKF(1.05)], ids=["enkf", "etkf"])
def test_lorenz_is_tracked(method):
    rng = np.random.default_rng(0)
    model = lorenz63(0.01)
    start = forecast(model, np.array([1.0, 2.0, 20.0]), 1000)
    truth = trajectory(model, start, 2000, 10)[1:]
    observations = truth + rng.standard_normal(truth.shape)
    means, _ = assimilate(
        model, start + rng.standard_normal((10, 3)), observations, 10, noise_std=1.0, method=method, rng=rng
    )
    assert np.sqrt(np.mean((means - truth)[20:] ** 2)) < 0.6


def test_forecasts_of_changing_length():
    rng = np.random.default_rng(0)
    model = RK4(lambda u: 0.0 * u + 1.0, (1,), 0.5)
    observations = np.array([[0.0], [1.0], [3.0]])
    means, _ = assimilate(
        model, 0.01 * rng.standard_normal((5, 1)), observations, np.array([0, 2, 4]),
        noise_std=0.01, method=ETKF(), rng=rng,
    )  # fmt: skip
    np.testing.assert_allclose(means, observations, atol=0.02)


def test_blow_up_is_caught():
    model = RK4(lambda u: u**3, (2,), 0.5)
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(BlowUpError, match="before observation"):
        assimilate(
            model, np.full((3, 2), 50.0) + np.arange(3)[:, None], np.zeros((4, 2)), 5,
            noise_std=1.0, method=ETKF(), rng=np.random.default_rng(0),
        )  # fmt: skip


# -- the truth must not enter -----------------------------------------------------------------
def test_filters_have_no_argument_for_the_truth():
    for function in (EnKF.analyse, ETKF.analyse, LETKF.analyse, assimilate, discover):
        assert not {"truth", "clean", "reference"} & set(inspect.signature(function).parameters)


def test_perturbed_observations_are_centred_at_the_noisy_one():
    """The published code perturbs the clean truth, so members average the noise away.

    Here they cannot: with a very wide prior the analysis is the observation with its error, however many
    members there are.
    """
    rng = np.random.default_rng(0)
    truth, std = np.zeros(200), 0.5
    y = truth + std * rng.standard_normal(200)
    single = []
    for node in range(200):
        prior = 100.0 * rng.standard_normal((500, 1))
        single.append(EnKF().analyse(prior, y[node : node + 1], std, rng).mean())
    analysis = np.array(single)
    assert np.sqrt(np.mean((analysis - y) ** 2)) < 0.1 * std
    assert np.sqrt(np.mean((analysis - truth) ** 2)) == pytest.approx(std, rel=0.15)


def test_result_depends_on_observations_only(windows, library):
    """Discovery from the same noisy snapshots is the same whatever truth they came from."""
    noisy = windows.with_noise(0.1, np.random.default_rng(0)).subset(slice(0, 10))
    model = CNAB2(KS_CASES["2"].equation(128, 50.0), 5e-3)
    timed = Snapshots(noisy.before, noisy.after, noisy.window, np.arange(10.0) * 1.25)
    one, two = (discover(model, s, library, noise=0.1) for s in (noisy, timed))
    assert one.as_dict() == two.as_dict()


@pytest.mark.parametrize(
    ("ensemble", "observation", "std", "message"),
    [
        (np.ones((1, 3)), np.ones(3), 1.0, "at least two members"),
        (np.ones((4, 3)), np.ones(2), 1.0, "observation has shape"),
        (np.ones((4, 3)), np.ones(3), 0.0, "noise_std is 0.0"),
    ],
)
def test_bad_input(ensemble, observation, std, message):
    for method in (EnKF(), ETKF()):
        with pytest.raises(ValueError, match=message):
            method.analyse(ensemble, observation, std, np.random.default_rng(0))
