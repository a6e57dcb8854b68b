"""`as_operator` over everything it takes, and the errors for what it does not take."""

from __future__ import annotations

import numpy as np
import pyamg
import pylops
import pytest
import scipy.sparse
import scipy.sparse.linalg

from sciml.backends.namespace import to_numpy
from sciml.operators import CallableOperator, ForeignOperator, MatrixOperator, PoissonOperator, as_operator
from sciml.operators.adapt import to_scipy_csr
from sciml.testing import check_linear_operator, check_operator

torch = pytest.importorskip("torch")


def sparse_matrix(rng, shape=(7, 5), dtype="float64"):
    values = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), 0.0)
    if np.dtype(dtype).kind == "c":
        values = values * (1 + 2j)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(5, 5), (7, 5), (4, 9), (1, 1)], ids=str)
class TestMatrices:
    def test_dense(self, namespace, shape, dtype, rng):
        matrix = sparse_matrix(rng, shape, dtype)
        A = as_operator(namespace.array(matrix))
        assert isinstance(A, MatrixOperator)
        assert check_linear_operator(A, like=namespace.array([0.0])) == []
        x = np.ones(shape[1], dtype=dtype)
        np.testing.assert_allclose(to_numpy(A @ namespace.array(x)), matrix @ x, rtol=1e-5)
        np.testing.assert_array_equal(A.tocsr().toarray(), matrix)

    @pytest.mark.parametrize(
        "form", ["csr_array", "csc_array", "coo_array", "bsr_array", "csr_matrix", "dia_array", "lil_array"]
    )
    def test_scipy_sparse(self, form, shape, dtype, rng):
        matrix = sparse_matrix(rng, shape, dtype)
        A = as_operator(getattr(scipy.sparse, form)(matrix))
        assert check_linear_operator(A) == []
        np.testing.assert_array_equal(A.tocsr().toarray(), matrix)

    @pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=["int32", "int64"])
    def test_torch_csr(self, index, shape, dtype, rng):
        csr = scipy.sparse.csr_array(sparse_matrix(rng, shape, dtype))
        tensor = torch.sparse_csr_tensor(
            torch.tensor(csr.indptr, dtype=index), torch.tensor(csr.indices, dtype=index),
            torch.tensor(csr.data), csr.shape, check_invariants=True,
        )  # fmt: skip
        A = as_operator(tensor)
        assert A.matrix.col_indices().dtype == torch.int32  # the fast one
        assert check_linear_operator(A, like=torch.zeros(1)) == []
        np.testing.assert_array_equal(A.tocsr().toarray(), csr.toarray())

    def test_torch_coo_becomes_csr(self, shape, dtype, rng):
        matrix = sparse_matrix(rng, shape, dtype)
        A = as_operator(torch.tensor(matrix).to_sparse_coo())
        assert A.matrix.layout == torch.sparse_csr
        assert check_linear_operator(A, like=torch.zeros(1)) == []


def test_duplicate_and_unsorted_entries_are_summed():
    matrix = scipy.sparse.csr_array(
        (np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 0, 1]), np.array([0, 3, 4])), shape=(2, 2)
    )
    csr = to_scipy_csr(matrix)
    np.testing.assert_array_equal(csr.toarray(), [[5.0, 1.0], [0.0, 4.0]])
    assert csr.has_canonical_format
    assert matrix.nnz == 4  # the caller's matrix is left alone


@pytest.mark.parametrize(
    "make", [np.array, torch.tensor, scipy.sparse.csr_array], ids=["numpy", "torch", "scipy"]
)
def test_real_matrix_takes_complex_vectors(make):
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = np.array([1.0 + 1.0j, 2.0 - 1.0j])
    like = torch.tensor(x) if make is torch.tensor else x
    y = as_operator(make(matrix)) @ like
    np.testing.assert_allclose(to_numpy(y), matrix @ x)


@pytest.mark.parametrize("vector", ["float32", "float64"])
def test_product_leaves_warnings_of_invalid_values_to_the_solvers(vector):
    A = as_operator(np.full((3, 5), np.inf, np.float32))
    assert np.isnan(A @ np.zeros(5, vector)).all()  # every warning is an error in these tests


def test_declared_properties_are_kept_and_closed():
    A = as_operator(np.eye(2), {"positive_definite", "symmetric"})
    assert A.properties == {"linear", "symmetric", "positive_definite", "positive_semidefinite"}
    assert as_operator(A) is A
    assert as_operator(A, {"symmetric"}) is A


# -- foreign objects --------------------------------------------------------------------------
class OnlyShapeAndMatvec:
    """The least an object can have."""

    shape = (3, 3)

    def matvec(self, x):
        return 2 * x


class WithProperties(OnlyShapeAndMatvec):
    dtype = np.dtype("float32")
    properties = ("symmetric", "positive_definite")

    def diagonal(self):
        return np.full(3, 2.0, dtype="float32")


