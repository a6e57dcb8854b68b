"""Sparse regression: known supports, scikit-learn's ARD as an oracle, evidence, stability, product priors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.learned.medida import RVM, KroneckerSBL, NormalEquations, evidence_path, stability_selection

METHODS = {
    "mackay": lambda e: RVM().fit(e),
    "tipping-faul": lambda e: RVM("tipping-faul").fit(e),
    "evidence": evidence_path,
    "kronecker-am": lambda e: KroneckerSBL([(i, j) for i in range(3) for j in range(4)]).fit(e),
    "kronecker-svd": lambda e: KroneckerSBL([(i, j) for i in range(3) for j in range(4)], update="svd").fit(
        e
    ),
}


def problem(rng, noise=0.05, rows=300):
    X = rng.standard_normal((rows, 12)) @ np.diag(10.0 ** rng.uniform(-3, 3, 12))  # columns of all sizes
    w = np.zeros(12)
    w[[5, 6]] = np.array([1.0, -2.0]) / np.sqrt(np.mean(X**2, axis=0))[[5, 6]]
    return X, X @ w + noise * rng.standard_normal(rows), w


@pytest.mark.parametrize("method", METHODS)
def test_support_and_coefficients(method, rng):
    X, y, w = problem(rng)
    fit = METHODS[method](NormalEquations.of(X, y))
    assert np.flatnonzero(fit.support).tolist() == [5, 6]
    np.testing.assert_allclose(fit.coefficients, w, rtol=0.05)
    assert fit.noise_std == pytest.approx(0.05, rel=0.2)
    assert np.all(fit.term_evidence[[5, 6]] > 20)
    assert np.all(np.delete(fit.term_evidence, [5, 6]) < 3)
    low, high = fit.intervals().T
    assert np.all(low[fit.support] < high[fit.support])


@pytest.mark.parametrize("method", ["mackay", "tipping-faul", "evidence"])
def test_exact_data_give_exact_coefficients(method, rng):
    X, y, w = problem(rng, noise=0.0)
    fit = METHODS[method](NormalEquations.of(X, y))
    np.testing.assert_allclose(fit.coefficients, w, rtol=1e-6)


def test_mackay_agrees_with_scikit_learn(rng):
    """ARDRegression is the same fixed point, with another threshold and weak gamma priors."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    X = rng.standard_normal((200, 8))
    y = X @ [1.0, 0, 0, -0.5, 0, 0, 2.0, 0] + 0.1 * rng.standard_normal(200)
    tiny = 1e-12
    theirs = linear_model.ARDRegression(
        fit_intercept=False, threshold_lambda=1e4, max_iter=3000, tol=1e-10,
        alpha_1=tiny, alpha_2=tiny, lambda_1=tiny, lambda_2=tiny,
    ).fit(X, y)  # fmt: skip
    ours = RVM(threshold=1e4, standardise=False, tolerance=1e-8, maxiter=10_000).fit(X, y)
    assert (theirs.coef_ != 0).tolist() == ours.support.tolist()
    np.testing.assert_allclose(ours.coefficients, theirs.coef_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        np.diag(ours.covariance)[ours.support], np.diag(theirs.sigma_)[: ours.support.sum()], rtol=1e-3
    )


def test_threshold_is_a_cut_on_the_coefficient_in_raw_units(rng):
    X = rng.standard_normal((2000, 2))
    y = X @ [1.0, 0.05] + 0.01 * rng.standard_normal(2000)
    assert RVM(threshold=1e2, standardise=False).fit(X, y).support.tolist() == [True, False]
    assert RVM(threshold=1e3, standardise=False).fit(X, y).support.tolist() == [True, True]


def test_nothing_relevant(rng):
    X, y = rng.standard_normal((500, 6)), rng.standard_normal(500)
    assert not evidence_path(NormalEquations.of(X, y), noise_std=1.0).support.any()
    assert not RVM(threshold=1e2).fit(X, 0.0 * y).support.any()
    kept = RVM(threshold=1e-3, keep_one=True).fit(X, y)
    assert np.flatnonzero(kept.support).tolist() == [0]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_scaling_the_target_scales_the_answer(seed, factor):
    X, y, _ = problem(np.random.default_rng(seed))
    one, other = (evidence_path(NormalEquations.of(X, c * y)) for c in (1.0, factor))
    assert one.support.tolist() == other.support.tolist()
    np.testing.assert_allclose(other.coefficients, factor * one.coefficients, rtol=1e-6)


