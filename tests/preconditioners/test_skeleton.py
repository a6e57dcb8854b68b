"""The same questions to every preconditioner: is it the operator it declares to be?"""

import numpy as np
import pytest

from sciml import PoissonOperator, cg
from sciml.preconditioners import AMG, FFT, LU, SSOR, IncompleteCholesky, Jacobi

RNG = np.random.default_rng(7)
CELLS = RNG.integers(0, 3, (6, 7, 5)) * (RNG.random((6, 7, 5)) < 0.35)
POCKETS = np.zeros((6, 9), dtype=bool)
POCKETS[:, 4] = POCKETS[2, :4] = True
POCKETS[0, 0] = POCKETS[1, 1] = POCKETS[0, 2] = True  # walls in the single cell (0, 1)

OPERATORS = {
    "box2d": PoissonOperator((8, 9)),
    "mixed3d": PoissonOperator(
        (6, 5, 7), bc=[("dirichlet", "neumann"), "periodic", "neumann"], spacing=(1, 0.5, 3)
    ),
    "obstacles3d": PoissonOperator(
        (6, 7, 5), cells=CELLS, bc=["neumann", "periodic", ("dirichlet", "neumann")]
    ),
    "variable3d": PoissonOperator((6, 7, 5), cells=CELLS, coefficient=np.exp(RNG.standard_normal((6, 7, 5)))),
    "shifted2d": PoissonOperator((8, 9), bc="neumann", shift=0.2),
    "neumann2d": PoissonOperator((8, 9), bc="neumann"),
    "periodic3d": PoissonOperator((4, 5, 6), bc="periodic"),
    "pockets2d": PoissonOperator((6, 9), bc="neumann", cells=POCKETS),
}
PRECONDITIONERS = {
    "jacobi": Jacobi,
    "ssor": lambda A: SSOR(A, omega=1.3),
    "ic0": IncompleteCholesky,
    "mic0": lambda A: IncompleteCholesky(A, modified=True),
    "fft": FFT,
    "amg-sa": AMG,
    "amg-rs": lambda A: AMG(A, method="ruge_stuben"),
    "lu": LU,
}
MATRIX = [name for name in PRECONDITIONERS if name not in ("mic0", "fft")]


@pytest.fixture(params=PRECONDITIONERS)
def make(request):
    if request.param.startswith("amg"):
        pytest.importorskip("pyamg")
    return PRECONDITIONERS[request.param]


@pytest.fixture(params=OPERATORS)
def A(request):
    return OPERATORS[request.param]


def dense(M):
    return M @ np.eye(M.shape[1])


def test_declared_properties_hold(make, A):
    M = make(A)
    matrix = dense(M)
    scale = np.abs(matrix).max()
    assert M.shape == A.shape
    assert M.in_shape == A.in_shape
    assert M.properties >= {"linear", "symmetric"}
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-11 * scale)
    x, y = RNG.standard_normal((2, *A.in_shape))
    np.testing.assert_allclose(M @ (3 * x - y), 3 * (M @ x) - M @ y, atol=1e-11 * scale * np.abs(x).sum())
    smallest = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]
    if "positive_definite" in M.properties:
        assert smallest > 0
    elif "positive_semidefinite" in M.properties:
        assert smallest > -1e-11 * scale
    else:
        pytest.fail("a preconditioner of a positive operator should declare more than symmetry")


def test_layouts_agree_and_the_argument_is_left_alone(make, A):
    M = make(A)
    x = RNG.standard_normal(A.in_shape)
    before = x.copy()
    z = M @ x
    np.testing.assert_array_equal(x, before)
    assert z.shape == x.shape
    close = {"rtol": 0, "atol": 1e-12 * np.abs(z).max()}
    np.testing.assert_allclose(M @ x.reshape(-1), z.reshape(-1), **close)
    np.testing.assert_allclose(M @ np.asfortranarray(x), z, **close)
    np.testing.assert_allclose((M @ np.stack([x.reshape(-1)] * 2, axis=1))[:, 1], z.reshape(-1), **close)


def test_precision_follows_the_vector(make, A):
    x = RNG.standard_normal(A.in_shape)
    double = make(A) @ x
    single = make(A.astype("float32")) @ x.astype("float32")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=2e-4 * np.abs(double).max())


def test_cg_converges_with_it(make, A):
    b = A.project(RNG.standard_normal(A.in_shape))
    result = cg(A, b, M=make(A), rtol=1e-9)
    assert result.converged
    assert np.all(np.isfinite(result.x))
    assert result.iterations < A.unknowns.size


def test_complex_vectors(make, A):
    M = make(A)
    x, y = RNG.standard_normal((2, *A.in_shape))
    np.testing.assert_allclose(M @ (x + 1j * y), M @ x + 1j * (M @ y), atol=1e-10 * np.abs(dense(M)).max())


def test_cells_without_an_unknown_are_solved_exactly(make):
    A = OPERATORS["obstacles3d"]
    r = np.where(A.fluid, 0.0, RNG.standard_normal(A.in_shape))
    np.testing.assert_allclose(A @ (make(A) @ r), r, atol=1e-12)


@pytest.mark.parametrize("name", MATRIX)
def test_matrix_and_grid_forms_precondition_alike(name):
    A = OPERATORS["variable3d"]
    on_matrix = PRECONDITIONERS[name](A.tocsr(unknowns_only=True))
    r = RNG.standard_normal(A.unknowns.size)
    on_grid = np.zeros(A.shape[0])
    on_grid[A.unknowns] = r
    z = PRECONDITIONERS[name](A) @ on_grid
    np.testing.assert_allclose(z[A.unknowns], on_matrix @ r, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in PRECONDITIONERS if name != "jacobi"])
def test_other_namespaces_are_told_what_works(name):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="runs on numpy arrays, not torch; on torch use jacobi"):
        PRECONDITIONERS[name](PoissonOperator((4, 5), backend="torch"))
    with pytest.raises(TypeError, match="runs on numpy arrays, not torch; on torch use jacobi"):
        PRECONDITIONERS[name](PoissonOperator((4, 5))) @ torch.ones(20, dtype=torch.float64)


@pytest.mark.parametrize("name", MATRIX)
def test_non_square_matrix_is_refused(name):
    with pytest.raises(ValueError, match=r"A has shape \(2, 3\)"):
        PRECONDITIONERS[name](np.ones((2, 3)))


@pytest.mark.parametrize("name", MATRIX)
def test_matrix_with_nan_is_refused(name):
    with pytest.raises(ValueError, match=r"not finite|nan"):
        PRECONDITIONERS[name](np.array([[1.0, 0.0], [0.0, np.nan]]))


def test_repr_names_the_kind_and_the_operator(make):
    text = repr(make(OPERATORS["obstacles3d"]))
    assert "6x7x5" in text or "210x210" in text
