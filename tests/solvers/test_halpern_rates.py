"""Measured rates against theory: O(1/k) of the last iterate, and n + √n L/ε of the variance-reduced methods.

The test problems have eigenvalues over many decades, so that the rates are attained and not beaten by chance.
"""

import numpy as np
import pytest

from sciml import SaddlePoint, eag, extragradient, halpern
from sciml.operators import AffineSum, LeastSquares

EIGENVALUES = np.geomspace(1e-5, 1.0, 60)
ITERATIONS = np.array([50, 100, 200, 400, 800])


def slope(x, y):
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def cocoercive():
    return AffineSum(np.diag(EIGENVALUES), np.zeros(60), cocoercive=True), np.full(60, 60**-0.5)


def rotation():
    return SaddlePoint(np.diag(EIGENVALUES), c=np.zeros(60)), np.full(120, 120**-0.5)


@pytest.mark.parametrize(
    ("solver", "problem", "expected"),
    [
        (halpern, cocoercive, -1.0),
        (halpern, rotation, -1.0),
        (eag, rotation, -1.0),
        (extragradient, rotation, -0.5),
    ],
    ids=["halpern-cocoercive", "halpern-saddle", "eag-saddle", "extragradient-saddle"],
)
def test_slope_of_the_last_iterate(solver, problem, expected):
    F, u0 = problem()
    settings = {} if solver is extragradient else {"restart": None}
    residuals = [solver(F, u0, rtol=0, atol=0, maxiter=int(k), **settings).residual_norm for k in ITERATIONS]
    assert slope(ITERATIONS, residuals) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_bound_of_the_fixed_point_residual(k):
    # Lieder, Optim. Lett. 15 (2021): ‖u − T u‖ ≤ 2 ‖u₀ − u*‖/(k + 1) for a non-expansive map, here I − 2 F/L.
    F, u0 = cocoercive()
    result = halpern(F, u0, restart=None, rtol=0, atol=0, maxiter=k)
    step = 1.0 / F.lipschitz_full
    # One forward-backward step after the anchored iterate only lowers the residual.
    assert step * result.residual_norm <= 2 * np.linalg.norm(u0) / (k + 1) / (1 + 0.5)


def low_rank_rows(n, d=12):
    """Least squares whose Lipschitz constants do not depend on the number `n` of rows."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    A = rng.choice([-1.0, 1.0], size=(n, d)) * np.geomspace(1.0, 1e-2, d) / np.sqrt(n) @ rotation
    return LeastSquares(A, A @ np.ones(d))


def low_rank_rotation(n, pairs=4):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.choice([-1.0, 1.0], size=(n, 2 * pairs)))[0]
    left, right = Q[:, ::2] * np.geomspace(1.0, 1e-3, pairs), Q[:, 1::2]
    K = left @ right.T - right @ left.T
    return AffineSum(K, K @ (Q @ np.ones(2 * pairs)))


@pytest.mark.parametrize(("make", "method"), [(low_rank_rows, "page"), (low_rank_rotation, "forb")])
def test_components_grow_like_the_square_root_of_n(make, method):
    sizes, accuracy = (64, 256), 3e-3 if method == "page" else 1e-3
    random, full = [], []
    for n in sizes:
        F = make(n)
        u0 = np.zeros(F.in_shape)
        limits = {"rtol": 0, "atol": accuracy, "restart": None, "max_epochs": 60_000}
        counts = [
            halpern(F, u0, variance_reduction=method, seed=s, **limits).info["evaluations"] for s in range(3)
        ]
        random.append(np.median(counts))
        # The same step without variance reduction.
        deterministic = (
            halpern(F, u0, reflection=0, step=0.25 / F.lipschitz, **limits)
            if method == "page"
            else eag(F, u0, step=0.5 / F.lipschitz, **limits)
        )
        full.append(deterministic.info["evaluations"])
    assert slope(sizes, random) == pytest.approx(0.5, abs=0.2)
    assert slope(sizes, full) == pytest.approx(1.0, abs=0.1)
    assert random[-1] < 0.7 * full[-1]
