"""Halpern iterations: known answers, the published numbers, restarts, splittings, compiled inner loops."""

import math

import numpy as np
import pytest
import scipy.optimize

from sciml import (
    PoissonOperator,
    SaddlePoint,
    Status,
    constrained_qp,
    eag,
    extragradient,
    halpern,
    matrix_game,
    vr_extragradient,
)
from sciml.operators import (
    AffineSum,
    Box,
    CallableOperator,
    L1Norm,
    LeastSquares,
    NonNegative,
    NormalEquations,
)
from sciml.problems import (
    bounded_least_squares,
    membrane_over_ball,
    ouyang_xu_qp,
    policeman_and_burglar,
)

R = np.random.default_rng(11)


def natural_residual(game, u):
    return float(np.linalg.norm(u - game.G.resolvent(u - game.full(u), 1.0)))


@pytest.fixture(scope="module")
def burglar():
    payoff = policeman_and_burglar(500)
    return matrix_game(payoff), np.linalg.norm(payoff, 2), np.linalg.norm(payoff), np.full(1000, 1 / 500)


# Residuals after 100 epochs of the authors' code (arXiv:2310.02987), measured by independent code.
@pytest.mark.parametrize(
    ("method", "published"),
    [("EG", 9.8e-2), ("EAG", 1.2e-1), ("VR-EG", 5.2e-2), ("Algorithm 1", 6.4e-2), ("Algorithm 2", 8.4e-2)],
)
def test_published_residuals_of_the_matrix_game(burglar, method, published):
    game, spectral, frobenius, u0 = burglar
    root = math.sqrt(500)
    inner = 5 * math.sqrt((1 / 500) * (1 - 1 / 500)) / (root + 1)
    solver, settings = {
        "EG": (extragradient, {"step": 5 / spectral}),
        "EAG": (eag, {"step": 5 / spectral}),
        "VR-EG": (vr_extragradient, {"step": 3 / root / frobenius}),
        "Algorithm 1": (
            halpern,
            {"variance_reduction": "page", "step": 5 / frobenius, "batch": 22, "restart": None},
        ),
        "Algorithm 2": (
            halpern,
            {"variance_reduction": "forb", "step": root / frobenius, "inner_step": inner, "restart": None},
        ),
    }[method]
    result = solver(game, u0, rtol=0, atol=0, max_epochs=100, **settings)
    assert natural_residual(game, result.x) == pytest.approx(published, rel=0.2)


def test_defaults_solve_the_matrix_game_beyond_the_paper(burglar):
    game, *_, u0 = burglar
    result = halpern(game, u0, rtol=0, atol=1e-4)
    assert result.converged
    assert result.info["epochs"] <= 1000
    assert natural_residual(game, result.x) <= 1e-4
    assert result.info["restarts"] >= 5


def test_game_value_equals_that_of_linear_programming():
    payoff = R.standard_normal((6, 9))
    x = halpern(matrix_game(payoff), np.full(15, 0.1), rtol=1e-9).x
    # min t subject to A x <= t, x in the simplex
    lp = scipy.optimize.linprog(
        np.r_[np.zeros(9), 1],
        A_ub=np.c_[payoff, -np.ones(6)],
        b_ub=np.zeros(6),
        A_eq=np.r_[np.ones(9), 0][None],
        b_eq=[1],
        bounds=[(0, None)] * 9 + [(None, None)],
    )
    assert (payoff @ x[:9]).max() == pytest.approx(lp.fun, abs=1e-7)
    assert (payoff.T @ x[9:]).min() == pytest.approx(lp.fun, abs=1e-7)


def test_qp_reaches_1e6_with_fewer_evaluations_than_restarted_eag():
    F = ouyang_xu_qp(200)
    result = halpern(F, np.full(400, 1 / 200), rtol=0, atol=1e-6)
    assert result.converged
    assert result.info["epochs"] <= 90_999 / 4
    assert np.linalg.norm(F.full(result.x)) <= 1e-6


def test_qp_solution_equals_that_of_the_kkt_system():
    M = R.standard_normal((6, 6))
    H, A, h, b = M @ M.T, R.standard_normal((3, 6)), R.standard_normal(6), R.standard_normal(3)
    x = halpern(constrained_qp(H, h, A, b), np.zeros(9), rtol=1e-10).x
    exact = np.linalg.solve(np.block([[H, -A.T], [A, np.zeros((3, 3))]]), np.r_[h, b])
    assert np.allclose(x, exact, atol=1e-7)


