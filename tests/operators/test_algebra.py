"""Sums, products, scalings, adjoints and blocks, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sciml
from sciml.backends.namespace import to_numpy
from sciml.operators import BaseOperator, Block, CallableOperator, Identity, PoissonOperator, as_operator
from sciml.testing import check_linear_operator


def dense(A):
    """The matrix of an operator, column by column."""
    return np.stack([(A @ column).reshape(-1) for column in np.eye(A.shape[1], dtype=A.dtype)], axis=1)


@st.composite
def expressions(draw, depth=3, n=4):
    """A random expression of operators and the dense matrix it should equal."""
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    kind = draw(
        st.sampled_from(["real", "complex", "symmetric", "identity", "poisson"] if depth else ["real"])
    )
    if depth == 0 or draw(st.booleans()):
        if kind == "identity":
            return Identity(n, "float64"), np.eye(n)
        if kind == "poisson":
            A = PoissonOperator((2, 2), bc=draw(st.sampled_from(["dirichlet", "neumann", "periodic"])))
            return A, A.tocsr().toarray()
        matrix = rng.standard_normal((n, n))
        if kind == "complex":
            matrix = matrix + 1j * rng.standard_normal((n, n))
        if kind == "symmetric":
            matrix = matrix @ matrix.T
            return as_operator(matrix, {"symmetric", "positive_semidefinite"}), matrix
        return as_operator(matrix), matrix
    A, a = draw(expressions(depth=depth - 1, n=n))
    operation = draw(
        st.sampled_from(["add", "sub", "product", "scale", "H", "T", "gram", "neg", "shift", "block"])
    )
    if operation in ("add", "sub", "product", "block"):
        B, b = draw(expressions(depth=depth - 1, n=n))
    factor = draw(st.sampled_from([2.0, -0.5, 1, 3 + 0j, 1j, 1 - 2j]))
    match operation:
        case "add":
            return A + B, a + b
        case "sub":
            return A - B, a - b
        case "product":
            return A @ B, a @ b
        case "scale":
            return factor * A, factor * a
        case "H":
            return A.H, a.conj().T
        case "T":
            return A.T, a.T
        case "gram":
            return A.H @ A, a.conj().T @ a
        case "neg":
            return -A, -a
        case "shift":
            return A + 2.5, a + 2.5 * np.eye(n)
        case _:
            selection = as_operator(np.eye(2 * n)[:n])
            K = Block([[A, None], [B, A]], {"linear"})
            return selection @ K @ selection.T, a


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_expressions_equal_their_matrices_and_keep_the_contract(expression):
    A, matrix = expression
    size = np.abs(matrix).max() + 1
    np.testing.assert_allclose(dense(A), matrix, atol=1e-12 * size)
    np.testing.assert_allclose(dense(A.H), matrix.conj().T, atol=1e-12 * size)
    np.testing.assert_allclose(dense(A.T), matrix.T, atol=1e-12 * size)
    probes = np.random.default_rng(0).standard_normal(A.shape[1]).astype(np.result_type(A.dtype, float))
    np.testing.assert_allclose(A(probes).reshape(-1), matrix @ probes, atol=1e-12 * size)
    if "symmetric" in A.properties:
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-12 * size)
    if "positive_semidefinite" in A.properties:
        assert np.linalg.eigvalsh((matrix + matrix.conj().T) / 2)[0] >= -1e-10 * size**2


PROPERTY_RULES = [
    ("SPD + SPD", lambda S, G: S + S, {"symmetric", "positive_definite"}),
    ("SPD + shift", lambda S, G: S + 1.0, {"symmetric", "positive_definite"}),
    ("SPD + semidefinite", lambda S, G: S + G.H @ G, {"symmetric", "positive_definite"}),
    ("semidefinite + shift", lambda S, G: G.H @ G + 0.5, {"symmetric", "positive_definite"}),
    ("2 SPD", lambda S, G: 2 * S, {"symmetric", "positive_definite"}),
    ("SPD / 2", lambda S, G: S / 2, {"symmetric", "positive_definite"}),
    ("(2+0j) SPD", lambda S, G: (2 + 0j) * S, {"symmetric", "positive_definite"}),
    ("-SPD", lambda S, G: -S, {"symmetric"}),
    ("SPD - SPD", lambda S, G: S - S, {"symmetric"}),
    ("SPD - shift", lambda S, G: S - 1.0, {"symmetric"}),
    ("i SPD", lambda S, G: 1j * S, {"linear"}),
    ("SPD @ SPD", lambda S, G: S @ S, {"linear"}),
    ("general", lambda S, G: G.H, {"linear"}),
    ("G.H @ G", lambda S, G: G.H @ G, {"symmetric", "positive_semidefinite"}),
    ("G @ G.H", lambda S, G: G @ G.H, {"symmetric", "positive_semidefinite"}),
]


@pytest.mark.parametrize(
    ("build", "expected"), [p[1:] for p in PROPERTY_RULES], ids=[p[0] for p in PROPERTY_RULES]
)
def test_properties_follow_the_algebra(build, expected, rng):
    S = as_operator(np.diag([1.0, 2.0, 3.0]), {"symmetric", "positive_definite"})
    G = as_operator(rng.standard_normal((3, 3)))
    found = build(S, G).properties
    definite = {"positive_definite", "positive_semidefinite", "symmetric"}
    closed = expected | {"linear"} | ({"positive_semidefinite"} if "positive_definite" in expected else set())
    assert found & (definite | {"linear"}) == closed


def test_nonlinear_parts_make_the_whole_nonlinear():
    N = CallableOperator(np.tanh, 3)
    S = as_operator(np.eye(3))
    for whole in (N + S, S - N, N @ S, S @ N, 2 * N):
        assert "linear" not in whole.properties
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose((2 * (N @ S) - N) @ x, np.tanh(x))
    with pytest.raises(NotImplementedError, match="no adjoint"):
        (N @ S).rmatvec(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_keep_the_precision(dtype, namespace):
    A = PoissonOperator((3, 3), dtype=dtype, **namespace.operator_settings)
    B = 2.0 * A + 0.5
    assert B.dtype == np.dtype(dtype)
    assert check_linear_operator(B, like=namespace.array([0.0])) == []
    assert to_numpy(B @ namespace.array(np.ones((3, 3)), dtype)).dtype == np.dtype(dtype)


def test_numpy_scalars_and_arrays_on_the_left_do_not_swallow_operators():
    A = as_operator(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert isinstance(np.float64(2.0) * A, BaseOperator)
    assert isinstance(np.array([[1.0, 1.0]]) @ A, BaseOperator)
    np.testing.assert_allclose((np.array([[1.0, 1.0]]) @ A) @ np.array([1.0, 1.0]), [10.0])
    with pytest.raises(TypeError):
        np.ones(2) * A


def test_grid_operators_and_matrices_mix(rng):
    A = PoissonOperator((3, 4))
    D = np.diag(rng.random(12) + 1)
    x = rng.standard_normal((3, 4))
    expected = (A.tocsr() @ x.reshape(-1) + D @ x.reshape(-1)).reshape(3, 4)
    np.testing.assert_allclose((A + D) @ x.reshape(-1), expected.reshape(-1))
    np.testing.assert_allclose(((as_operator(D) @ A) @ x).reshape(-1), D @ (A.tocsr() @ x.reshape(-1)))
    np.testing.assert_allclose(
        ((A @ as_operator(D)) @ x.reshape(-1)).reshape(-1), A.tocsr() @ (D @ x.reshape(-1))
    )


def test_diagonals_of_combinations(rng):
    S = rng.standard_normal((4, 4))
    A = as_operator(S + 1j * S.T)
    expected = np.diagonal(S + 1j * S.T)
    np.testing.assert_allclose((2j * A + 1.0).diagonal(), 2j * expected + 1.0)
    np.testing.assert_allclose(A.H.diagonal(), expected.conj())
    np.testing.assert_allclose(A.T.diagonal(), expected)


def test_block_of_rectangles():
    G = np.arange(6.0).reshape(2, 3)
    K = Block([[np.eye(2), G], [G.T, None]], {"symmetric"})
    assert K.shape == (5, 5)
    np.testing.assert_allclose(dense(K), np.block([[np.eye(2), G], [G.T, np.zeros((3, 3))]]))
    assert check_linear_operator(K) == []


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda A: A + np.eye(3), ValueError, r"shapes \(2, 2\) and \(3, 3\)"),
        (lambda A: A @ as_operator(np.eye(3)), ValueError, "expected 2 == 3"),
        (lambda A: A * A, TypeError, "use @ to apply or compose"),
        (lambda A: A * "2", TypeError, "cannot multiply an operator by str"),
        (lambda A: A * np.nan, ValueError, "factor is nan"),
        (lambda A: A + "x", TypeError, "A is a str without shape and matvec"),
        (lambda A: A @ np.ones(3), ValueError, r"x has shape \(3,\); expected \(2,\) or \(2, k\)"),
        (lambda A: A.rmatvec(np.ones(3)), ValueError, r"y has shape \(3,\)"),
        (lambda A: as_operator(np.ones((2, 3))) + 1.0, ValueError, "multiple of the identity"),
        (lambda A: Block([[A], [A, A]]), ValueError, r"rows have lengths \[1, 2\]"),
        (
            lambda A: Block([[A, None], [A, None]]),
            ValueError,
            "column 1 of the block operator holds no operator",
        ),
        (
            lambda A: Block([[A, np.ones((3, 2))]]),
            ValueError,
            r"row 0 of the block operator mixes sizes \[2, 3\]",
        ),
        (
            lambda A: BaseOperator((2,), (2,), float, {"symetric"}),
            ValueError,
            r"properties contains \['symetric'\]",
        ),
        (
            lambda A: BaseOperator((2,), (2,), float) @ np.ones(2),
            NotImplementedError,
            "does not define _apply",
        ),
        (
            lambda A: BaseOperator((2,), (2,), float).diagonal(),
            NotImplementedError,
            "does not know its diagonal",
        ),
        (
            lambda A: BaseOperator((2,), (2,), float).astype("f4"),
            NotImplementedError,
            "cannot change its dtype",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build(as_operator(np.eye(2)))


def test_zero_columns():
    A = PoissonOperator((2, 3))
    assert (A @ np.zeros((6, 0))).shape == (6, 0)


def test_repr_shows_shape_dtype_and_properties():
    text = repr(as_operator(np.eye(2), {"positive_definite"}))
    assert text == "<MatrixOperator 2x2 float64 {linear, positive_definite, positive_semidefinite}>"


# -- entries ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "make",
    [
        lambda A, B: A + 0.5,
        lambda A, B: 2 * A - B,
        lambda A, B: A.H @ B + 1j * A,
        lambda A, B: sciml.PoissonOperator((2, 2)) @ A,
        lambda A, B: sciml.operators.Identity(4, "float64") - A,
    ],
    ids=["shift", "difference", "complex", "grid", "identity"],
)
def test_combinations_of_matrices_know_their_entries(make, rng):
    A, B = (sciml.as_operator(rng.standard_normal((4, 4))) for _ in range(2))
    C = make(A, B)
    np.testing.assert_allclose(C.tocsr().toarray(), C @ np.eye(4), atol=1e-14)
    assert C.tocsr().dtype == C.dtype


def test_entries_that_are_not_known_are_asked_of_no_one_silently():
    F = sciml.CallableOperator(lambda x: 2 * x, 3, properties={"symmetric"})
    with pytest.raises(TypeError, match=r"its part <CallableOperator .* does not know them"):
        (sciml.as_operator(np.eye(3)) + F).tocsr()


def test_factorisation_of_a_sum(rng):
    A = sciml.PoissonOperator((6, 5)).tocsr()
    b = rng.standard_normal(30)
    for solver in (sciml.splu, lambda A, b: sciml.cg(A, b, M=sciml.preconditioners.IncompleteCholesky(A))):
        result = solver(sciml.as_operator(A, {"symmetric"}) + 0.3, b)
        assert result.converged
        np.testing.assert_allclose(A @ result.x + 0.3 * result.x, b, atol=1e-4)