def test_columns_that_only_help_together_are_found(rng):
    """x and y are nearly equal, and the truth is their difference: no single one explains anything."""
    x = rng.standard_normal(2000)
    difference = 0.1 * rng.standard_normal(2000)
    X = np.column_stack([x, x + difference, rng.standard_normal(2000)])
    y = 2.0 * difference + 0.05 * rng.standard_normal(2000)
    fit = evidence_path(NormalEquations.of(X, y), noise_std=0.05)
    np.testing.assert_allclose(fit.coefficients, [-2.0, 2.0, 0.0], atol=0.05)


def test_floor_removes_small_terms(rng):
    X = rng.standard_normal((5000, 2))
    y = X @ [1.0, 0.02] + 0.01 * rng.standard_normal(5000)
    equations = NormalEquations.of(X, y)
    assert evidence_path(equations).support.all()
    assert evidence_path(equations, floor=np.full(2, 0.05)).support.tolist() == [True, False]


def test_intervals_are_calibrated():
    """Known noise, support given by the data: 95 % intervals cover 95 %, within three standard errors."""
    inside = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 4))
        y = X @ [1.0, 0, -0.5, 0] + 0.1 * rng.standard_normal(60)
        low, high = evidence_path(NormalEquations.of(X, y), noise_std=0.1).intervals().T
        inside += [low[0] <= 1.0 <= high[0], low[2] <= -0.5 <= high[2]]
    assert 0.917 < np.mean(inside) < 0.983


def test_correlated_rows_count_for_less(rng):
    X = np.repeat(rng.standard_normal((100, 3)), 10, axis=0)
    y = X[:, 0] + np.repeat(0.1 * rng.standard_normal(100), 10)
    equations = NormalEquations.of(X, y)
    only = np.array([True, False, False])
    naive = evidence_path(equations, noise_std=0.1, allowed=only)
    honest = evidence_path(equations, noise_std=0.1, effective_rows=100, allowed=only)
    ratio = honest.standard_errors[0] / naive.standard_errors[0]
    assert ratio == pytest.approx(np.sqrt(10), rel=1e-6)


def test_stability_selection(rng):
    parts = []
    for _ in range(20):
        X = rng.standard_normal((30, 4))
        parts.append(NormalEquations.of(X, X[:, 1] + 0.5 * rng.standard_normal(30)))
    frequency = stability_selection(parts, evidence_path, resamples=20)
    assert frequency[1] == 1.0
    assert np.all(np.delete(frequency, 1) < 0.4)
    again = stability_selection(parts, evidence_path, resamples=20)
    np.testing.assert_array_equal(frequency, again)
    with pytest.raises(ValueError, match="at least two"):
        stability_selection(parts[:1], evidence_path)


def test_product_prior_finds_a_row_of_families(rng):
    """Rows of a product library are switched on together; the refined fit is free again."""
    families = [(i, j) for i in range(4) for j in range(5)]
    X = rng.standard_normal((150, 20))
    w = np.zeros(20)
    w[5:10] = rng.uniform(1, 2, 5)  # all of family 1
    y = X @ w + 0.1 * rng.standard_normal(150)
    for update in ("am", "svd"):
        fit = KroneckerSBL(families, update=update).fit(X, y)
        assert np.flatnonzero(fit.support).tolist() == [5, 6, 7, 8, 9]
        variance = fit.info["prior variance"].reshape(4, 5)
        assert variance[1].min() > 100 * np.delete(variance, 1, axis=0).max()


def test_normal_equations_add_up(rng):
    X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    whole = NormalEquations.of(X, y)
    both = NormalEquations.of(X[:15], y[:15]) + NormalEquations.of(X[15:], y[15:])
    np.testing.assert_allclose(both.gram, whole.gram)
    assert both.rows == 40
    w, rss = both.solve(np.ones(3, dtype=bool))
    np.testing.assert_allclose(w, np.linalg.lstsq(X, y)[0])
    assert rss == pytest.approx(np.sum((y - X @ w) ** 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RVM("em"), "algorithm is 'em'"),
        (lambda: RVM(threshold=0.0), "threshold is 0.0"),
        (lambda: RVM(noise_std=-1.0), "noise_std is -1.0"),
        (lambda: KroneckerSBL([(0, 0)], update="em"), "update is 'em'"),
        (lambda: KroneckerSBL([(0, 0)]).fit(np.ones((4, 2)), np.ones(4)), "families has 1 entries"),
        (lambda: NormalEquations.of(np.ones((4, 2)), np.ones(3)), "expected"),
        (
            lambda: NormalEquations.of(np.full((4, 2), np.nan), np.ones(4)),
            "X holds a value that is not finite",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
