"""CSR kernels against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sciml.backends.kernels.numba import csr, grouping
from sciml.preconditioners.multigrid.hierarchy import sparse_product


def triple(A):
    A = sp.csr_matrix(A)
    return A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data.astype(np.float32)


@pytest.fixture
def matrices():
    A = sp.random(80, 60, 0.1, random_state=np.random.default_rng(0), format="csr")
    B = sp.random(60, 70, 0.1, random_state=np.random.default_rng(1), format="csr")
    return A, B


def test_product_and_transpose(matrices):
    A, B = matrices
    ptr, idx, val = sparse_product(80, 70, triple(A), triple(B))
    C = sp.csr_matrix((val, idx, ptr), shape=(80, 70))
    np.testing.assert_allclose(C.toarray(), (A @ B).toarray(), rtol=1e-5, atol=1e-6)
    T = (np.zeros(61, np.int64), np.empty(A.nnz, np.int32), np.empty(A.nnz, np.float32))
    csr.transpose(*triple(A), *T)
    back = sp.csr_matrix((T[2], T[1], T[0]), shape=(60, 80))
    np.testing.assert_allclose(back.toarray(), A.T.toarray(), rtol=1e-6)


def test_spmv_and_residual(matrices):
    A, _ = matrices
    rng = np.random.default_rng(2)
    x, b = rng.standard_normal(60).astype(np.float32), rng.standard_normal(80).astype(np.float32)
    y, r = b.copy(), np.empty(80, np.float32)
    csr.spmv(0, 80, *triple(A), x, y, True)
    np.testing.assert_allclose(y, b + A @ x, rtol=1e-5, atol=1e-5)
    csr.residual(0, 80, *triple(A), b, x, r)
    np.testing.assert_allclose(r, b - A @ x, rtol=1e-5, atol=1e-5)


def test_gauss_seidel_backward_is_the_adjoint():
    n = 30
    A = sp.random(n, n, 0.1, random_state=np.random.default_rng(3))
    A = sp.csr_matrix(A + A.T + 10 * sp.eye(n))
    indptr, indices, data = triple(A)
    inverse = (1 / A.diagonal()).astype(np.float32)
    order = np.random.default_rng(4).permutation(n).astype(np.int32)
    errors = {}
    for backward in (False, True):
        columns = []
        for k in range(n):
            x, b = np.zeros(n, np.float32), np.eye(n, dtype=np.float32)[k]
            csr.gauss_seidel(0, n, backward, order, indptr, indices, data, inverse, b, x, np.float32(1.3))
            columns.append(x)
        errors[backward] = np.array(columns).T
    np.testing.assert_allclose(errors[True], errors[False].T, rtol=1e-4, atol=1e-6)


def test_colouring_is_proper():
    A = sp.random(200, 200, 0.05, random_state=np.random.default_rng(5))
    A = sp.csr_matrix(A + A.T + sp.eye(200))
    colour = np.empty(200, np.int32)
    colours = grouping.colour_greedy(A.indptr.astype(np.int64), A.indices, colour)
    coo = A.tocoo()
    off = coo.row != coo.col
    assert np.all(colour[coo.row[off]] != colour[coo.col[off]])
    assert colours == colour.max() + 1


def test_parity_of_blocks():
    shape = (3, 4, 5)
    blocks = np.random.default_rng(0).integers(0, 60, 200).astype(np.int32)
    colour = np.full(200, -1, np.int32)
    grouping.parity(0, 150, blocks, shape, colour)
    np.testing.assert_array_equal(colour[:150], sum(np.unravel_index(blocks[:150], shape)) % 2)
    assert np.all(colour[150:] == -1)


def test_neighbours_within_a_block_are_found():
    path = sp.diags_array([np.ones(4), np.ones(5), np.ones(4)], offsets=[-1, 0, 1], format="csr")
    A = (path.indptr.astype(np.int64), path.indices)
    assert not grouping.coupled(0, 5, *A, np.array([0, 1, 0, 1, 0], np.int32))
    shared = np.array([0, 1, 2, 2, 0], np.int32)
    assert grouping.coupled(0, 5, *A, shared)
    assert not grouping.coupled(0, 2, *A, shared)