class CallableWithShape:
    shape = (3, 3)
    dtype = "float64"

    def __call__(self, x):
        return np.tanh(x)


def test_object_with_shape_and_matvec():
    A = as_operator(OnlyShapeAndMatvec())
    assert isinstance(A, ForeignOperator)
    assert A.dtype == np.float64
    np.testing.assert_array_equal(A @ np.ones(3), [2, 2, 2])
    with pytest.raises(NotImplementedError, match="OnlyShapeAndMatvec has no rmatvec"):
        A.rmatvec(np.ones(3))
    assert check_linear_operator(A) == []
    assert "around OnlyShapeAndMatvec" in repr(A)


def test_foreign_properties_and_diagonal_are_taken_over():
    A = as_operator(WithProperties())
    assert {"symmetric", "positive_definite"} <= A.properties
    assert check_linear_operator(A) == []


def test_callable_with_a_shape_is_a_nonlinear_operator():
    A = as_operator(CallableWithShape())
    assert A.properties == frozenset()
    assert check_operator(A) == []


def test_scipy_linear_operator(rng):
    matrix = rng.standard_normal((4, 6)) + 1j * rng.standard_normal((4, 6))
    A = as_operator(scipy.sparse.linalg.aslinearoperator(matrix))
    assert check_linear_operator(A) == []


def test_scipy_linear_operator_refuses_tensors_instead_of_converting_them():
    A = as_operator(scipy.sparse.linalg.aslinearoperator(np.eye(3)))
    with pytest.raises(TypeError, match=r"x is a torch array but .* returned a numpy one"):
        A @ torch.ones(3, dtype=torch.float64)


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(pylops.FirstDerivative((4, 5), axis=0), id="derivative"),
        pytest.param(pylops.signalprocessing.FFT(8, real=False, dtype="complex128"), id="fft"),
        pytest.param(pylops.MatrixMult(np.arange(6.0).reshape(2, 3)), id="matrix"),
        pytest.param(pylops.Laplacian((4, 5)), id="laplacian"),
    ],
)
def test_pylops_operators(foreign):
    A = as_operator(foreign)
    assert A.shape == foreign.shape
    assert check_linear_operator(A) == []
    gram = A.H @ A
    assert {"symmetric", "positive_semidefinite"} <= gram.properties
    assert check_linear_operator(gram) == []


def test_pyamg_preconditioner():
    A = pyamg.gallery.poisson((8, 8), format="csr")
    M = as_operator(pyamg.smoothed_aggregation_solver(A).aspreconditioner())
    assert M.shape == (64, 64)
    x = np.random.default_rng(0).standard_normal(64)
    assert np.linalg.norm(M @ (A @ x) - x) < 0.3 * np.linalg.norm(x)


# -- plain functions --------------------------------------------------------------------------
def test_callable_with_grid_shapes():
    D = CallableOperator(
        lambda x: np.diff(x, axis=0), (4, 3), (3, 3),
        adjoint=lambda y: -np.diff(y, axis=0, prepend=0.0, append=0.0), properties={"linear"},
    )  # fmt: skip
    assert D.shape == (9, 12)
    assert check_linear_operator(D) == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: as_operator("matrix"),
            TypeError,
            "A is a str without shape and matvec; expected an operator",
        ),
        (lambda: as_operator(None), TypeError, "A is a NoneType"),
        (lambda: as_operator(np.tanh), TypeError, r"wrap a plain function in CallableOperator"),
        (lambda: as_operator([[1.0, 2.0]]), TypeError, "A is a list without shape and matvec"),
        (lambda: as_operator(np.ones(3)), ValueError, r"A has shape \(3,\); expected a matrix"),
        (lambda: as_operator(np.ones((2, 2, 2))), ValueError, "expected a matrix"),
        (lambda: as_operator(np.eye(2, dtype=int)), TypeError, "A has dtype int64; expected a floating"),
        (lambda: as_operator(np.array([["a"]])), TypeError, "A has dtype"),
        (
            lambda: as_operator(np.eye(2), {"spd"}),
            ValueError,
            r"properties contains \['spd'\]; expected any of",
        ),
        (
            lambda: as_operator(as_operator(np.eye(2)), {"symmetric"}),
            ValueError,
            "already declares its properties",
        ),
        (lambda: CallableOperator(3, 2), TypeError, "function is int; expected a callable"),
        (lambda: as_operator(np.eye(2)) @ torch.ones(2), TypeError, "x is a torch array but the matrix A"),
        (lambda: as_operator(torch.eye(2)) @ np.ones(2), TypeError, "x is a numpy array but the matrix A"),
        (
            lambda: as_operator(scipy.sparse.eye_array(2)) @ torch.ones(2),
            TypeError,
            "x is a torch array but the matrix A belongs to numpy",
        ),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_poisson_is_its_own_operator():
    A = PoissonOperator((3, 3))
    assert as_operator(A) is A