def test_linear_programme_through_bounds_on_the_primal():
    c, A, b = np.array([1.0, 2.0, 0.5]), np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]]), np.array([1.0, 0.2])
    result = halpern(SaddlePoint(A, c=-c, d=-b, Gx=NonNegative()), np.zeros(5), rtol=1e-9)
    lp = scipy.optimize.linprog(c, A_eq=A, b_eq=b)
    assert c @ result.x[:3] == pytest.approx(lp.fun, abs=1e-7)


@pytest.mark.parametrize("upper", [math.inf, 0.3])
@pytest.mark.parametrize("density", [None, 0.2])
def test_bounded_least_squares_equals_scipys(upper, density):
    F = bounded_least_squares(120, 20, density=density, upper=upper)
    result = halpern(F, np.zeros(20), rtol=1e-8)
    A = F.A.matrix if density is None else F.A.matrix.toarray()
    found = scipy.optimize.lsq_linear(A, F.b, bounds=(0, upper), tol=1e-14)
    assert F.objective(result.x) == pytest.approx(found.cost, rel=1e-9)


def test_lasso_optimality():
    A, b = R.standard_normal((30, 10)), R.standard_normal(30)
    x = halpern(LeastSquares(A, b, G=L1Norm(4.0)), np.zeros(10), rtol=1e-10).x
    gradient = A.T @ (A @ x - b)
    assert 0 < np.count_nonzero(x) < 10
    assert np.allclose(gradient[x != 0], -4.0 * np.sign(x[x != 0]), atol=1e-7)
    assert np.all(np.abs(gradient[x == 0]) <= 4.0 + 1e-7)


def test_complex_coils():
    coils = [R.standard_normal((9, 5)) + 1j * R.standard_normal((9, 5)) for _ in range(4)]
    data = [R.standard_normal(9) + 1j * R.standard_normal(9) for _ in range(4)]
    F = NormalEquations(coils, data)
    exact = np.linalg.lstsq(np.vstack(coils), np.concatenate(data), rcond=None)[0]
    u0 = np.zeros(5, dtype=complex)
    for settings in ({}, {"variance_reduction": "page"}):
        result = halpern(F, u0, rtol=1e-6, **settings)
        assert result.converged
        assert np.allclose(result.x, exact, atol=1e-4)


@pytest.mark.parametrize("method", ["page", "forb"])
def test_variance_reduced_methods_converge_with_default_steps(method):
    F = constrained_qp(np.eye(6), np.ones(6), R.standard_normal((2, 6)), np.zeros(2))
    F = bounded_least_squares(60, 6) if method == "page" else F
    result = halpern(F, np.full(F.in_shape, 0.2), variance_reduction=method, rtol=1e-5)
    assert result.converged
    assert result.info["epochs"] == result.info["evaluations"] / F.n


# -- restarts and reflection ------------------------------------------------------------------
def test_restarts_turn_a_sublinear_method_into_a_linear_one():
    F = ouyang_xu_qp(12)
    u0 = np.full(24, 1 / 12)
    epochs = [halpern(F, u0, rtol=tol, restart="adaptive").info["epochs"] for tol in (1e-3, 1e-6, 1e-9)]
    assert epochs[2] - epochs[1] <= 3 * (epochs[1] - epochs[0] + 20)
    slow = halpern(F, u0, rtol=1e-6, restart=None, maxiter=int(epochs[2]), on_failure="ignore")
    assert slow.status is Status.MAXITER


def test_reflection_saves_iterations():
    F = ouyang_xu_qp(30)
    u0 = np.full(60, 1 / 30)
    assert halpern(F, u0, rtol=1e-6).iterations < halpern(F, u0, rtol=1e-6, reflection=0).iterations


def test_fixed_restarts_are_counted():
    result = halpern(ouyang_xu_qp(10), np.full(20, 0.1), restart=25, rtol=0, atol=0, maxiter=110)
    assert result.info["restarts"] == 4


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_the_primal_weight_adapts_to_badly_scaled_constraints(scale):
    M = R.standard_normal((5, 8))
    F = constrained_qp(np.eye(8), np.ones(8), scale * M, scale * np.ones(5))
    result = halpern(F, np.zeros(13), rtol=1e-8, maxiter=20_000)
    assert result.converged


# -- splittings -------------------------------------------------------------------------------
def test_the_splitting_follows_the_structure():
    spd = np.diag([1.0, 2.0])
    cases = {
        "ForwardBackward": AffineSum(spd, np.ones(2), cocoercive=True),
        "PrimalDual": matrix_game(np.eye(2)),
        "DouglasRachford": AffineSum(
            spd, np.ones(2), solve=lambda w, s: (w + s * np.ones(2)) / (1 + s * np.diag(spd))
        ),
    }
    for name, F in cases.items():
        result = halpern(F, np.linspace(0.1, 0.7, F.shape[0]), rtol=1e-9)
        assert result.converged
        assert result.info["splitting"] == name


