"""Deflation: exact on its vectors, definite, as good as removing their eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from sciml import PoissonOperator, cg
from sciml.preconditioners import Deflation, make_preconditioner
from sciml.testing import check_preconditioner


def eigenvectors(A, count):
    values, vectors = np.linalg.eigh(A.tocsr().toarray())
    return values, vectors[:, :count]


@pytest.mark.parametrize("inner", [None, "ic0", "multigrid"])
@pytest.mark.parametrize("vectors", ["eigen", "random"])
def test_contract(inner, vectors, rng):
    A = PoissonOperator((7, 6), bc=["neumann", ("neumann", "dirichlet")])
    W = eigenvectors(A, 4)[1] if vectors == "eigen" else rng.standard_normal((42, 4))
    M = Deflation(A, W, None if inner is None else make_preconditioner(inner, A))
    assert {"symmetric", "positive_definite"} <= M.properties
    assert check_preconditioner(M, A) == []


def test_contract_with_obstacles(rng):
    solid = np.zeros((7, 6), dtype=bool)
    solid[2:4, 2:4] = True
    A = PoissonOperator((7, 6), cells=solid)
    assert check_preconditioner(Deflation(A, rng.standard_normal((42, 3))), A) == []


def test_it_solves_exactly_on_its_vectors(rng):
    A = PoissonOperator((7, 6))
    W = rng.standard_normal((42, 3))
    x = W @ rng.standard_normal(3)
    np.testing.assert_allclose(Deflation(A, W) @ (A @ x), x, rtol=1e-10)


def test_deflated_eigenvalues_become_one_and_the_others_stay(rng):
    A = PoissonOperator((6, 6))
    values, W = eigenvectors(A, 5)
    M = Deflation(A, W, np.eye(36))
    spectrum = np.sort(np.linalg.eigvals(np.stack([M @ (A @ e) for e in np.eye(36)], axis=1)).real)
    np.testing.assert_allclose(spectrum, np.sort([*np.ones(5), *values[5:]]), rtol=1e-8)


def test_fewer_iterations_the_more_vectors(rng):
    A = PoissonOperator((20, 20), bc=["neumann", ("neumann", "dirichlet")])
    b = rng.standard_normal((20, 20))
    W = eigenvectors(A, 40)[1]
    iterations = [cg(A, b, M=Deflation(A, W[:, :k])).iterations for k in (1, 5, 15, 40)]
    assert iterations == sorted(iterations, reverse=True)
    assert iterations[-1] < 0.4 * cg(A, b).iterations


def test_single_precision(rng):
    A = PoissonOperator((12, 12), dtype="float32")
    b = rng.standard_normal((12, 12)).astype("float32")
    result = cg(A, b, M=Deflation(A, eigenvectors(A, 6)[1]), rtol=1e-5)
    assert result.converged
    assert result.x.dtype == np.float32


@pytest.mark.parametrize(
    ("W", "error", "sentence"),
    [
        (np.ones((42, 2)), ValueError, "not positive definite; expected linearly independent columns"),
        (np.full((42, 1), np.nan), ValueError, "not positive definite"),
        (np.ones((41, 2)), ValueError, r"W has shape \(41, 2\); expected \(42, k\)"),
        (np.ones(42), ValueError, r"W has shape \(42,\)"),
        (np.ones((42, 43)), ValueError, "1 <= k <= 42"),
        ("vectors", TypeError, "W is a str"),
    ],
    ids=["dependent", "nan", "rows", "flat", "many", "string"],
)
def test_vectors_that_do_not_fit(W, error, sentence):
    with pytest.raises(error, match=sentence):
        Deflation(PoissonOperator((7, 6)), W)


def test_bad_operators(rng):
    with pytest.raises(ValueError, match=r"A has shape \(3, 4\)"):
        Deflation(rng.standard_normal((3, 4)), np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"M has shape \(3, 3\); expected the shape of A"):
        Deflation(np.eye(4), np.ones((4, 1)), np.eye(3))
