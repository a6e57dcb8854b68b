"""Ready-made variational problems: definitions, reproducibility, the shifted solves of obstacle problems."""

import numpy as np
import pytest

from sciml import PoissonOperator
from sciml.problems import (
    ShiftedSolve,
    bounded_least_squares,
    membrane_over_ball,
    ouyang_xu_qp,
    policeman_and_burglar,
    refine,
)


def test_payoff_of_the_burglar():
    payoff = policeman_and_burglar(30)
    assert np.allclose(np.diag(payoff), 0)
    worth = payoff[0, 1:] / (1 - np.exp(-0.8 * np.arange(1, 30)))
    assert np.allclose(
        payoff[-1, :-1], np.r_[payoff[-1, 0], worth[:-1] * (1 - np.exp(-0.8 * np.arange(28, 0, -1)))]
    )
    assert np.array_equal(payoff, policeman_and_burglar(30))


def test_payoff_norms_of_the_published_experiment():
    payoff = policeman_and_burglar(500)
    assert np.linalg.norm(payoff) / np.linalg.norm(payoff, 2) == pytest.approx(1.0015, abs=5e-5)


def test_initial_residual_of_the_hard_qp():
    F = ouyang_xu_qp(200)
    assert np.linalg.norm(F.full(np.full(400, 1 / 200))) == pytest.approx(3.54, abs=5e-3)
    singular = np.linalg.svd(F.columns()[0], compute_uv=False)
    assert singular[0] == pytest.approx(0.809, abs=1e-3)
    assert singular[-1] == pytest.approx(1.95e-3, rel=1e-2)


def test_least_squares_are_reproducible_and_scaled():
    F, again = (bounded_least_squares(50, 8, condition=100.0, seed=4) for _ in range(2))
    assert np.array_equal(F.A.matrix, again.A.matrix)
    scales = np.linalg.norm(F.A.matrix, axis=0)
    assert 50 < scales.max() / scales.min() < 200


@pytest.mark.parametrize("kind", ["number", "array", "two-valued"])
def test_shifted_solve_against_a_dense_solve(kind, rng):
    A = PoissonOperator((8, 9), spacing=0.2)
    b, w = rng.standard_normal((2, 8, 9))
    step = {
        "number": 0.3,
        "array": 0.1 + rng.random((8, 9)),
        "two-valued": np.where(rng.random((8, 9)) < 0.4, 1e-3, 10.0),
    }[kind]
    solve = ShiftedSolve(A, b, reduction=1e-12)
    dense = np.diag(np.broadcast_to(1.0 / np.asarray(step), (8, 9)).reshape(-1)) + A.tocsr().toarray()
    exact = np.linalg.solve(dense, (w / step + b).reshape(-1)).reshape(8, 9)
    assert np.allclose(solve(w, step), exact, atol=1e-9)
    assert np.allclose(solve(w, step), exact, atol=1e-9)
    assert solve.setups == 1
    assert solve.solves == 2


def test_membrane_data_fit_the_exact_solution():
    problem = membrane_over_ball(64)
    gap = problem.exact - problem.F.G.lower
    assert gap.min() > -1e-12
    off = gap > 1e-6
    residual = problem.F.full(problem.exact)[off]
    assert np.median(np.abs(residual)) < 2e-2  # harmonic off the ball, to second order


def test_refinement_is_exact_for_linear_functions_inside():
    x, y = np.meshgrid((np.arange(6) + 0.5) / 6, (np.arange(4) + 0.5) / 4, indexing="ij")
    fine = refine(2 * x - y)
    X, Y = np.meshgrid((np.arange(12) + 0.5) / 12, (np.arange(8) + 0.5) / 8, indexing="ij")
    assert fine.shape == (12, 8)
    assert np.allclose(fine[1:-1, 1:-1], (2 * X - Y)[1:-1, 1:-1])


@pytest.mark.parametrize("make", [policeman_and_burglar, ouyang_xu_qp])
def test_sizes_are_checked(make):
    with pytest.raises(ValueError, match="n is 1"):
        make(1)
