"""SOR and SSOR against their matrix forms and Young's theory."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import PoissonOperator, as_operator, sor, ssor
from sciml.solvers.sor import _colours

ONE_SWEEP = {"rtol": 0, "maxiter": 1}


def laplacian(m):
    T = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    identity = scipy.sparse.eye_array(m)
    return scipy.sparse.csr_array(scipy.sparse.kron(T, identity) + scipy.sparse.kron(identity, T))


def random_matrix(n=9, seed=0):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n))
    return B @ B.T + n * np.eye(n), rng.standard_normal(n), rng.standard_normal(n)


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.7])
def test_one_sor_sweep_is_a_triangular_solve(omega):
    A, b, x0 = random_matrix()
    W = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    expected = x0 + scipy.linalg.solve_triangular(W, b - A @ x0, lower=True)
    np.testing.assert_allclose(sor(A, b, x0=x0, omega=omega, **ONE_SWEEP).x, expected, rtol=1e-12)


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.7])
def test_one_ssor_sweep_has_the_symmetric_splitting(omega):
    A, b, x0 = random_matrix()
    D = np.diag(np.diag(A))
    W = D / omega + np.tril(A, -1)
    splitting = omega / (2 - omega) * W @ np.linalg.inv(D) @ W.T
    expected = x0 + np.linalg.solve(splitting, b - A @ x0)
    np.testing.assert_allclose(ssor(A, b, x0=x0, omega=omega, **ONE_SWEEP).x, expected, rtol=1e-12)


def test_sweeps_of_a_nonsymmetric_matrix_read_its_rows():
    A = np.array([[4.0, 1.0, 0.5], [-1.0, 5.0, 2.0], [0.3, -2.0, 6.0]])
    b = np.array([1.0, 2.0, 3.0])
    expected = scipy.linalg.solve_triangular(A, b, lower=True)
    np.testing.assert_allclose(sor(A, b, **ONE_SWEEP).x, expected, rtol=1e-12)


# Means over right-hand sides b ~ N(0, I) on the 10x10 Laplacian, rtol 1e-8, of an independent implementation.
@pytest.mark.parametrize(
    ("omega", "iterations", "margin"), [(1.0, 186, 3), (1.56, 37, 1), (1.8, 86, 1), (1.9, 177, 2)]
)
def test_iterations_on_the_ten_by_ten_laplacian(omega, iterations, margin):
    A, rng = as_operator(laplacian(10)), np.random.default_rng(0)
    counts = [sor(A, rng.standard_normal(100), omega=omega, rtol=1e-8).iterations for _ in range(40)]
    assert abs(np.mean(counts) - iterations) <= margin


@pytest.mark.parametrize("order", ["natural", "red-black"])
def test_asymptotic_rate_is_youngs(order):
    # Consistently ordered: rho = omega − 1 beyond the optimal omega, and below it Young's formula.
    A = PoissonOperator((12, 12))
    diagonal = A.diagonal()
    jacobi = np.eye(144) - A.tocsr().toarray() / diagonal[:, None]
    beta = np.max(np.abs(np.linalg.eigvals(jacobi)))
    b = np.random.default_rng(0).standard_normal((12, 12))
    for omega in (1.0, 1.3):
        rho = ((omega * beta + np.sqrt(omega**2 * beta**2 - 4 * (omega - 1))) / 2) ** 2
        history = sor(A, b, omega=omega, order=order, rtol=0, maxiter=200).residual_history
        assert (history[200] / history[100]) ** 0.01 == pytest.approx(rho, rel=2e-3)


@pytest.mark.parametrize("symmetric", [False, True], ids=["sor", "ssor"])
@pytest.mark.parametrize(
    "setting",
    [
        {"shape": (7, 9)},
        {
            "shape": (5, 6, 7),
            "spacing": (1.0, 0.5, 2.0),
            "bc": [("dirichlet", "neumann"), "neumann", "dirichlet"],
        },
        {"shape": (4, 6, 8), "bc": "periodic", "shift": 0.2},
        {"shape": (6, 7, 8), "obstacles": True},
        {
            "shape": (6, 7, 8),
            "obstacles": True,
            "variable": True,
            "bc": ["periodic", "dirichlet", "periodic"],
        },
        {"shape": (1, 9), "bc": "neumann", "shift": 0.1},
    ],
    ids=["2d", "3d-mixed", "3d-periodic", "3d-obstacles", "3d-variable", "1-cell-axis"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_red_black_is_natural_order_on_the_permuted_matrix(setting, symmetric, dtype):
    rng = np.random.default_rng(0)
    setting = dict(setting)
    shape = setting.pop("shape")
    if setting.pop("obstacles", False):
        setting["cells"] = rng.integers(0, 3, shape) * (rng.random(shape) < 0.3)
    if setting.pop("variable", False):
        setting["coefficient"] = 0.1 + rng.random(shape)
    A = PoissonOperator(shape, dtype=dtype, **setting)
    b, x0 = rng.standard_normal((2, *shape)).astype(dtype)
    solver = ssor if symmetric else sor
    run = {"omega": 1.3, "rtol": 0, "maxiter": 4}
    x = solver(A, b, x0=x0, order="red-black", **run).x
    order = np.concatenate([np.flatnonzero(c) for c in _colours(A)])
    permuted = A.astype("float64").tocsr()[order][:, order]
    expected = solver(
        permuted, b.reshape(-1)[order].astype(float), x0=x0.reshape(-1)[order].astype(float), **run
    ).x
    np.testing.assert_allclose(x.reshape(-1)[order], expected, atol=1e-12 if dtype == "float64" else 1e-5)


def test_history_of_red_black_sweeps_is_the_true_residual():
    A = PoissonOperator((9, 8), coefficient=np.random.default_rng(0).random((9, 8)) + 0.1)
    b = np.random.default_rng(1).standard_normal((9, 8))
    for solver in (sor, ssor):
        for steps in (1, 2, 5):
            result = solver(A, b, omega=1.4, order="red-black", rtol=0, maxiter=steps)
            assert result.residual_history[-1] == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=3),
    periodic=st.lists(st.booleans(), min_size=3, max_size=3),
    seed=st.integers(0, 100),
)
def test_cells_of_one_colour_are_not_coupled(shape, periodic, seed):
    cells = np.random.default_rng(seed).random(shape) < 0.2
    cells.flat[0] = False
    bc = ["periodic" if p else "dirichlet" for p in periodic[: len(shape)]]
    A = PoissonOperator(shape, bc=bc, cells=cells)
    colours = _colours(A)
    np.testing.assert_array_equal(np.sum(colours, axis=0), A.fluid)
    matrix = A.tocsr()
    for colour in colours:
        inside = np.flatnonzero(colour)
        block = matrix[inside][:, inside]
        assert (block - scipy.sparse.diags_array(block.diagonal())).count_nonzero() == 0


@pytest.mark.parametrize("solver", [sor, ssor])
def test_odd_periodic_axes_converge_in_every_order(solver):
    A = PoissonOperator((5, 7), bc="periodic", shift=0.3)
    b = np.random.default_rng(0).standard_normal((5, 7))
    for order in ("natural", "red-black"):
        assert solver(A, b, omega=1.2, order=order, rtol=1e-9).converged


@pytest.mark.parametrize("solver", [sor, ssor])
@pytest.mark.parametrize("omega", [0.0, 2.0, -1.0, np.nan, "best"])
def test_omega_out_of_range_is_refused(solver, omega):
    with pytest.raises(ValueError, match=r"omega is .*; expected a number with 0 < omega < 2"):
        solver(np.eye(2), np.ones(2), omega=omega)


def test_what_relaxation_cannot_take_is_named():
    with pytest.raises(ValueError, match=r"A has a zero on its diagonal \(row 1\)"):
        sor(np.array([[1.0, 2.0], [2.0, 0.0]]), np.ones(2))
    with pytest.raises(TypeError, match="sor takes no preconditioner"):
        sor(np.eye(2), np.ones(2), M=np.eye(2))
    with pytest.raises(TypeError, match="sor needs the entries of A, but A is a ForeignOperator"):
        sor(scipy.sparse.linalg.aslinearoperator(np.eye(2)), np.ones(2))
    with pytest.raises(TypeError, match="order is 'red-black' but A is a MatrixOperator"):
        sor(np.eye(2), np.ones(2), order="red-black")
    with pytest.raises(ValueError, match="order is 'rainbow'"):
        sor(np.eye(2), np.ones(2), order="rainbow")


def test_long_runs_keep_a_complete_history():
    # More sweeps than one compiled call makes.
    A = laplacian(30)
    result = sor(A, np.ones(900), omega=0.1, rtol=0, maxiter=9000)
    assert len(result.residual_history) == 9001
    assert all(
        b < a
        for a, b in zip(result.residual_history[100:2000], result.residual_history[101:2001], strict=True)
    )
