"""The mathematics inside the policies, against known answers and independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.tuning import (
    ChebCB,
    TsallisINF,
    bounded_least_squares,
    chebyshev_features,
    jacobi_radius,
    observed_rate,
    sor_rate,
    tsallis_weights,
    young_omega,
)
from sciml.tuning.regression import BayesianRegression, cosines, spectral_variances

floats = st.floats(-1e6, 1e6)


# -- Tsallis ----------------------------------------------------------------------------------
@given(st.lists(floats, min_size=1, max_size=40), st.floats(1e-4, 10.0))
@settings(deadline=None)
def test_tsallis_weights_are_the_minimiser(losses, eta):
    """They lie on the simplex and satisfy the optimality condition k_i − 2/(η √p_i) = x for all i."""
    k = np.array(losses)
    p = tsallis_weights(k, eta)
    assert np.all(p > 0)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    multipliers = k - 2.0 / (eta * np.sqrt(p))
    np.testing.assert_allclose(multipliers, multipliers[0], rtol=1e-6, atol=1e-6 * (1.0 + np.abs(k).max()))


def test_tsallis_weights_against_a_root_finder():
    k, eta = np.array([0.3, 1.0, 7.0, 2.5]), 0.2
    x = scipy.optimize.brentq(lambda x: np.sum(4 / (eta * (k - x)) ** 2) - 1, -100, k.min() - 1e-6)
    np.testing.assert_allclose(tsallis_weights(k, eta), 4 / (eta * (k - x)) ** 2, rtol=1e-9)


@pytest.mark.parametrize("estimator", ["reduced-variance", "importance-weighted"])
def test_loss_estimates_are_unbiased(estimator):
    """Over many independent second rounds the mean estimate is the true loss of every arm."""
    truth = np.array([3.0, 5.0, 9.0])
    sums = np.zeros(3)
    trials = 6000
    for seed in range(trials):
        policy = TsallisINF([0, 1, 2], estimator=estimator, seed=seed)
        for _ in range(2):
            before = policy.losses.copy()
            policy.observe(truth[policy.propose()])
        sums += policy.losses - before
    np.testing.assert_allclose(sums / trials, truth, rtol=0.06)


def test_reduced_variance_reduces_variance():
    spread = {}
    for estimator in ("reduced-variance", "importance-weighted"):
        estimates = []
        for seed in range(200):
            policy = TsallisINF([0, 1, 2], estimator=estimator, seed=seed)
            for _ in range(20):
                policy.observe(10.0 + policy.propose())
            estimates.append(policy.losses)
        spread[estimator] = np.std(estimates)
    assert spread["reduced-variance"] < 0.5 * spread["importance-weighted"]


# -- ChebCB -----------------------------------------------------------------------------------
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.floats(0.05, 3.0))
@settings(deadline=None, max_examples=60)
def test_bounded_least_squares_against_scipy(seed, m, bound):
    rng = np.random.default_rng(seed)
    R, z = np.triu(rng.standard_normal((m, m))), rng.standard_normal(m)
    bounds = bound * rng.uniform(0.2, 1.0, m)
    theta = bounded_least_squares(R, z, bounds)
    assert np.all(np.abs(theta) <= bounds * (1 + 1e-12))
    reference = scipy.optimize.lsq_linear(R, z, (-bounds, bounds), method="bvls", tol=1e-14).x
    assert np.sum((R @ theta - z) ** 2) <= np.sum((R @ reference - z) ** 2) * (1 + 1e-8) + 1e-12


def test_bounded_least_squares_of_few_rounds():
    """A singular factor, as after one round: the constraint still holds and the fit is exact."""
    R = np.zeros((3, 3))
    R[0] = [1.0, 0.5, -0.5]
    theta = bounded_least_squares(R, np.array([1.6, 0.0, 0.0]), np.array([1.0, 1.0, 1.0]))
    assert np.all(np.abs(theta) <= 1.0)
    assert R[0] @ theta == pytest.approx(1.6)


def test_chebyshev_features_are_the_polynomials():
    x = 0.37
    expected = [np.polynomial.Chebyshev.basis(j)(x) for j in range(6)]
    np.testing.assert_allclose(chebyshev_features(x, (-1.0, 1.0), 5), expected, atol=1e-12)


def test_incremental_chebcb_equals_a_fit_from_scratch():
    """The updated triangular factor gives what bounded least squares over all rounds of an arm gives."""
    policy = ChebCB([1.0, 1.5], context_range=(0, 1), degree=3, floor=1.0, seed=0)
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(300):
        c = rng.random()
        arm = policy.propose(c)
        cost = 20 + 30 * (arm - 1.2 - 0.5 * c) ** 2 + rng.uniform()
        policy.observe(cost)
        rounds.append((arm, c, cost))
    largest = max(cost for _, _, cost in rounds) - 1.0
    bounds = largest * np.array([1.0, 2.0, 2.0, 2.0])
    for i, arm in enumerate(policy.arms):
        mine = [(c, cost) for a, c, cost in rounds if a == arm]
        F = np.array([chebyshev_features(c, (0, 1), 3) for c, _ in mine])
        y = np.array([cost - 1.0 for _, cost in mine])
        theta = scipy.optimize.lsq_linear(F, y, (-bounds, bounds), method="bvls").x
        for c in (0.1, 0.5, 0.9):
            expected = 1.0 + theta @ chebyshev_features(c, (0, 1), 3)
            assert policy.predict(c)[i] == pytest.approx(expected, rel=1e-6)


def test_chebcb_respects_its_bounds():
    """A single round far from the mean would be fitted exactly; the bounds keep the coefficients small."""
    policy = ChebCB([1.0], context_range=(0, 1), degree=5, seed=0)
    rng = np.random.default_rng(1)
    for _ in range(8):
        policy.propose(rng.uniform(0.49, 0.51))
        policy.observe(rng.uniform(1.0, 100.0))
    assert abs(policy._coefficients[0, 0]) <= policy._largest * (1 + 1e-12)
    assert np.all(np.abs(policy._coefficients[0, 1:]) <= 2 * policy._largest * (1 + 1e-12))


# -- Young ------------------------------------------------------------------------------------
def sor_matrix(A: np.ndarray, omega: float) -> np.ndarray:
    W = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    return np.eye(len(A)) - A @ np.linalg.inv(W)


@pytest.mark.parametrize("omega", [0.8, 1.0, 1.3, 1.5, 1.56, 1.7, 1.9])
def test_sor_rate_is_the_spectral_radius(omega):
    line = 2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)
    A = np.kron(line, np.eye(6)) + np.kron(np.eye(6), line)
    radius = np.abs(np.linalg.eigvals(sor_matrix(A, omega))).max()
    assert float(sor_rate(omega, math.cos(math.pi / 7))) == pytest.approx(radius, rel=1e-6)


@given(st.floats(0.05, 0.999))
def test_young_omega_minimises_the_rate(beta):
    best = young_omega(beta)
    others = np.linspace(0.01, 1.99, 400)
    assert float(sor_rate(best, beta)) <= sor_rate(others, beta).min() + 1e-7
    assert best - 1.0 == pytest.approx(float(sor_rate(best, beta)), abs=1e-6)


@given(st.floats(0.3, 0.999), st.floats(0.0, 0.95))
def test_jacobi_radius_inverts_the_rate(beta, fraction):
    omega = 1.0 + fraction * (young_omega(beta) - 1.0)
    found, determined = jacobi_radius(omega, float(sor_rate(omega, beta)))
    if determined:
        assert found == pytest.approx(beta, rel=1e-9)
    assert fraction > 0.5 or determined


@given(st.floats(0.3, 0.99), st.floats(0.05, 0.9))
def test_jacobi_radius_above_the_optimum_is_a_bound(beta, fraction):
    best = young_omega(beta)
    omega = best + fraction * (2.0 - best)
    bound, determined = jacobi_radius(omega, float(sor_rate(omega, beta)))
    assert not determined
    assert bound >= beta - 1e-9


def test_observed_rate():
    assert observed_rate([0.5**k for k in range(20)]) == pytest.approx(0.5)
    assert observed_rate([1.0, 0.5, 0.25]) is None
    assert observed_rate([1.0, 2.0, 4.0, 8.0, 16.0]) is None
    assert observed_rate([1.0, 0.5, 0.2, math.nan, math.nan]) is None
    assert observed_rate([1.0, 0.5, 0.2, 0.1, 0.0]) is None
    transient = [10.0 * 0.1**k + 0.8**k for k in range(40)]
    assert observed_rate(transient) == pytest.approx(0.8, rel=1e-6)


# -- Bayesian regression ----------------------------------------------------------------------
def test_regression_is_the_posterior_of_its_prior():
    rng = np.random.default_rng(0)
    variances, center = np.array([2.0, 0.5, 1.0]), np.array([1.0, 0.0, -1.0])
    F, y = rng.standard_normal((9, 3)), rng.standard_normal(9)
    model = BayesianRegression(variances, 0.3, center)
    for features, target in zip(F, y, strict=True):
        model.add(features, target)
    model.refresh()
    covariance = np.linalg.inv(F.T @ F / 0.3 + np.diag(1 / variances))
    mean = covariance @ (F.T @ y / 0.3 + center / variances)
    np.testing.assert_allclose(model.mean, mean, rtol=1e-10)
    probe = np.array([1.0, 2.0, 3.0])
    assert model.deviation(probe) == pytest.approx(math.sqrt(probe @ covariance @ probe))
    samples = np.array([model.sample(rng, 1.0) for _ in range(20000)])
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.02)


def test_evidence_prefers_the_right_features():
    rng = np.random.default_rng(1)
    x = rng.random(200)
    y = np.cos(3 * math.pi * x) + 0.1 * rng.standard_normal(200)
    smooth = BayesianRegression(spectral_variances(12, 0.2), 0.02).fit(cosines(x, 12), y)
    constant = BayesianRegression(np.array([1.0]), 0.02).fit(np.ones((200, 1)), y)
    assert smooth > constant + 50


def test_refit_equals_updates():
    rng = np.random.default_rng(2)
    F, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    whole, updated = (BayesianRegression(np.ones(4), 0.1) for _ in range(2))
    whole.fit(F, y)
    updated.noise = whole.noise
    for features, target in zip(F, y, strict=True):
        updated.add(features, target)
    updated.refresh()
    np.testing.assert_allclose(updated.mean, whole.mean, rtol=1e-9)


def test_spectral_variances_approximate_the_squared_exponential():
    """Without the extra constant, the covariance in the interior is that of the kernel."""
    u = np.linspace(0, 1, 5)
    F, variances = cosines(u, 40), spectral_variances(40, 0.1)
    variances[0] *= 0.5
    K = F @ np.diag(variances) @ F.T
    assert K[1, 1] == pytest.approx(K[2, 2], rel=0.02)
    assert K[2, 3] / K[2, 2] == pytest.approx(math.exp(-0.5 * (0.25 / 0.1) ** 2), abs=0.01)
