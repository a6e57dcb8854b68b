"""Halpern's resolvent solved by multigrid in CG: any preconditioner, any solver, NumPy and torch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import sciml
from sciml.backends.capabilities import supports
from sciml.backends.namespace import to_numpy
from sciml.operators import AffineSum, Box
from sciml.preconditioners import AMG, LU, IncompleteCholesky, Jacobi, LearnedMultigrid, Multigrid
from sciml.problems import membrane_over_ball, obstacle_sum
from sciml.solvers import projected_multigrid

N, RTOL = 32, 1e-8


@pytest.fixture(scope="module")
def membrane():
    """The problem and its solution by the specialist, projected multigrid."""
    problem = membrane_over_ball(N)
    result = projected_multigrid(problem.F, problem.u0, rtol=1e-10, on_failure="raise")
    return problem, result.x


def system(problem, namespace):
    """Operator, right-hand side and obstacle of the membrane in another array library."""
    A = sciml.PoissonOperator((N, N), spacing=problem.F.K.spacing, **namespace.operator_settings)
    return A, namespace.array(problem.F.q), namespace.array(problem.F.G.lower)


@pytest.mark.parametrize("preconditioner", [Jacobi, Multigrid, LearnedMultigrid], ids=lambda M: M.__name__)
def test_every_preconditioner_gives_the_same_membrane(preconditioner, membrane, namespace):
    name = {"LearnedMultigrid": "learned-multigrid"}.get(
        preconditioner.__name__, preconditioner.__name__.lower()
    )
    if not supports(f"M:{name}", namespace.library):
        pytest.skip(f"{name} does not run on {namespace.library} (capability table)")
    problem, expected = membrane
    A, b, lower = system(problem, namespace)
    F = obstacle_sum(A, b, lower=lower, preconditioner=preconditioner)
    result = sciml.halpern(F, namespace.array(problem.u0), rtol=RTOL)
    assert result.converged
    assert result.info["splitting"] == "DouglasRachford"
    np.testing.assert_allclose(to_numpy(result.x), expected, atol=1e-5)
    assert F.solve.solves > 5


def test_multigrid_saves_iterations_of_the_resolvent(membrane):
    problem, _ = membrane
    iterations = {}
    for preconditioner in (Jacobi, Multigrid):
        F = obstacle_sum(problem.F.K, problem.F.q, lower=problem.F.G.lower, preconditioner=preconditioner)
        assert sciml.halpern(F, problem.u0, rtol=RTOL).converged
        iterations[preconditioner] = F.solve.iterations
    assert iterations[Multigrid] < 0.5 * iterations[Jacobi]


@pytest.mark.parametrize(
    "solver",
    [
        lambda A: partial(sciml.cg, A, M=LearnedMultigrid(A)),
        lambda A: partial(sciml.fcg, A, M=sciml.inverse(A, "cg+multigrid", rtol=1e-2)),
        lambda A: partial(sciml.cg, A, M=AMG(A)),
        lambda A: partial(sciml.cg, A, M=IncompleteCholesky(A)),
        lambda A: partial(sciml.splu, A, M=LU(A)),
        lambda A: partial(sciml.fast_poisson, A),
        lambda A: partial(sciml.solve, A),
    ],
    ids=["cg+learned", "fcg+inverse", "cg+amg", "cg+ic0", "splu", "fft", "auto"],
)
def test_any_solver_as_the_resolvent(solver):
    """A resolvent of one's own: with one step for all entries the system is A plus a number."""
    problem = membrane_over_ball(16)
    expected = projected_multigrid(problem.F, problem.u0, rtol=1e-10, on_failure="raise").x
    A, b = problem.F.K, problem.F.q
    made = {}

    def resolvent(w, step):
        if step not in made:
            made[step] = solver(A.shifted(1.0 / step))
        return made[step](w / step + b, x0=w, rtol=1e-9).raise_if_failed().x

    F = AffineSum(A, b, G=Box(problem.F.G.lower, np.inf), solve=resolvent)
    result = sciml.halpern(F, problem.u0, step=0.5, rtol=1e-5)
    assert result.converged, result
    assert len(made) == 1
    np.testing.assert_allclose(result.x, expected, atol=1e-3)
