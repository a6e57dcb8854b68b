"""Projected SOR and projected multigrid: complementarity, agreement, bounds on both sides, all geometries."""

import numpy as np
import pytest
import scipy.sparse

from sciml import PoissonOperator, halpern, matrix_game, projected_multigrid, projected_sor
from sciml.backends.namespace import to_numpy
from sciml.operators import AffineSum, Box, NonNegative
from sciml.problems import membrane_over_ball, obstacle_sum

RNG = np.random.default_rng(3)
CELLS = (RNG.random((12, 15)) < 0.15).astype(np.uint8)
GRIDS = {
    "box": PoissonOperator((12, 12), spacing=1 / 12),
    "mixed-sides": PoissonOperator((10, 13), spacing=0.1, bc=["dirichlet", ("neumann", "dirichlet")]),
    "periodic": PoissonOperator((12, 10), spacing=0.1, bc=["periodic", "dirichlet"]),
    "odd-periodic": PoissonOperator((9, 10), spacing=0.1, bc=["periodic", "dirichlet"]),
    "obstacles": PoissonOperator((12, 15), spacing=0.1, cells=CELLS),
    "variable": PoissonOperator((11, 12), spacing=0.1, coefficient=RNG.random((11, 12)) + 0.5),
    "3d": PoissonOperator((6, 7, 8), spacing=0.15),
}
every_grid = pytest.mark.parametrize("A", GRIDS.values(), ids=GRIDS)


def two_sided(A):
    b = np.where(A.fluid, 40.0 * np.cos(np.arange(A.shape[0]).reshape(A.in_shape) / 7.0), 0.0)
    return AffineSum(A, b, G=Box(-0.05, 0.1))


def complementarity(F, u):
    r, G = F.full(u), F.G
    return np.abs(np.clip(u - r, G.lower, G.upper) - u).max()


@every_grid
def test_both_meet_the_complementarity_conditions_and_agree(A):
    F = two_sided(A)
    u0 = np.zeros(A.in_shape)
    relaxed = projected_sor(F, u0, omega=1.5, rtol=1e-9)
    multigrid = projected_multigrid(F, u0, rtol=1e-9)
    for result in (relaxed, multigrid):
        assert result.converged
        assert complementarity(F, result.x) < 1e-6
    inside = A.fluid
    assert np.allclose(relaxed.x[inside], multigrid.x[inside], atol=1e-8)
    assert (relaxed.x[inside] == 0.1).any()
    assert np.array_equal((relaxed.x == 0.1)[inside], (multigrid.x == 0.1)[inside])
    assert multigrid.iterations < relaxed.iterations / 2


@every_grid
def test_halpern_agrees(A):
    F = two_sided(A)
    u0 = np.zeros(A.in_shape)
    result = halpern(obstacle_sum(A, F.q, lower=-0.05, upper=0.1), u0, rtol=1e-8)
    assert result.converged
    assert np.allclose(result.x, projected_multigrid(F, u0, rtol=1e-9).x, atol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_halpern_and_multigrid_agree_on_random_loads_between_two_obstacles(seed):
    rng, n = np.random.default_rng(seed), 32
    A = PoissonOperator((n, n), spacing=1 / n)
    x = np.arange(n) / n
    waves = [
        np.outer(np.sin(np.pi * a * x), np.sin(np.pi * c * x)) for a, c in rng.integers(1, 6, size=(4, 2))
    ]
    b = sum(300 * rng.normal() * wave for wave in waves)
    F = obstacle_sum(A, b, lower=-0.3 * rng.random(), upper=0.3 * rng.random())
    result = halpern(F, np.zeros((n, n)), rtol=1e-8)
    assert result.converged
    assert result.iterations <= 200
    assert np.allclose(result.x, projected_multigrid(F, np.zeros((n, n)), rtol=1e-9).x, atol=1e-7)


def test_compiled_sweeps_equal_the_array_api_ones(namespace):
    where = namespace.operator_settings
    here, there = PoissonOperator((9, 10)), PoissonOperator((9, 10), **where)
    b = RNG.standard_normal((9, 10))
    limits = {"rtol": 0, "atol": 0, "maxiter": 7, "omega": 1.3, "G": NonNegative()}
    expected = projected_sor(AffineSum(here, b), np.ones((9, 10)), **limits)
    found = projected_sor(AffineSum(there, namespace.array(b)), namespace.array(np.ones((9, 10))), **limits)
    assert np.allclose(to_numpy(found.x), expected.x, atol=1e-13)


def test_without_active_bounds_it_is_the_linear_solution():
    A = GRIDS["box"]
    b = np.ones((12, 12))
    exact = np.linalg.solve(A.tocsr().toarray(), b.reshape(-1)).reshape(12, 12)
    F = AffineSum(A, b, G=Box(-9.0, 9.0))
    assert np.allclose(projected_sor(F, 0 * b, omega=1.6, rtol=1e-10).x, exact)
    assert np.allclose(projected_multigrid(F, 0 * b, rtol=1e-10).x, exact)


def test_everything_in_contact():
    A = GRIDS["box"]
    F = AffineSum(A, np.full((12, 12), -1.0), G=NonNegative())
    for solver in (projected_sor, projected_multigrid):
        result = solver(F, np.ones((12, 12)), rtol=1e-8)
        assert result.converged
        assert not result.x.any()


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_rows_in_natural_order(form):
    M = RNG.standard_normal((9, 9))
    K, q = M @ M.T + np.eye(9), RNG.standard_normal(9)
    F = AffineSum(form(K), q, cocoercive=True, G=NonNegative())
    result = projected_sor(F, np.zeros(9), omega=1.2, rtol=1e-10)
    assert result.converged
    assert complementarity(F, result.x) < 1e-8
    assert np.allclose(result.x, halpern(F, np.zeros(9), rtol=1e-10).x, atol=1e-7)


@pytest.mark.parametrize("method", [halpern, projected_sor, projected_multigrid])
def test_membrane_over_a_ball_converges_to_the_exact_solution(method):
    errors = []
    for n in (16, 64):
        problem = membrane_over_ball(n)
        result = method(problem.F, problem.u0, rtol=1e-8)
        assert result.converged
        errors.append(np.abs(result.x - problem.exact).max())
        contact = result.x <= problem.F.G.lower
        area = contact.sum() * (4 / n) ** 2
        assert area == pytest.approx(np.pi * 0.697965**2, abs=4 * 4 / n)
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda F, u: projected_sor(F, u, omega=2.0), ValueError, "omega is 2.0"),
        (lambda F, u: projected_multigrid(F, u, sweeps=0), ValueError, "sweeps is 0"),
        (
            lambda F, u: projected_multigrid(F, u, preconditioner="magic"),
            ValueError,
            "preconditioner is 'magic'",
        ),
        (
            lambda F, u: projected_sor(matrix_game(np.eye(2)), np.full(4, 0.4)),
            TypeError,
            "needs F to be an AffineSum",
        ),
        (
            lambda F, u: projected_multigrid(AffineSum(np.eye(2), np.ones(2), G=NonNegative()), np.zeros(2)),
            TypeError,
            "expected a PoissonOperator",
        ),
        (
            lambda F, u: projected_sor(
                AffineSum(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.ones(2), G=NonNegative()), np.ones(2)
            ),
            ValueError,
            "positive diagonal",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(two_sided(GRIDS["box"]), np.zeros((12, 12)))
