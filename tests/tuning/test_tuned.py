"""`tuned` as a solver: any parameter, caps, failures; and SOR that adapts by itself."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import sciml
from sciml import PoissonOperator, SolverError, SolverWarning, Status, cg, sor, tuned
from sciml.preconditioners import SSOR, IncompleteCholesky, Jacobi
from sciml.testing import check_solver
from sciml.tuning import (
    Fixed,
    GaussianProcessCB,
    Oracle,
    Policy,
    TsallisINF,
    adaptive_sor,
    omega_grid,
    young_omega,
)

N = 10
A = PoissonOperator((N, N))
MATRIX = A.tocsr()


@pytest.fixture
def b(rng) -> np.ndarray:
    return rng.standard_normal((N, N))


class Script(Policy):
    """Plays given arms in turn and keeps what it is told."""

    def __init__(self, arms: Any, order: list[int]):
        super().__init__(arms)
        self.order, self.seen = order, []

    def _choose(self, context):
        self._pending = self.order[self.rounds % len(self.order)]
        return self.arms[self._pending]

    def _learn(self, cost, result):
        self.seen.append((self._context, cost, result))


def test_gives_what_the_solver_gives(b):
    plain = sor(A, b, omega=1.5, rtol=1e-8)
    result = tuned(sor, policy=Fixed(1.5))(A, b, rtol=1e-8)
    np.testing.assert_array_equal(result.x, plain.x)
    assert result.iterations == plain.iterations
    assert result.converged
    assert result.solver == "tuned sor (omega = 1.5)"
    assert result.info["tuned"]["arm"] == 1.5
    assert result.info["tuned"]["cost"] == plain.iterations
    assert not result.info["tuned"]["failed"]


@pytest.mark.parametrize("cost", ["iterations", "matvecs", "seconds"])
def test_policy_sees_cost_context_and_result(b, cost):
    policy = Script([1.0, 1.5], [1])
    result = tuned(sor, policy=policy, cost=cost)(A, b, context=0.25)
    [(context, paid, seen)] = policy.seen
    assert context == 0.25
    assert seen.residual_history == result.residual_history
    if cost == "seconds":
        assert 0 < paid <= result.seconds
    else:
        assert paid == getattr(result, cost)


def test_tunes_a_preconditioner(b):
    result = tuned(cg, parameter="omega", preconditioner=SSOR, policy=Fixed(1.6))(A, b)
    assert result.iterations == cg(A, b, M=SSOR(A, omega=1.6)).iterations


def test_tunes_a_setting_of_the_solver(b):
    result = tuned(sciml.fcg, parameter="memory", policy=Fixed(2))(A, b, M=Jacobi(A))
    assert result.iterations == sciml.fcg(A, b, M=Jacobi(A), memory=2).iterations


def test_chooses_the_preconditioner(b):
    arms = [None, Jacobi, partial(IncompleteCholesky, modified=True), SSOR(A, omega=1.5)]
    policy = Script(arms, [0, 1, 2, 3])
    solve = tuned(cg, parameter="M", policy=policy)
    expected = [
        cg(A, b, M=M).iterations for M in (None, Jacobi(A), IncompleteCholesky(A, modified=True), arms[3])
    ]
    assert [solve(A, b).iterations for _ in arms] == expected


def test_reuse_builds_once_per_operator(b):
    built = []

    def build(A):
        built.append(A)
        return Jacobi(A)

    other = PoissonOperator((N, N), shift=1.0)
    solve = tuned(cg, parameter="M", policy=Fixed(build), reuse=True)
    for operator in (A, A, other, other):
        solve(operator, b)
    assert built == [A, other]
    solve = tuned(cg, parameter="M", policy=Fixed(build))
    for _ in range(2):
        solve(A, b)
    assert len(built) == 4


def test_wrapped_with_the_defaults_it_finds_a_good_omega(rng):
    """The reason for all this: related systems, one line, and after a while omega is right."""
    policy = GaussianProcessCB(omega_grid(1.0, 1.95, 40), seed=0)
    solve = tuned(sor, parameter="omega", policy=policy)
    identity = scipy.sparse.eye_array(N * N, format="csr")
    iterations, reference = [], []
    for _ in range(120):
        c = rng.uniform(0.0, 100.0)
        system, rhs = MATRIX + c * identity, rng.standard_normal(N * N)
        iterations.append(solve(system, rhs, context=c, rtol=1e-8).iterations)
        reference.append(
            min(sor(system, rhs, omega=w, rtol=1e-8).iterations for w in (1.2, 1.35, 1.5, 1.6, 1.7))
        )
    assert sum(iterations[40:]) < 1.15 * sum(reference[40:])
    assert sum(iterations[40:]) < 0.6 * 80 * sor(MATRIX, np.ones(N * N), rtol=1e-8).iterations


# -- caps and failures ------------------------------------------------------------------------
def test_capped_solve_is_finished_by_the_cheapest_arm(b):
    policy = Script([1.0, 1.7], [1, 0])
    solve = tuned(sor, policy=policy, cap=40)
    solve(A, b, rtol=1e-8)  # with omega = 1.7
    result = solve(A, b, rtol=1e-8)  # omega = 1 needs far more than 40 sweeps
    assert result.converged
    assert result.info["tuned"] | {"policy_seconds": 0.0} == {
        "arm": 1.0, "cost": 40.0, "failed": True, "capped": True, "policy_seconds": 0.0,
    }  # fmt: skip
    assert 40 < result.iterations < sor(A, b, rtol=1e-8).iterations
    assert result.residual_norm <= 1e-8 * np.linalg.norm(b)
    assert policy.seen[1][1] == 40.0


def test_cap_and_maxiter_of_the_user(b):
    """The cap finishes a solve only within the iterations the user allows in total."""
    solve = tuned(sor, policy=Script([1.0, 1.05], [0]), cap=20)
    with pytest.warns(SolverWarning, match="reached maxiter"):
        result = solve(A, b, maxiter=30, rtol=1e-8)
    assert result.iterations == 30
    assert result.info["tuned"]["capped"]
    result = solve(A, b, maxiter=10, rtol=1e-8, on_failure="ignore")
    assert result.iterations == 10
    assert not result.info["tuned"]["capped"]


def test_capped_oracle_goes_on_with_its_arm(b):
    result = tuned(sor, policy=Oracle(lambda c: 1.3), cap=10)(A, b, context=0.0, rtol=1e-8)
    assert result.converged
    assert result.iterations == sor(A, b, omega=1.3, rtol=1e-8).iterations


def test_relative_cap(b):
    policy = Script([1.0, 1.7], [1, 1, 1, 1, 1, 0])
    solve = tuned(sor, policy=policy, cap_factor=1.5)
    costs = [solve(A, b, rtol=1e-8).info["tuned"]["cost"] for _ in range(6)]
    assert costs[5] == pytest.approx(1.5 * np.mean(costs[:5]))


def test_cap_in_seconds(b):
    def slow(A, b, *, omega, callback=None, **settings):
        def watch(state):
            time.sleep(0.002 if omega == 1.0 else 0.0)
            return callback is not None and callback(state)

        return sor(A, b, omega=omega, callback=watch, **settings)

    policy = Script([1.0, 1.7], [1, 0])
    solve = tuned(slow, policy=policy, cost="seconds", cap=0.03)
    solve(A, b, rtol=1e-8)
    result = solve(A, b, rtol=1e-8)
    assert result.converged
    assert result.info["tuned"]["capped"]
    assert 0.03 <= policy.seen[1][1] < 10.0


def test_slow_set_up_counts_in_full(b):
    """A cap cannot interrupt a set-up; what it took is what is learned."""

    def build(A):
        time.sleep(0.03)
        return Jacobi(A)

    policy = Script([build], [0])
    result = tuned(cg, parameter="M", policy=policy, cost="seconds", cap=0.005)(A, b, rtol=1e-10)
    assert result.converged
    assert result.info["tuned"]["capped"]
    assert policy.seen[0][1] >= 0.03


@pytest.mark.parametrize("cost", ["iterations", "matvecs"])
def test_failed_solve_counts_as_its_cap(b, cost):
    policy = Script([1.5], [0])
    solve = tuned(sor, policy=policy, cost=cost)
    with pytest.warns(SolverWarning, match="reached maxiter"):
        result = solve(A, b, maxiter=3)
    assert result.status is Status.MAXITER
    assert result.info["tuned"]["failed"]
    assert solve.failures == [1]
    assert policy.seen[0][1] == max(3, getattr(result, cost))
    with pytest.raises(SolverError):
        solve(A, b, maxiter=3, on_failure="raise")
    assert not solve(A, b, maxiter=3, on_failure="ignore").converged


def test_early_breakdown_is_not_cheap(b):
    """CG breaks down at once on an indefinite matrix; that must not look like the best arm."""
    policy = Script([None], [0])
    solve = tuned(cg, parameter="M", policy=policy)
    for system, rhs in ((-MATRIX, b.reshape(-1)), (-1.0 * A, b)):
        result = solve(system, rhs, on_failure="ignore")
        assert result.status is Status.BREAKDOWN
        assert policy.seen[-1][1] == 10 * N * N + 50


def test_trivial_and_broken_systems_teach_nothing(b):
    policy = Script([1.5], [0])
    solve = tuned(sor, policy=policy)
    assert solve(A, np.zeros((N, N))).converged
    with pytest.raises(ValueError, match="b holds a value that is not finite"):
        solve(A, np.full((N, N), np.nan))
    assert policy.rounds == 0
    assert solve.failures == [0]


def test_user_callback_still_stops(b):
    policy = Script([1.5], [0])
    result = tuned(sor, policy=policy, cap=1000)(A, b, callback=lambda state: state.iteration >= 4)
    assert result.status is Status.STOPPED
    assert result.iterations == 4
    assert policy.rounds == 0
    assert not result.info["tuned"]["failed"]


def test_saves_and_loads(b, tmp_path: Path):
    solves = [tuned(sor, policy=TsallisINF([1.0, 1.5, 1.8], seed=s)) for s in (0, 1)]
    for _ in range(10):
        solves[0](A, b)
    solves[0].save(tmp_path / "omega.json")
    solves[1].load(tmp_path / "omega.json")
    arms = [[solve(A, b).info["tuned"]["arm"] for _ in range(20)] for solve in solves]
    assert arms[0] == arms[1]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"policy": Fixed(2.0)}, ValueError, r"omega = 2.0; expected numbers in \(0, 2\)"),
        ({"policy": TsallisINF([0.0, 1.0])}, ValueError, r"omega = 0.0"),
        ({"policy": 1.5}, TypeError, "policy is a float; expected a Policy"),
        ({"cost": "watts"}, ValueError, "cost is 'watts'; expected one of iterations, seconds, matvecs"),
        ({"cap": 0}, ValueError, "cap is 0"),
        ({"cap": math.nan}, ValueError, "cap is nan"),
        ({"cap_factor": 0.5}, ValueError, "cap_factor is 0.5"),
        ({"parameter": "my omega"}, ValueError, "expected the name of a keyword"),
        ({"preconditioner": 3}, TypeError, "preconditioner is a int"),
        ({"caps": 3}, TypeError, "unexpected keyword"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        tuned(sor, **{"policy": Fixed(1.5), **settings})


def test_bad_solver():
    with pytest.raises(TypeError, match="solver is a str"):
        tuned("sor", policy=Fixed(1.5))


def test_bad_calls(b):
    solve = tuned(sor, policy=Fixed(1.5))
    with pytest.raises(TypeError, match="omega is given, but omega is what this tuned solver chooses"):
        solve(A, b, omega=1.2)
    with pytest.raises(TypeError, match="M is given"):
        tuned(cg, preconditioner=SSOR, policy=Fixed(1.5))(A, b, M=Jacobi(A))
    with pytest.raises(ValueError, match="on_failure is 'shout'"):
        solve(A, b, on_failure="shout")
    with pytest.raises(TypeError, match="unexpected keyword"):
        solve(A, b, tol=1e-3)
    with pytest.raises(ValueError, match="context is None"):
        tuned(sor, policy=GaussianProcessCB([1.0, 1.5], context_range=(0, 1)))(A, b)


# -- the contract of every solver -------------------------------------------------------------
NO_PRECONDITIONER = {"preconditioner", "nonlinear_preconditioner"}


@pytest.mark.parametrize(
    ("solver", "skip"),
    [
        (tuned(sor, policy=Fixed(1.4)), NO_PRECONDITIONER),
        (tuned(sor, policy=TsallisINF([1.4, 1.5])), {*NO_PRECONDITIONER, "scaled_rhs"}),  # arms differ
        (tuned(cg, preconditioner=SSOR, policy=Fixed(1.4)), NO_PRECONDITIONER),
        (tuned(sciml.fcg, parameter="memory", policy=Fixed(2)), set()),
        (tuned(cg, parameter="M", policy=Fixed(Jacobi), cap=10_000), NO_PRECONDITIONER),
        (adaptive_sor, NO_PRECONDITIONER),
    ],
    ids=["sor", "sor-tsallis", "cg-ssor", "fcg-memory", "cg-M", "adaptive-sor"],
)
def test_contract(solver, skip):
    check_solver(solver, skip=skip)


# -- Hageman and Young ------------------------------------------------------------------------
def five_point(n: int) -> scipy.sparse.csr_array:
    line = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    return scipy.sparse.csr_array(scipy.sparse.kronsum(line, line))


@pytest.mark.parametrize("n", [10, 25])
def test_adaptive_sor_approaches_the_optimal_omega(n, rng):
    matrix, rhs = five_point(n), rng.standard_normal(n * n)
    best = young_omega(math.cos(math.pi / (n + 1)))
    result = adaptive_sor(matrix, rhs, rtol=1e-8)
    assert result.converged
    omegas = [omega for _, omega in result.info["omegas"]]
    assert omegas == sorted(omegas)
    assert 2.0 - omegas[-1] == pytest.approx(2.0 - best, rel=0.15)
    assert result.iterations < 2.0 * sor(matrix, rhs, omega=best, rtol=1e-8).iterations


def test_adaptive_sor_that_starts_right_stays_near(rng):
    matrix, rhs = five_point(12), rng.standard_normal(144)
    best = young_omega(math.cos(math.pi / 13))
    result = adaptive_sor(matrix, rhs, omega=best + 0.02, rtol=1e-8)
    assert result.info["omegas"][-1][1] < best + 0.1
    assert result.iterations < 1.3 * sor(matrix, rhs, omega=best, rtol=1e-8).iterations


@pytest.mark.parametrize("omega", [0.0, 2.0, math.nan, "1"])
def test_adaptive_sor_checks_omega(omega):
    with pytest.raises(ValueError, match=r"omega is .*; expected a number in \(0, 2\)"):
        adaptive_sor(five_point(3), np.ones(9), omega=omega)


def test_adaptive_sor_as_any_solver(b):
    matrix, rhs = MATRIX, b.reshape(-1)
    assert adaptive_sor(matrix, np.zeros(N * N)).iterations == 0
    exact = np.linalg.solve(matrix.toarray(), rhs)
    assert adaptive_sor(matrix, rhs, x0=exact, rtol=1e-6).iterations == 0
    assert adaptive_sor(matrix, rhs, rtol=0.0, maxiter=7).status is Status.FIXED
    assert adaptive_sor(matrix, rhs, callback=lambda s: s.iteration == 9).iterations == 9
    with pytest.warns(SolverWarning):
        assert adaptive_sor(matrix, rhs, maxiter=3).status is Status.MAXITER
    with pytest.raises(TypeError, match="takes no preconditioner"):
        adaptive_sor(matrix, rhs, M=Jacobi(matrix))
    with pytest.raises(TypeError, match="unexpected keyword"):
        adaptive_sor(matrix, rhs, tol=1e-3)


def test_oracle_and_omega_range():
    """An oracle that leaves (0, 2) is caught by the solver itself."""
    with pytest.raises(ValueError, match="omega is"):
        tuned(sor, policy=Oracle(lambda c: 2.5))(A, np.ones((N, N)), context=0.0)
