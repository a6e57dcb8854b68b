"""`solve`: what it picks, what it says, and where it goes when the first choice fails."""

import numpy as np
import pytest
import scipy.sparse

import sciml
from sciml import PoissonOperator, Status, solve
from sciml.operators import CallableOperator
from sciml.preconditioners import LU, PRECONDITIONERS
from sciml.solvers import auto
from sciml.solvers.registry import SOLVERS

RNG = np.random.default_rng(0)


def choice(result):
    return result.info["choice"]


def path_matrix(n, values=(-1.0, 2.0, -1.0)):
    return scipy.sparse.diags_array(values, offsets=[-1, 0, 1], shape=(n, n)).tocsr()


def test_box_goes_to_fast_transforms():
    result = solve(PoissonOperator((20, 21)), np.ones((20, 21)), rtol=1e-10)
    assert (result.solver, result.iterations) == ("fast_poisson", 1)
    assert choice(result).startswith("fft: A is an empty box")


@pytest.mark.parametrize(("backend", "chosen"), [("torch", "Multigrid"), ("array-api-strict", "Jacobi")])
def test_other_namespaces_take_what_runs_there(backend, chosen):
    from sciml.operators.stencil import namespace_named

    xp = namespace_named(backend)
    result = solve(PoissonOperator((8, 9), backend=backend), xp.ones((8, 9), dtype=xp.float64))
    assert result.solver == f"cg + {chosen}"
    assert backend in choice(result)


def test_dense_torch_matrix_goes_to_jacobi():
    torch = pytest.importorskip("torch")
    result = solve(torch.diag(torch.arange(1.0, 9.0)), torch.ones(8))
    assert result.converged
    assert result.solver == "cg + Jacobi"


def test_small_matrix_is_factorised():
    result = solve(path_matrix(50), np.ones(50))
    assert result.solver == "splu"
    assert "small matrix (50 unknowns)" in choice(result)


def test_large_positive_matrix_gets_amg():
    pytest.importorskip("pyamg")
    A = PoissonOperator((60, 61)).tocsr()
    result = solve(A, np.ones(3660), rtol=1e-8)
    assert result.solver == "cg + AMG(SA)"
    assert result.iterations < 20
    assert result.info["setup_seconds"] > 0


def test_without_pyamg_it_says_so(monkeypatch):
    monkeypatch.setattr(auto.importlib.util, "find_spec", lambda name: None)
    result = solve(PoissonOperator((60, 61)).tocsr(), np.ones(3660), rtol=1e-8)
    assert result.solver == "cg + IC(0)"
    assert "PyAMG is not installed" in choice(result)


def test_symmetric_indefinite_matrix_gets_minres():
    A = scipy.sparse.diags_array(np.concatenate([-np.linspace(1, 2, 1000), np.linspace(1, 3, 2000)]))
    result = solve(A, np.ones(3000))
    assert result.converged
    assert result.solver == "minres"
    assert "not positive definite" in choice(result)


def test_indefinite_matrix_with_positive_diagonal_falls_back(monkeypatch):
    monkeypatch.setattr(auto, "SMALL", 0)
    A = path_matrix(400, (-1.0, 1.5, -1.0))
    result = solve(A, np.ones(400), rtol=1e-8)
    assert result.converged
    assert result.solver == "splu"
    assert "; then splu" in choice(result)


def test_nonsymmetric_matrix_is_factorised_or_given_to_gmres(monkeypatch):
    A = path_matrix(2500, (-2.0, 5.0, -1.0))
    assert solve(A, np.ones(2500)).solver == "splu"
    monkeypatch.setattr(auto, "FACTORISABLE", 0)
    result = solve(A, np.ones(2500))
    assert result.converged
    assert result.solver == "gmres"
    assert "A is not Hermitian" in choice(result)


def test_numerically_singular_matrix_is_not_trusted_to_a_factorisation():
    A = path_matrix(80).tolil()
    A[0, 0] = A[79, 79] = 1.0  # pure Neumann
    b = RNG.standard_normal(80)
    result = solve(A.tocsr(), b - b.mean(), rtol=1e-8)
    assert result.converged
    assert result.solver != "splu"
    incompatible = solve(A.tocsr(), np.ones(80), on_failure="ignore")
    assert not incompatible.converged
    assert incompatible.residual_norm > 0.1 * np.sqrt(80)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [({"positive_definite", "symmetric"}, "cg"), ({"symmetric"}, "minres"), ({"linear"}, "gmres")],
    ids=["definite", "symmetric", "general"],
)
def test_operators_without_entries_go_by_what_they_declare(properties, expected):
    A = CallableOperator(lambda x: np.arange(1.0, 31.0) * x, 30, properties=properties)
    result = solve(A, np.ones(30))
    assert result.converged
    assert result.solver == expected


