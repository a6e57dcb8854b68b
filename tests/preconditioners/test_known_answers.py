"""Each preconditioner against its defining formula."""

import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import PoissonOperator, as_operator, cg
from sciml.backends.namespace import to_numpy
from sciml.operators.stencil import namespace_named
from sciml.preconditioners import AMG, FFT, LU, PRECONDITIONERS, SSOR, IncompleteCholesky, Jacobi

RNG = np.random.default_rng(11)


def spd(n=12):
    B = RNG.standard_normal((n, n))
    return B @ B.T + n * np.eye(n)


# -- Jacobi -----------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", ["numpy", "torch", "array-api-strict"])
def test_jacobi_divides_by_the_diagonal_in_every_namespace(backend):
    xp = namespace_named(backend)
    A = PoissonOperator((4, 5), backend=backend, bc=[("dirichlet", "neumann"), "dirichlet"])
    x = RNG.standard_normal((4, 5))
    z = Jacobi(A) @ xp.asarray(x.tolist(), dtype=xp.float64)
    np.testing.assert_allclose(to_numpy(z).reshape(-1), x.reshape(-1) / to_numpy(A.diagonal()))


def test_jacobi_of_an_indefinite_diagonal_declares_less():
    assert "positive_definite" not in Jacobi(np.diag([1.0, -2.0])).properties
    assert "symmetric" not in Jacobi(np.diag([1.0, 2.0j])).properties
    x, y = RNG.standard_normal((2, 2)) + 1j * RNG.standard_normal((2, 2))
    M = Jacobi(np.diag([1.0, 2.0j]))
    assert np.vdot(y, M @ x) == pytest.approx(np.vdot(M.rmatvec(y), x))


def test_jacobi_refuses_a_zero_on_the_diagonal():
    with pytest.raises(ValueError, match=r"A has the diagonal entry 0\.0 in row 1"):
        Jacobi(np.array([[1.0, 2.0], [3.0, 0.0]]))
    with pytest.raises(TypeError, match="needs the diagonal of A"):
        Jacobi(scipy.sparse.linalg.aslinearoperator(np.eye(2)) * 2)


def test_jacobi_does_not_mix_libraries():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="different array libraries"):
        Jacobi(np.eye(3)) @ torch.ones(3)


# -- SSOR -------------------------------------------------------------------------------------
@pytest.mark.parametrize("omega", [0.6, 1.0, 1.8])
@pytest.mark.parametrize("kind", ["symmetric", "hermitian", "general"])
def test_ssor_formula(omega, kind):
    A = spd()
    if kind == "hermitian":
        C = RNG.standard_normal((12, 12))
        A = A + 1j * (C - C.T)
    if kind == "general":
        A = A + np.triu(RNG.standard_normal((12, 12)), 1)
    D, L, U = np.diag(np.diag(A)), np.tril(A, -1), np.triu(A, 1)
    M = (D + omega * L) @ np.linalg.inv(D) @ (D + omega * U) / (omega * (2 - omega))
    r = RNG.standard_normal(12)
    operator = SSOR(scipy.sparse.csr_array(A), omega)
    np.testing.assert_allclose(operator @ r, np.linalg.solve(M, r), rtol=1e-10)
    np.testing.assert_allclose(operator.rmatvec(r), np.linalg.solve(M.conj().T, r), rtol=1e-10)
    assert ("symmetric" in operator.properties) == (kind != "general")


