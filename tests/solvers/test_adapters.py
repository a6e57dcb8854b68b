"""SciPy's Krylov methods under our rule."""

import numpy as np
import pytest
import scipy.sparse

import sciml
from sciml import PoissonOperator, Status, bicgstab, gmres, minres
from sciml.operators import CallableOperator
from sciml.preconditioners import Jacobi


@pytest.fixture(scope="module")
def convection():
    """Upwinded convection–diffusion: regular, not symmetric."""
    n = 200
    A = scipy.sparse.diags_array([-2.0, 3.0, -0.9], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    return A, np.random.default_rng(0).standard_normal(n)


@pytest.mark.parametrize("solver", [gmres, bicgstab])
def test_nonsymmetric_systems(solver, convection):
    A, b = convection
    result = solver(A, b, rtol=1e-10)
    assert result.converged
    np.testing.assert_allclose(result.x, scipy.sparse.linalg.spsolve(A.tocsc(), b), rtol=1e-7, atol=1e-9)


def test_full_gmres_residuals_are_minimal_over_the_krylov_space(convection):
    A, b = convection
    history = gmres(A, b, restart=8, rtol=0, maxiter=8).residual_history
    basis = [b]
    for step in range(1, 9):
        K = np.stack([v / np.linalg.norm(v) for v in basis], axis=1)
        y = np.linalg.lstsq(A @ K, b, rcond=None)[0]
        assert history[step] == pytest.approx(np.linalg.norm(b - A @ (K @ y)), rel=1e-6)
        basis.append(A @ basis[-1])


def test_gmres_history_is_unpreconditioned():
    A = PoissonOperator((10, 10), spacing=1e-3)
    b = np.random.default_rng(0).standard_normal((10, 10))
    result = gmres(A, b, M=Jacobi(A), restart=4, rtol=0, maxiter=4)
    assert result.residual_history[-1] == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-8)


def test_gmres_cycle_without_progress_is_stagnation():
    cyclic = np.roll(np.eye(6), 1, axis=0)  # GMRES(3) makes no progress at all on a cyclic shift
    result = gmres(cyclic, np.eye(6)[0], restart=3, on_failure="ignore")
    assert result.status is Status.STAGNATED
    assert gmres(cyclic, np.eye(6)[0], restart=6).converged


def test_minres_residuals_never_grow_on_an_indefinite_matrix():
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate([-np.linspace(1, 5, 15), np.linspace(1, 20, 35)])
    Q, _ = np.linalg.qr(rng.standard_normal((50, 50)))
    A = (Q * eigenvalues) @ Q.T
    A = 0.5 * (A + A.T)
    result = minres(A, rng.standard_normal(50), rtol=1e-9)
    assert result.converged
    assert np.all(np.diff(result.residual_history) <= 1e-10)


def test_minres_refuses_nothing_silently_about_its_preconditioner():
    A = np.diag([1.0, 2.0, 3.0])
    negative = minres(A, np.ones(3), M=-np.eye(3), on_failure="ignore")
    assert negative.status is Status.BREAKDOWN


@pytest.mark.parametrize("solver", [gmres, minres, bicgstab])
def test_nonlinear_preconditioner_is_refused(solver):
    M = CallableOperator(np.tanh, 3)
    with pytest.raises(
        TypeError, match=r"M does not declare itself linear; .* needs a linear preconditioner"
    ):
        solver(np.eye(3), np.ones(3), M=M)


@pytest.mark.parametrize("restart", [0, -3, 2.5])
def test_restart_is_checked(restart):
    with pytest.raises(ValueError, match=r"restart is .*; expected an integer >= 1"):
        gmres(np.eye(3), np.ones(3), restart=restart)


@pytest.mark.parametrize("solver", [gmres, minres, bicgstab])
def test_singular_incompatible_matrix_does_not_converge(solver):
    result = solver(np.diag([1.0, 2.0, 0.0]), np.ones(3), on_failure="ignore")
    assert not result.converged
    assert result.residual_norm >= 1.0 - 1e-12


def test_matvecs_are_counted():
    calls = 0

    def apply(x):
        nonlocal calls
        calls += 1
        return np.arange(1.0, 21.0) * x

    A = CallableOperator(apply, 20, properties={"symmetric", "positive_definite"})
    for solver in (gmres, minres, bicgstab, sciml.cg, sciml.fcg):
        calls = 0
        assert solver(A, np.ones(20)).matvecs == calls