def test_given_preconditioner_is_used():
    A = path_matrix(300)
    assert solve(A, np.ones(300), M="ic0").solver == "cg + IC(0)"
    assert solve(A, np.ones(300), M=LU(A)).iterations == 1
    assert solve(A, np.ones(300), M=None).solver == "cg"


@pytest.mark.parametrize("method", [name for name in SOLVERS if name != "multigrid"])
def test_every_registered_name_solves(method):
    A = PoissonOperator((10, 11), shift=0.5)
    b = RNG.standard_normal((10, 11))
    result = solve(A, b, method=method, rtol=1e-9)
    assert result.converged
    assert np.linalg.norm(b - A @ result.x) <= 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("preconditioner", [name for name in PRECONDITIONERS if name != "multigrid"])
def test_every_registered_preconditioner_accelerates_cg(preconditioner):
    if preconditioner.startswith("amg"):
        pytest.importorskip("pyamg")
    A = PoissonOperator((24, 25), coefficient=np.exp(RNG.standard_normal((24, 25))))
    b = RNG.standard_normal((24, 25))
    result = solve(A, b, method=f"cg+{preconditioner}", rtol=1e-8)
    assert result.converged
    assert result.iterations < solve(A, b, method="cg", rtol=1e-8).iterations


def test_method_settings_are_passed_on_and_misspelt_ones_refused():
    A, b = PoissonOperator((12, 12)), np.ones((12, 12))
    assert solve(A, b, method="sor", omega=1.6).iterations < solve(A, b, method="sor").iterations
    with pytest.raises(TypeError, match="omeg"):
        solve(A, b, method="sor", omeg=1.6)
    with pytest.raises(TypeError, match=r"settings \['omega'\] need a named method"):
        solve(A, b, omega=1.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "newton"}, "method is 'newton'; expected one of cg"),
        ({"method": "cg+magic"}, "method is 'cg.magic'; expected one of jacobi"),
        ({"M": "magic"}, "M is 'magic'; expected 'auto', None, one of jacobi"),
    ],
)
def test_unknown_names_are_listed(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(np.eye(2), np.ones(2), **arguments)


def test_other_bad_arguments():
    with pytest.raises(TypeError, match="expected one preconditioner"):
        solve(np.eye(2), np.ones(2), method="cg+jacobi", M="ic0")
    with pytest.raises(TypeError, match="b is a list"):
        solve(np.eye(2), [1.0, 1.0])
    with pytest.raises(TypeError, match="A does not declare itself linear"):
        solve(CallableOperator(np.tanh, 2), np.ones(2))
    with pytest.raises(ValueError, match="expected a square operator"):
        solve(np.ones((2, 3)), np.ones(2))


def test_callback_stop_and_maxiter_end_the_search():
    A = PoissonOperator((60, 61)).tocsr()
    stopped = solve(A, np.ones(3660), M=None, callback=lambda state: True)
    assert stopped.status is Status.STOPPED
    limited = solve(A, np.ones(3660), M=None, maxiter=3, on_failure="ignore")
    assert limited.status is Status.MAXITER
    assert "then" not in choice(limited)
    with pytest.warns(sciml.SolverWarning, match="reached maxiter"):
        solve(A, np.ones(3660), M=None, maxiter=3)


EXAMPLES = {
    "airfoil": "definite",
    "bar": "definite",
    "knot": "definite",
    "local_disc_galerkin_diffusion": "definite",
    "unit_cube": "definite",
    "unit_square": "semidefinite",
    "helmholtz_2D": "complex",
    "recirc_flow": "nonsymmetric",
}


@pytest.mark.parametrize("factorise", [True, False], ids=["as-chosen", "iterative"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_matrices_that_pyamg_ships(name, factorise, monkeypatch):
    gallery = pytest.importorskip("pyamg.gallery")
    A = gallery.load_example(name)["A"]
    if not factorise:
        monkeypatch.setattr(auto, "SMALL", 0)
        monkeypatch.setattr(auto, "FACTORISABLE", 0)
    b = A @ np.random.default_rng(0).standard_normal(A.shape[0])
    result = solve(A, b, rtol=1e-8, on_failure="ignore")
    residual = np.linalg.norm(b - A @ result.x) / np.linalg.norm(b)
    assert result.converged == (residual <= 1e-8)
    if "definite" in EXAMPLES[name] or factorise:
        assert result.converged
    # Which ones are positive definite is decided here, not remembered: Cholesky refuses the others.
    if EXAMPLES[name] == "definite":
        np.linalg.cholesky(A.toarray())
    if EXAMPLES[name] == "semidefinite":
        np.testing.assert_allclose(A @ np.ones(A.shape[0]), 0, atol=1e-12)
