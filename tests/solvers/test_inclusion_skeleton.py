"""The same promises for every solver of inclusions: honest residuals, exact counts, clear errors."""

import itertools
import math

import numpy as np
import pytest

from sciml import (
    PoissonOperator,
    SolverError,
    SolverWarning,
    Status,
    constrained_qp,
    eag,
    extragradient,
    forward_backward,
    halpern,
    matrix_game,
    projected_multigrid,
    projected_sor,
    vr_extragradient,
)
from sciml.backends.namespace import to_numpy
from sciml.operators import AffineSum, Box, ComponentSum, LeastSquares, NonNegative

R = np.random.default_rng(7)
A = R.standard_normal((12, 5))
B = R.standard_normal((5, 5))
SPD = B @ B.T + np.eye(5)
GRID = PoissonOperator((8, 8), spacing=1 / 8)


def lsq(f=np.asarray):
    return LeastSquares(f(A), f(A @ np.arange(-2.0, 3.0)), G=NonNegative())


def lcp(f=np.asarray):
    return AffineSum(f(SPD), f(np.array([1.0, -2.0, 3.0, -4.0, 5.0])), cocoercive=True, G=NonNegative())


def grid(f=np.asarray, **where):
    A = PoissonOperator((8, 8), spacing=1 / 8, **where)
    return AffineSum(A, f(np.full((8, 8), 10.0)), G=Box(upper=0.4))


def skew(f=np.asarray):
    return constrained_qp(f(np.eye(5)), f(np.ones(5)), f(A[:3]), f(np.zeros(3)))


SOLVERS = {
    "halpern-fb": (halpern, lsq, {}),
    "halpern-pd": (halpern, skew, {}),
    "halpern-page": (halpern, lsq, {"variance_reduction": "page"}),
    "halpern-forb": (halpern, skew, {"variance_reduction": "forb", "inner_epochs": 1.0}),
    "extragradient": (extragradient, skew, {}),
    "eag": (eag, skew, {"restart": "adaptive"}),
    "vr-extragradient": (vr_extragradient, skew, {}),
    "forward-backward": (forward_backward, lsq, {}),
    "accelerated": (forward_backward, lsq, {"accelerated": True}),
    "projected-sor-rows": (projected_sor, lcp, {}),
    "projected-sor-grid": (projected_sor, grid, {"omega": 1.4}),
    "projected-multigrid": (projected_multigrid, grid, {}),
}
every_solver = pytest.mark.parametrize(("solver", "make", "settings"), SOLVERS.values(), ids=SOLVERS)
NAMESPACES = [name for name in SOLVERS if name not in ("projected-sor-rows", "projected-multigrid")]


class Counting:
    """Wraps a finite sum and counts what is really evaluated."""

    def __init__(self, F):
        self.F, self.count = F, 0
        for name in ("n", "lipschitz", "lipschitz_full", "cocoercive", "in_shape", "dtype", "G", "sample"):
            setattr(self, name, getattr(F, name))

    def full(self, u):
        self.count += self.n
        return self.F.full(u)

    def difference(self, batch, u, v):
        self.count += 2 * len(batch)
        return self.F.difference(batch, u, v)


def start(F):
    return np.full(F.in_shape, 0.1)


def true_residual(F, u):
    """‖F(u) + g‖ with the best g, for boxes and the whole space."""
    r = F.full(u)
    for G, s in zip(getattr(F.G, "sets", [F.G]), _parts(F), strict=True):
        if isinstance(G, Box):
            at_lower, at_upper = u[s] <= G.lower, u[s] >= G.upper
            r[s] = np.where(at_lower, np.minimum(r[s], 0), np.where(at_upper, np.maximum(r[s], 0), r[s]))
    return float(np.linalg.norm(r))


def _parts(F):
    edges = getattr(F.G, "edges", None)
    return [...] if edges is None else [slice(a, b) for a, b in itertools.pairwise(edges)]