def test_ssor_checks_its_arguments():
    for omega in (0.0, 2.0, None):
        with pytest.raises(ValueError, match="omega is"):
            SSOR(np.eye(2), omega)
    with pytest.raises(ValueError, match=r"zero on its diagonal \(row 0\)"):
        SSOR(np.array([[0.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(TypeError, match="SSOR needs the entries of A"):
        SSOR(scipy.sparse.linalg.aslinearoperator(np.eye(2)))


# -- incomplete Cholesky ----------------------------------------------------------------------
def test_ic0_without_fill_is_exact():
    A = scipy.sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(30, 30)).tocsr()
    r = RNG.standard_normal(30)
    np.testing.assert_allclose(A @ (IncompleteCholesky(A) @ r), r, rtol=1e-12)


def test_ic0_of_a_full_pattern_is_cholesky():
    A, r = spd(), RNG.standard_normal(12)
    np.testing.assert_allclose(IncompleteCholesky(A) @ r, np.linalg.solve(A, r), rtol=1e-10)


def test_ic0_agrees_with_the_matrix_on_its_pattern():
    A = PoissonOperator((5, 6, 4), coefficient=np.exp(RNG.standard_normal((5, 6, 4)))).tocsr()
    M = np.linalg.inv(IncompleteCholesky(A) @ np.eye(120))
    inside = A.toarray() != 0
    np.testing.assert_allclose(M[inside], A.toarray()[inside], rtol=1e-9)
    assert np.abs(M[~inside]).max() > 1e-3  # there is fill outside, which IC(0) does not correct


def test_mic0_kernel_preserves_row_sums_when_all_fill_is_moved():
    from sciml.backends.kernels.numba.incomplete import grid_pivots
    from sciml.preconditioners.triangular import TriangularPair, grid_data

    cells = RNG.random((5, 6, 4)) < 0.2
    A = PoissonOperator((5, 6, 4), cells=cells, shift=0.1)
    diagonal, faces = grid_data(A)
    e = np.empty_like(diagonal)
    grid_pivots(diagonal, faces, A.weights3, A.grid3, 1.0, 0.0, e)
    M = TriangularPair(A, {"symmetric"}, e, faces=faces)
    ones = A.fluid.astype(float)
    np.testing.assert_allclose(M @ (A @ ones), ones, atol=1e-10)


def test_mic0_beats_ic0_increasingly_with_size():
    gains = []
    for n in (24, 96):
        A, b = PoissonOperator((n, n)), np.ones((n, n))
        plain = cg(A, b, M=IncompleteCholesky(A)).iterations
        gains.append(plain / cg(A, b, M=IncompleteCholesky(A, modified=True)).iterations)
    assert 1.2 < gains[0] < gains[1]


def test_ic0_enlarges_the_diagonal_where_the_factorisation_breaks_down():
    # Kershaw's matrix (1978): positive definite, yet IC(0) meets a negative pivot.
    A = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(A)[0] > 0
    M = IncompleteCholesky(A)
    assert M.shift > 0
    assert f"enlarged by {M.shift:g}" in repr(M)
    assert np.linalg.eigvalsh(M @ np.eye(4))[0] > 0
    assert cg(A, np.ones(4), M=M).converged


def test_incomplete_cholesky_checks_its_matrix():
    with pytest.raises(ValueError, match="A is not symmetric"):
        IncompleteCholesky(np.array([[2.0, 1.0], [0.0, 2.0]]))
    with pytest.raises(ValueError, match=r"diagonal entry -1\.0 in row 1"):
        IncompleteCholesky(np.diag([1.0, -1.0]))
    with pytest.raises(TypeError, match="expects a real matrix"):
        IncompleteCholesky(np.eye(2, dtype=complex))
    with pytest.raises(TypeError, match=r"MIC\(0\) expects a PoissonOperator"):
        IncompleteCholesky(np.eye(2), modified=True)


# -- FFT --------------------------------------------------------------------------------------
SIDES = ["dirichlet", "neumann", "periodic", ("dirichlet", "neumann"), ("neumann", "dirichlet")]


@settings(max_examples=60, deadline=None)
@given(
    axes=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(SIDES), st.sampled_from([0.1, 1.0, 7.0])),
        min_size=2,
        max_size=3,
    ),
    shift=st.sampled_from([0.0, 0.3]),
    coefficient=st.sampled_from([None, 2.5]),
)
def test_fft_inverts_every_empty_box(axes, shift, coefficient):
    shape = tuple(n for n, _, _ in axes)
    k = None if coefficient is None else np.full(shape, coefficient)
    A = PoissonOperator(
        shape, bc=[bc for _, bc, _ in axes], spacing=[h for _, _, h in axes], shift=shift, coefficient=k
    )
    M = FFT(A)
    assert M.exact
    b = A.project(np.random.default_rng(0).standard_normal(shape))
    np.testing.assert_allclose(A @ (M @ b), b, atol=1e-9)


def test_fft_is_not_called_exact_where_it_is_not():
    shape = (6, 7)
    assert not FFT(PoissonOperator(shape, cells=np.eye(6, 7, dtype=bool))).exact
    assert not FFT(PoissonOperator(shape, coefficient=1 + np.eye(6, 7))).exact
    assert not FFT(PoissonOperator(shape, shift=np.eye(6, 7))).exact


def test_fft_needs_a_grid():
    with pytest.raises(TypeError, match="FFT expects a PoissonOperator, but A is a MatrixOperator"):
        FFT(np.eye(3))


def test_fft_float32_solves_to_float32_precision():
    A = PoissonOperator((20, 30), dtype="float32")
    b = RNG.standard_normal((20, 30)).astype("float32")
    z = FFT(A) @ b
    assert z.dtype == np.float32
    assert np.linalg.norm(b - A @ z) < 1e-4 * np.linalg.norm(b)


# -- AMG and LU -------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["smoothed_aggregation", "ruge_stuben"])
def test_amg_iterations_do_not_grow(method):
    pytest.importorskip("pyamg")
    counts = []
    for n in (32, 96):
        A = PoissonOperator((n, n))
        counts.append(cg(A, np.ones((n, n)), M=AMG(A, method=method), rtol=1e-8).iterations)
    assert counts[1] <= counts[0] + 4 < 20


def test_amg_passes_settings_on_and_checks_its_own():
    pytest.importorskip("pyamg")
    A = PoissonOperator((32, 32))
    assert len(AMG(A, max_levels=2).hierarchy.levels) == 2
    with pytest.raises(TypeError, match="max_level"):
        AMG(A, max_level=2)
    with pytest.raises(ValueError, match="method is 'magic'"):
        AMG(A, method="magic")
    with pytest.raises(ValueError, match="cycle is 'Z'"):
        AMG(A, cycle="Z")
    with pytest.raises(TypeError, match="expects a real matrix"):
        AMG(np.eye(3, dtype=complex), method="ruge_stuben")


def test_amg_without_pyamg_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyamg", None)
    with pytest.raises(ImportError, match=r'pip install "sciml\[amg\]"'):
        AMG(np.eye(3))


def test_amg_of_a_nonsymmetric_matrix_does_not_declare_symmetry():
    pytest.importorskip("pyamg")
    A = scipy.sparse.diags_array([-2.0, 4.0, -1.0], offsets=[-1, 0, 1], shape=(300, 300)).tocsr()
    assert AMG(A).properties == {"linear"}


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_lu_and_its_adjoint(kind):
    A = spd() + np.triu(RNG.standard_normal((12, 12)), 1) * (1j if kind == "complex" else 1)
    x = RNG.standard_normal(12) + 1j * RNG.standard_normal(12)
    M = LU(A)
    np.testing.assert_allclose(M @ x, np.linalg.solve(A, x), rtol=1e-9)
    np.testing.assert_allclose(M.rmatvec(x), np.linalg.solve(A.conj().T, x), rtol=1e-9)


@pytest.mark.parametrize("kind", ["neumann", "pockets"])
def test_lu_of_a_singular_grid_is_the_pseudo_inverse(kind):
    cells = np.zeros((6, 8), dtype=bool)
    cells[:, 3] = kind == "pockets"
    A = PoissonOperator((6, 8), bc="neumann", cells=cells)
    np.testing.assert_allclose(LU(A) @ np.eye(48), np.linalg.pinv(A.tocsr().toarray()), atol=1e-10)


def test_lu_measures_how_singular_the_matrix_is():
    nearly = np.array([[1.0, 1.0], [1.0, 1.0 + 4e-16]])
    assert LU(nearly).smallest_pivot < 1e-15
    badly_scaled = np.diag([1.0, 1e-20])
    assert LU(badly_scaled).smallest_pivot == 1.0


def test_amg_set_up_is_reproducible_and_leaves_the_random_state_alone():
    pytest.importorskip("pyamg")
    A, r = PoissonOperator((32, 32)), RNG.standard_normal((32, 32))
    np.random.seed(5)  # noqa: NPY002
    first = AMG(A) @ r
    after = np.random.random()  # noqa: NPY002
    np.testing.assert_array_equal(AMG(A) @ r, first)
    np.random.seed(5)  # noqa: NPY002
    assert after == np.random.random()  # noqa: NPY002


def test_properties_follow_the_operator():
    A = as_operator(spd(), properties={"symmetric", "positive_definite"})
    for make in (AMG, LU):
        assert "positive_definite" in make(A).properties
        assert "positive_definite" not in make(spd()).properties


def test_every_name_builds_a_preconditioner():
    A = PoissonOperator((12, 13))
    for name, build in PRECONDITIONERS.items():
        if name != "multigrid":
            assert build(A).shape == A.shape
