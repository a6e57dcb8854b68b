"""Our operators inside SciPy and PyAMG, theirs inside our solvers."""

from __future__ import annotations

import numpy as np
import pyamg
import pylops
import pytest
import scipy.sparse.linalg

from sciml import PoissonOperator, as_operator, cg

SHAPE = (12, 10)


@pytest.fixture
def A():
    cells = np.zeros(SHAPE, dtype=bool)
    cells[4:7, 3:6] = True
    return PoissonOperator(SHAPE, cells=cells, bc=["dirichlet", ("neumann", "dirichlet")])


@pytest.fixture
def b(A, rng):
    return np.where(A.fluid, rng.standard_normal(SHAPE), 0.0).reshape(-1)


def solved(A, x, b, rtol=1e-6):
    return np.linalg.norm(b - A.tocsr() @ x) <= rtol * np.linalg.norm(b)


def test_ours_in_scipy_cg(A, b):
    x, info = scipy.sparse.linalg.cg(A, b, rtol=1e-8)
    assert info == 0
    assert solved(A, x, b)


def test_ours_in_scipy_gmres(A, b):
    x, info = scipy.sparse.linalg.gmres(A, b, rtol=1e-8)
    assert info == 0
    assert solved(A, x, b)


def test_ours_in_scipy_eigsh(A):
    found = scipy.sparse.linalg.eigsh(A, k=3, return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(found), np.linalg.eigvalsh(A.tocsr().toarray())[-3:], rtol=1e-8)


def test_ours_in_scipy_lsqr(rng):
    G = as_operator(rng.standard_normal((9, 4)))
    b = rng.standard_normal(9)
    x = scipy.sparse.linalg.lsqr(G, b, atol=1e-12, btol=1e-12)[0]
    np.testing.assert_allclose(x, np.linalg.lstsq(G.matrix, b, rcond=None)[0], rtol=1e-6)


def test_ours_in_pyamg_cg(A, b):
    x, info = pyamg.krylov.cg(A, b, tol=1e-8)
    assert info == 0
    assert solved(A, x, b)


def test_ours_as_scipy_linear_operator(A, b):
    S = scipy.sparse.linalg.aslinearoperator(A)
    np.testing.assert_allclose((2 * S) @ b, 2 * (A @ b))


def test_pyamg_preconditioner_in_ours(A, b):
    matrix = A.tocsr()
    plain = cg(matrix, b, rtol=1e-8)
    M = pyamg.smoothed_aggregation_solver(scipy.sparse.csr_matrix(matrix)).aspreconditioner()
    result = cg(A, b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations < plain.iterations / 2
    assert solved(A, result.x, b, 1e-8)


def test_scipy_linear_operator_in_ours(A, b):
    foreign = scipy.sparse.linalg.aslinearoperator(A.tocsr())
    result = cg(foreign, b, rtol=1e-8)
    assert result.converged
    assert solved(A, result.x, b, 1e-8)


def test_pylops_normal_equations_in_ours(rng):
    G = as_operator(pylops.FirstDerivative(30, edge=True))
    regularised = G.H @ G + 0.1
    b = rng.standard_normal(30)
    result = cg(regularised, b, rtol=1e-10)
    assert result.converged
    dense = np.stack([G @ e for e in np.eye(30)], axis=1)
    np.testing.assert_allclose(result.x, np.linalg.solve(dense.T @ dense + 0.1 * np.eye(30), b), rtol=1e-7)


def test_product_of_grid_and_flat_operators_is_solved_on_flat_vectors(A, b):
    weights = np.linspace(1.0, 2.0, b.size)
    scaling = as_operator(np.diag(weights))
    S = scaling @ A @ scaling
    assert S.in_shape == S.out_shape == (b.size,)
    mixed = as_operator(np.eye(b.size)) @ A
    assert mixed.in_shape != mixed.out_shape
    result = cg(mixed, b, rtol=1e-8)
    assert result.converged
    assert solved(A, result.x, b, 1e-8)