@every_solver
def test_converges_to_what_it_claims(solver, make, settings):
    F = make()
    result = solver(F, start(F), rtol=1e-6, **settings)
    assert result.converged
    assert result.residual_norm <= result.tolerance
    assert result.residual_history[-1] == result.residual_norm
    assert result.tolerance == pytest.approx(1e-6 * result.residual_history[0])
    assert true_residual(F, result.x) <= result.residual_norm * (1 + 1e-6) + 1e-12
    assert np.allclose(F.G.resolvent(result.x, 1.0), result.x, atol=0)
    assert result.info["epochs"] == result.info["evaluations"] / F.n
    assert math.ceil(result.info["epochs"]) == result.matvecs


@every_solver
def test_starting_at_the_solution_ends_at_once(solver, make, settings):
    F = make()
    solution = solver(F, start(F), rtol=1e-11, maxiter=500_000, on_failure="ignore", **settings).x
    result = solver(F, solution, atol=1e-3, **settings)
    assert result.converged
    assert result.iterations == 0


@every_solver
def test_fixed_number_of_iterations(solver, make, settings):
    F = make()
    result = solver(F, start(F), rtol=0, atol=0, maxiter=1, **settings)
    assert result.status is Status.FIXED
    assert result.iterations >= 1


@every_solver
def test_budget_in_epochs(solver, make, settings):
    F = make()
    result = solver(F, start(F), rtol=0, atol=0, max_epochs=7, **settings)
    assert result.status is Status.FIXED
    assert result.info["epochs"] >= 7


@every_solver
def test_maxiter_is_reported_and_warned_about(solver, make, settings):
    F = make()
    with pytest.warns(SolverWarning, match="reached maxiter"):
        result = solver(F, start(F), rtol=1e-15, maxiter=1, **settings)
    assert result.status is Status.MAXITER
    with pytest.raises(SolverError, match="reached maxiter"):
        solver(F, start(F), rtol=1e-15, maxiter=1, on_failure="raise", **settings)


@every_solver
def test_callback_sees_epochs_and_stops(solver, make, settings):
    F, seen = make(), []

    def callback(state):
        seen.append((state.iteration, state.epochs, state.x.shape))
        return len(seen) == 2

    result = solver(F, start(F), rtol=1e-14, callback=callback, **settings)
    assert result.status is Status.STOPPED
    assert len(seen) == 2
    assert seen[0][1] < seen[1][1]
    assert seen[0][2] == F.in_shape


@every_solver
def test_flat_start_gives_flat_solution_and_start_is_kept(solver, make, settings):
    F = make()
    u0 = start(F).reshape(-1)
    kept = u0.copy()
    result = solver(F, u0, rtol=1e-5, **settings)
    assert result.x.shape == u0.shape
    assert np.array_equal(u0, kept)


@pytest.mark.parametrize("name", [n for n in SOLVERS if "projected" not in n and n != "halpern-pd"])
def test_oracle_counts_are_exact(name):
    solver, make, settings = SOLVERS[name]
    F = Counting(make())
    result = solver(F, start(F.F), rtol=1e-4, **settings)
    assert result.info["evaluations"] == F.count


def test_oracle_count_of_the_primal_dual_map_is_exact():
    F = skew()
    products = {"A": 0, "AT": 0}
    matvec, rmatvec = F.A.matvec, F.A.rmatvec
    F.A.matvec = lambda x: (products.__setitem__("A", products["A"] + 1), matvec(x))[1]
    F.A.rmatvec = lambda y: (products.__setitem__("AT", products["AT"] + 1), rmatvec(y))[1]
    result = halpern(F, start(F), rtol=1e-6)
    assert result.info["evaluations"] == products["A"] * F.n == products["AT"] * F.n