def test_unstructured_monotone_maps_need_another_method():
    F = AffineSum(np.array([[0.1, 1.0], [-1.0, 0.1]]), np.ones(2))
    with pytest.raises(ValueError, match="variance_reduction='forb', or the solver eag"):
        halpern(F, np.zeros(2))
    assert eag(F, np.zeros(2), restart="adaptive").converged
    assert halpern(F, np.zeros(2), variance_reduction="forb", inner_epochs=2.0).converged


@pytest.mark.parametrize("G", [None, Box(0.0, 1.0), L1Norm(0.3)], ids=["free", "box", "l1"])
def test_douglas_rachford_equals_forward_backward(G):
    M = R.standard_normal((8, 8))
    K, q = M @ M.T + 0.1 * np.eye(8), R.standard_normal(8)

    def solve(w, step):
        D = np.broadcast_to(1.0 / np.asarray(step), (8,))
        return np.linalg.solve(K + np.diag(D), D * w + q)

    by_solves = halpern(AffineSum(K, q, G=G, solve=solve), np.zeros(8), rtol=1e-10)
    by_steps = halpern(AffineSum(K, q, G=G, cocoercive=True), np.zeros(8), rtol=1e-10)
    assert by_solves.converged
    assert np.allclose(by_solves.x, by_steps.x, atol=1e-7)
    assert by_solves.iterations < by_steps.iterations / 2


def test_douglas_rachford_needs_nearly_the_same_iterations_on_every_grid():
    iterations = []
    for n in (16, 32, 64):
        problem = membrane_over_ball(n)
        result = halpern(problem.F, problem.u0, rtol=1e-8)
        assert result.converged
        iterations.append(result.iterations)
    assert iterations[-1] <= 2.5 * iterations[0]


def test_saddle_point_of_grid_operators():
    # min over fields with prescribed mean: a matrix-free KKT system
    L = PoissonOperator((6, 6), spacing=1 / 6)
    flat = CallableOperator(lambda x: L.matvec(x), 36, properties={"symmetric", "positive_definite"})
    mean = CallableOperator(lambda x: x.mean(keepdims=True), 36, 1, adjoint=lambda y: np.full(36, y[0] / 36))
    F = SaddlePoint(mean, H=flat, c=np.ones(36), d=np.array([-0.02]))
    result = halpern(F, np.zeros(37), rtol=1e-8, maxiter=50_000)
    assert result.converged
    assert result.x[:36].mean() == pytest.approx(0.02, abs=1e-5)


# -- compiled inner loops ---------------------------------------------------------------------
@pytest.mark.parametrize("solver", [halpern, vr_extragradient])
@pytest.mark.parametrize("problem", ["game", "qp", "box"])
def test_compiled_inner_loops_equal_the_array_api_text(solver, problem):
    F = {
        "game": lambda: matrix_game(R.standard_normal((7, 5))),
        "qp": lambda: ouyang_xu_qp(8),
        "box": lambda: AffineSum(np.array([[1.0, 2.0], [-2.0, 1.0]]), np.ones(2), G=Box(0.0, 0.3)),
    }[problem]()
    settings = {"variance_reduction": "forb"} if solver is halpern else {}
    run = lambda: solver(F, np.full(F.in_shape, 0.2), rtol=0, atol=0, max_epochs=30, seed=4, **settings)  # noqa: E731
    compiled = run()
    assert F.columns() is not None
    F.columns = lambda: None
    text = run()
    assert compiled.info["evaluations"] == text.info["evaluations"]
    assert compiled.info["resolvents"] == text.info["resolvents"]
    assert np.allclose(compiled.x, text.x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variance_reduction": "svrg"}, "variance_reduction is 'svrg'"),
        ({"splitting": "peaceman"}, "splitting is 'peaceman'"),
        ({"splitting": "douglas-rachford"}, "F has no solve"),
        ({"splitting": "primal-dual"}, "expected F to be a SaddlePoint"),
        ({"step": 0.0}, "step is 0.0"),
        ({"inner_step": -1.0}, "inner_step is -1.0"),
        ({"inner_epochs": 0.0}, "inner_epochs is 0.0"),
        ({"batch": 0}, "batch is 0"),
        ({"reflection": 2.0}, "reflection is 2.0"),
        ({"restart": "often"}, "restart is 'often'"),
        ({"restart": 0}, "restart is 0"),
        ({"primal_weight": -1.0}, "primal_weight is -1.0"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else None,
)
def test_bad_settings(settings, message):
    F = LeastSquares(np.eye(2), np.ones(2))
    with pytest.raises(ValueError, match=message):
        halpern(F, np.zeros(2), **settings)
