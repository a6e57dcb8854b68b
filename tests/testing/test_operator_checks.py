"""`check_linear_operator` passes what is right, and names each planted defect."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.operators import BaseOperator, CallableOperator, PoissonOperator
from sciml.testing import check_linear_operator, check_operator, check_preconditioner
from sciml.testing.report import relative_difference

N = 12
rng = np.random.default_rng(3)
MATRIX = rng.standard_normal((N, N))
COMPLEX = MATRIX + 1j * rng.standard_normal((N, N))
SPD = MATRIX @ MATRIX.T + N * np.eye(N)


def linear(apply, adjoint=None, properties=("linear",), dtype="float64", n=N):
    return CallableOperator(apply, n, adjoint=adjoint, dtype=dtype, properties=properties)


class Modifies(BaseOperator):
    def _apply(self, x):
        x *= 2
        return x + 1 - 1


class ReturnsItsBuffer(BaseOperator):
    def __init__(self):
        super().__init__((N,), (N,), "float64", {"symmetric"})
        self._out = np.empty(N)

    def _apply(self, x):
        np.multiply(x, 3.0, out=self._out)
        return self._out


class ForgetsTheGrid(BaseOperator):
    def __init__(self):
        super().__init__((3, 4), (3, 4), "float64", {"symmetric"})

    def _apply(self, x):
        return x.reshape(-1)


class AnyLength(BaseOperator):
    def __init__(self):
        super().__init__((N,), (N,), "float64", {"symmetric"})

    def matvec(self, x):
        return 2 * x


class WrongDiagonal(BaseOperator):
    def __init__(self):
        super().__init__((N,), (N,), "float64", {"symmetric", "positive_definite"})

    def _apply(self, x):
        return SPD @ x

    def diagonal(self):
        return np.diagonal(SPD) * 1.01


class AnotherMapInSinglePrecision(WrongDiagonal):
    def diagonal(self):
        return np.diagonal(SPD)

    def astype(self, dtype):
        return CallableOperator(lambda x: x, N, dtype=dtype, properties={"symmetric", "positive_definite"})


class Noisy(BaseOperator):
    _rng = np.random.default_rng(1)

    def _apply(self, x):
        return x + 1e-3 * self._rng.standard_normal(x.shape)


DEFECTS = {
    "wrong adjoint": (linear(lambda x: MATRIX @ x, lambda y: MATRIX @ y), "the adjoint is wrong"),
    "scaled adjoint": (
        linear(lambda x: MATRIX @ x, lambda y: 2 * MATRIX.T @ y),
        "rmatvec is the adjoint times 2",
    ),
    "transpose for adjoint": (
        linear(lambda x: COMPLEX @ x, lambda y: COMPLEX.T @ y, dtype="complex128"),
        "rmatvec applies the transpose: conjugate it",
    ),
    "declared symmetric": (
        linear(lambda x: MATRIX @ x, properties={"symmetric"}),
        "declares 'symmetric' but",
    ),
    "complex symmetric is not Hermitian": (
        linear(lambda x: (COMPLEX + COMPLEX.T) @ x, properties={"symmetric"}, dtype="complex128"),
        "declares 'symmetric' but",
    ),
    "declared definite": (
        linear(lambda x: -SPD @ x, properties={"symmetric", "positive_definite"}),
        "declares 'positive_definite' but its smallest eigenvalue is -",
    ),
    "declared definite, is singular": (
        linear(lambda x: x * (np.arange(N) > 0), properties={"symmetric", "positive_definite"}),
        "is singular",
    ),
    "declared semidefinite": (
        linear(lambda x: x * (np.arange(N) - 0.5), properties={"symmetric", "positive_semidefinite"}),
        "declares 'positive_semidefinite' but",
    ),
    "large, declared symmetric": (
        linear(lambda x: np.roll(x, 1) + 4 * x, properties={"symmetric", "positive_definite"}, n=300),
        "differ by",
    ),
    "large, declared definite": (
        linear(lambda x: x * (np.arange(300) - 150), properties={"symmetric", "positive_definite"}, n=300),
        "⟨x, A x⟩ =",
    ),
    "not linear": (linear(lambda x: x + 1e-3 * x**2), "A is not linear: A(αx + βy)"),
    "affine": (linear(lambda x: x + 1), "A is not linear: A(0)"),
    "linear over the reals only": (linear(np.conj, np.conj, dtype="complex128"), "A is not linear"),
    "does not say linear": (linear(lambda x: 2 * x, properties=()), "do not declare 'linear'"),
    "modifies its input": (Modifies((N,), (N,), "float64", {"symmetric"}), "modifies its input"),
    "returns its work array": (ReturnsItsBuffer(), "returns its work array"),
    "wrong layout": (ForgetsTheGrid(), "expected out_shape (3, 4)"),
    "takes any length": (AnyLength(), "is accepted by an operator of shape"),
    "wrong diagonal": (WrongDiagonal(), "diagonal()[0] is"),
    "wrong astype": (AnotherMapInSinglePrecision(), "is another map"),
    "wrong dtype": (linear(lambda x: x.astype(np.float32)), "has dtype float32"),
    "not finite": (linear(lambda x: x * np.inf), "is not finite"),
    "random": (Noisy((N,), (N,), "float64"), "different results"),
    "not an array": (linear(lambda x: list(x)), "returned a list"),
    "raises": (linear(lambda x: 1 / 0), "raised ZeroDivisionError"),
    "not an operator": ("matrix", "without shape and matvec"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_planted_defect_is_named(name):
    defective, sentence = DEFECTS[name]
    found = check_linear_operator(defective, raise_on_failure=False)
    assert any(sentence in s for s in found), found
    with pytest.raises(AssertionError, match="breaks its contract"):
        check_linear_operator(defective)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_operator_that_is_not_finite_on_some_inputs_is_no_rounding(bad):
    """NaN is above no tolerance and below none: differences that are not finite count as infinite."""
    A = CallableOperator(lambda x: x if x.ndim == 1 else x * bad, (2, 3), properties={"linear"})
    assert any("differ" in sentence for sentence in check_operator(A, raise_on_failure=False))
    assert relative_difference(np.array([1.0, bad]), np.ones(2)) == np.inf
    assert relative_difference(np.array([bad]), np.array([bad])) == np.inf
    assert relative_difference(np.zeros(2), np.zeros(2)) == 0.0


def test_data_moved_to_another_library_is_named():
    torch = pytest.importorskip("torch")
    moving = linear(lambda x: x.numpy())
    found = check_linear_operator(moving, like=torch.zeros(1), raise_on_failure=False)
    assert any("A(x) is a numpy array but x is a torch array" in s for s in found), found


@pytest.mark.parametrize(
    "A",
    [
        pytest.param(MATRIX, id="dense"),
        pytest.param(COMPLEX.astype(np.complex64), id="dense-complex64"),
        pytest.param(MATRIX[:, :5], id="rectangular"),
        pytest.param(PoissonOperator((5, 4), bc="periodic"), id="poisson"),
        pytest.param(linear(lambda x: SPD @ x, properties={"symmetric", "positive_definite"}), id="callable"),
    ],
)
def test_sound_operators_pass(A):
    assert check_linear_operator(A) == []
    assert check_operator(A) == []


def test_nonlinear_operator_passes_the_general_check():
    assert check_operator(linear(np.tanh, properties=())) == []


# -- preconditioners --------------------------------------------------------------------------
def preconditioner(apply, properties=("symmetric", "positive_definite")):
    return linear(apply, properties=properties)


class WrongFusedProduct(BaseOperator):
    def __init__(self):
        super().__init__((N,), (N,), "float64", {"symmetric", "positive_definite"})

    def _apply(self, x):
        return x / N

    def apply_dot(self, r):
        return r / N, 2 * float(r @ r) / N


BAD_PRECONDITIONERS = {
    "size": (np.eye(N + 1), "expected the shape of A"),
    "negative": (preconditioner(lambda r: -r), "declares 'positive_definite' but"),
    "not symmetric": (preconditioner(lambda r: r + 0.5 * np.roll(r, 1)), "declares 'symmetric' but"),
    "loses small residuals": (
        preconditioner(lambda r: np.where(np.abs(r) < 1e-8, 0.0, r)),
        "differ by",
    ),
    "zero to something": (preconditioner(lambda r: r + 1e-3, properties=()), "M @ 0 is not zero"),
    "NaN": (preconditioner(lambda r: r * np.nan, properties=()), "is not finite"),
    "fused product": (WrongFusedProduct(), "apply_dot(r) gives"),
    "loses half of the space": (
        preconditioner(lambda r: r * (np.arange(N) % 2), {"symmetric", "positive_semidefinite"}),
        "do not converge",
    ),
}


@pytest.mark.parametrize("name", BAD_PRECONDITIONERS)
def test_planted_preconditioner_defect_is_named(name):
    defective, sentence = BAD_PRECONDITIONERS[name]
    A = CallableOperator(lambda x: SPD @ x, N, properties={"symmetric", "positive_definite"})
    found = check_preconditioner(defective, A, raise_on_failure=False)
    assert any(sentence in s for s in found), found


def test_sound_preconditioner_passes():
    A = CallableOperator(lambda x: SPD @ x, N, properties={"symmetric", "positive_definite"})
    assert check_preconditioner(preconditioner(lambda r: r / np.diagonal(SPD)), A) == []