@pytest.mark.parametrize("name", ["halpern-page", "halpern-forb", "vr-extragradient"])
def test_random_methods_are_reproducible_from_their_seed(name):
    solver, make, settings = SOLVERS[name]
    F = make()
    runs = [solver(F, start(F), rtol=0, atol=0, max_epochs=20, seed=s, **settings).x for s in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("name", NAMESPACES)
def test_same_result_in_every_namespace(name, namespace):
    solver, make, settings = SOLVERS[name]
    where = namespace.operator_settings if make is grid else {}
    F, reference = make(namespace.array, **where), make()
    u0 = namespace.array(start(reference))
    # Few iterations, so that the same random numbers must have led along the same path.
    limits = {"rtol": 0, "atol": 0, "max_epochs": 12}
    there, here = (
        solver(F, u0, **limits, **settings),
        solver(reference, start(reference), **limits, **settings),
    )
    assert type(there.x) is type(u0)
    assert there.info["evaluations"] == here.info["evaluations"]
    assert np.allclose(to_numpy(there.x), here.x, rtol=1e-7, atol=1e-9)


def test_projected_multigrid_in_every_namespace_with_a_portable_preconditioner(namespace):
    F = grid(namespace.array, **namespace.operator_settings)
    u0 = namespace.array(np.zeros((8, 8)))
    result = projected_multigrid(F, u0, rtol=1e-8, preconditioner="jacobi")
    assert result.converged
    expected = projected_multigrid(grid(), np.zeros((8, 8)), rtol=1e-8).x
    assert np.allclose(to_numpy(result.x), expected, atol=1e-8)


@pytest.mark.parametrize("name", ["halpern-fb", "halpern-pd", "eag", "projected-sor-grid"])
def test_float32_stays_float32_and_is_honest(name):
    solver, make, settings = SOLVERS[name]
    where = {"dtype": "float32"} if make is grid else {}
    F = make(lambda x: np.asarray(x, dtype=np.float32), **where)
    result = solver(F, start(F).astype(np.float32), rtol=1e-4, **settings)
    assert result.converged
    assert result.x.dtype == np.float32
    assert true_residual(make(), result.x.astype(float)) <= 1.1 * result.tolerance


@every_solver
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rtol": -1.0}, ValueError, "rtol is -1.0"),
        ({"atol": math.nan}, ValueError, "atol is nan"),
        ({"maxiter": 1.5}, ValueError, "maxiter is 1.5"),
        ({"max_epochs": 0}, ValueError, "max_epochs is 0"),
        ({"rtol": 0, "atol": 0}, ValueError, "expected maxiter to say how many"),
        ({"callback": 3}, TypeError, "callback is a int"),
        ({"on_failure": "hope"}, ValueError, "on_failure is 'hope'"),
        ({"tolerance": 1e-3}, TypeError, "tolerance"),
        ({"G": 3}, TypeError, "G is a int without resolvent"),
        ({"u0": [1.0, 2.0]}, TypeError, "u0 is a list"),
        ({"u0": np.ones(3, dtype=int)}, TypeError, "u0 has dtype int64"),
        ({"u0": np.ones(77)}, ValueError, "u0 has shape"),
        ({"u0": "nan"}, ValueError, "u0 holds a value that is not finite"),
        ({"F": np.eye(3)}, TypeError, "Wrap a matrix or operator in AffineSum"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else None,
)
def test_bad_arguments(solver, make, settings, change, error, message):
    F = make()
    arguments = {"F": F, "u0": start(F), **settings, **change}
    if isinstance(arguments["u0"], str):
        arguments["u0"] = np.full(F.in_shape, np.nan)
    with pytest.raises(error, match=message):
        solver(arguments.pop("F"), arguments.pop("u0"), **arguments)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, None])
def test_bad_lipschitz_constants_are_named(value):
    F = lsq()
    F.lipschitz = value
    with pytest.raises(ValueError, match=r"F\.lipschitz is"):
        halpern(F, start(F))


def test_a_map_that_is_not_monotone_is_noticed():
    F = ComponentSum([lambda u: -u + 1.0], (3,), lipschitz=1.0)
    with pytest.raises(ValueError, match="F is not monotone"):
        extragradient(F, np.arange(3.0), rtol=1e-8)


def test_nan_is_reported():
    def blow_up(u):
        return np.where(u < 0.5, np.nan, u) if np.ndim(u) else u

    F = ComponentSum([blow_up], (3,), lipschitz=1.0)
    result = extragradient(F, np.ones(3), on_failure="ignore")
    assert result.status is Status.NONFINITE
    with pytest.raises(ValueError, match=r"F\(u0\) holds a value that is not finite"):
        extragradient(F, np.zeros(3))


def test_mixed_libraries_are_refused():
    torch = pytest.importorskip("torch")
    game = matrix_game(A)
    with pytest.raises(TypeError):
        halpern(game, torch.ones(17, dtype=torch.float64))
