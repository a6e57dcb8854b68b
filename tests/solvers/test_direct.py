"""Direct solves, the stationary iteration, and solvers as operators."""

import numpy as np
import pytest

import sciml
from sciml import PoissonOperator, cg, fast_poisson, inverse, splu
from sciml.operators import Scaled
from sciml.preconditioners import FFT, LU, IncompleteCholesky
from sciml.solvers.stationary import richardson


@pytest.fixture
def A():
    return PoissonOperator((9, 10), bc=[("neumann", "dirichlet"), "periodic"])


@pytest.fixture
def b():
    return np.random.default_rng(0).standard_normal((9, 10))


def test_factors_are_reused(A, b):
    factors = LU(A)
    first, second = splu(A, b, M=factors), splu(A, 2 * b, M=factors)
    assert first.iterations == second.iterations == 1
    np.testing.assert_allclose(second.x, 2 * first.x)
    assert first.solver == "splu"


def test_refinement_recovers_from_inexact_factors(A, b):
    # Factors of a neighbouring operator: one application is not enough, refinement is.
    factors = LU(PoissonOperator((9, 10), bc=[("neumann", "dirichlet"), "periodic"], shift=0.01))
    result = splu(A, b, M=factors, rtol=1e-10)
    assert result.converged
    assert 2 < result.iterations < 20


def test_exactly_singular_matrix_is_refused():
    with pytest.raises(ValueError, match="A is singular: its LU factorisation meets a zero pivot"):
        splu(np.ones((3, 3)), np.ones(3))


def test_only_its_own_factors_are_taken(A, b):
    with pytest.raises(TypeError, match="M is a FFT; splu expects the factors"):
        splu(A, b, M=FFT(A))
    with pytest.raises(TypeError, match="M is a LU; fast_poisson expects an FFT"):
        fast_poisson(A, b, M=LU(A))
    with pytest.raises(ValueError, match=r"M has shape \(4, 4\); expected the shape of A"):
        splu(A, b, M=LU(np.eye(4)))


@pytest.mark.parametrize(
    "setting",
    [{"cells": np.eye(9, 10, dtype=bool)}, {"coefficient": 1 + np.eye(9, 10)}, {"shift": np.eye(9, 10)}],
)
def test_fast_poisson_refuses_what_transforms_do_not_diagonalise(setting, b):
    with pytest.raises(ValueError, match="use cg with M=FFT"):
        fast_poisson(PoissonOperator((9, 10), **setting), b)


def test_divergent_stationary_iteration_ends_as_stagnated(A, b):
    M = Scaled(-1.0, LU(A))  # error propagation 2 I
    result = richardson(
        "test", A, b, M, x0=None, rtol=1e-6, atol=0.0, maxiter=None, callback=None, on_failure="ignore"
    )
    assert result.status is sciml.Status.STAGNATED
    assert result.iterations == 20


@pytest.mark.parametrize("method", ["splu", "fft"])
def test_inverse_of_a_direct_method_is_linear_and_exact(A, b, method):
    M = inverse(A, method)
    assert M.properties >= {"linear", "symmetric", "positive_definite"}
    np.testing.assert_allclose(A @ (M @ b), b, atol=1e-10)
    assert cg(A, b, M=M).iterations == 1
    assert M.last.converged


@pytest.mark.parametrize("method", ["sor", "ssor"])
def test_inverse_with_a_fixed_count_is_linear(A, b, method):
    M = inverse(A, method, rtol=0, maxiter=2)
    other = np.random.default_rng(1).standard_normal(b.shape)
    np.testing.assert_allclose(M @ (2 * b - other), 2 * (M @ b) - M @ other, atol=1e-12)
    assert "linear" in M.properties
    symmetric = np.isclose(np.vdot(other, M @ b), np.vdot(M @ other, b), rtol=1e-10)
    assert symmetric == ("symmetric" in M.properties) == (method == "ssor")


def test_inverse_with_a_tolerance_makes_cg_flexible(A, b):
    M = inverse(A, "cg", rtol=0.2)
    assert "linear" not in M.properties
    result = cg(A, b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations < 0.5 * cg(A, b, rtol=1e-8).iterations
    assert result.solver == "cg + inverse(cg)"


def test_inverse_takes_preconditioners_and_foreign_solvers(A, b):
    exact = np.linalg.solve(A.tocsr().toarray(), b.reshape(-1)).reshape(b.shape)
    for M in (
        inverse(A, "cg+mic0", rtol=1e-11),
        inverse(A, "cg", M=IncompleteCholesky(A), rtol=1e-11),
        inverse(A, "gmres", M="jacobi", rtol=1e-11),
        inverse(A, sciml.fcg, rtol=1e-11),
    ):
        np.testing.assert_allclose(M @ b, exact, atol=1e-8)


def test_inverse_checks_its_method(A):
    with pytest.raises(ValueError, match="method is 'newton'"):
        inverse(A, "newton")
    with pytest.raises(TypeError, match="expected one preconditioner"):
        inverse(A, "cg+jacobi", M="ic0")
    with pytest.raises(TypeError, match="method is a int"):
        inverse(A, 3)
    with pytest.raises(ValueError, match="expected a square operator"):
        inverse(np.ones((2, 3)), "cg")


def test_inverse_of_a_failing_solve_does_not_warn(A, b):
    M = inverse(A, "cg", rtol=1e-12, maxiter=2)
    M @ b
    assert M.last.status is sciml.Status.MAXITER
