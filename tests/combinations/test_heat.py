"""Learned multigrid in CG in a Crank–Nicolson stepper whose solver a bandit picks."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

import sciml
from sciml.backends.capabilities import supports
from sciml.backends.namespace import to_numpy
from sciml.preconditioners import SSOR, Jacobi, LearnedMultigrid, Multigrid
from sciml.problems import CrankNicolson, poisson
from sciml.tuning import ChebCB, GaussianProcessCB, TsallisINF, tuned

STEPS, DT = 12, 0.01
PRECISE = {"rtol": 1e-10}


def diffusivity(t):
    """Between hardly anything and a hundred: plain CG is best at one end, multigrid at the other."""
    return 10.0 ** (2.0 * math.sin(2.0 * math.pi * t / 0.06))


def run(solver, A, u, **settings):
    stepper = CrankNicolson(A, DT, solver=solver, diffusivity=diffusivity, **settings)
    for i in range(STEPS):
        u = stepper.step(u, i * DT, DT)
    return to_numpy(u)


@pytest.fixture(scope="module")
def expected():
    """By sparse factorisation of the matrix."""
    problem = poisson((24, 20), obstacles="balls", rhs="smooth")
    u = run(partial(sciml.splu, **PRECISE), problem.A.tocsr(), problem.b.reshape(-1))
    return problem, u.reshape(24, 20)


def on(problem, namespace):
    """The same operator and start in another array library."""
    A = poisson(
        (24, 20), obstacles="balls", rhs="smooth", backend=namespace.library, device=namespace.device
    ).A
    return A, namespace.array(problem.b)


def test_a_bandit_picks_the_preconditioner_of_every_step(expected, namespace):
    if not supports("M:learned-multigrid", namespace.library):
        pytest.skip(f"learned multigrid does not run on {namespace.library} (capability table)")
    problem, u = expected
    A, start = on(problem, namespace)
    policy = TsallisINF([None, Jacobi, Multigrid, LearnedMultigrid], seed=0)
    solve = tuned(partial(sciml.cg, **PRECISE), parameter="M", policy=policy)
    np.testing.assert_allclose(run(solve, A, start), u, atol=1e-8 * np.abs(u).max())
    assert policy.rounds == STEPS
    assert set(policy.plays) != {0}
    assert sum(solve.failures) == 0


def test_a_policy_that_sees_the_diffusion_length(expected):
    problem, u = expected
    for policy in (
        ChebCB([1.0, 1.3, 1.6, 1.9], context_range=(1e-4, 1.0), seed=0),
        GaussianProcessCB([1.0, 1.3, 1.6, 1.9], prior=None, seed=0),
    ):
        solve = tuned(partial(sciml.cg, **PRECISE), parameter="omega", preconditioner=SSOR, policy=policy)
        found = run(solve, problem.A, problem.b, contextual=True)
        np.testing.assert_allclose(found, u, atol=1e-8 * np.abs(u).max())
        assert policy.rounds == STEPS


def test_whole_solvers_as_arms(expected):
    """The arms may be solvers that are themselves made of solvers."""
    problem, u = expected

    def picked(A, b, *, which, **settings):
        return which(A, b, **settings)

    arms = [
        sciml.cg,
        partial(sciml.solve, method="cg+learned-multigrid"),
        lambda A, b, **s: sciml.fcg(A, b, M=sciml.inverse(A, "cg+learned-multigrid", rtol=1e-2), **s),
        sciml.minres,
    ]
    policy = TsallisINF(arms, seed=1)
    solve = tuned(partial(picked, **PRECISE), parameter="which", policy=policy)
    np.testing.assert_allclose(run(solve, problem.A, problem.b), u, atol=1e-8 * np.abs(u).max())
    assert policy.rounds == STEPS


def test_single_precision_is_stepped_honestly(expected):
    problem, u = expected
    A = problem.A.astype("float32")
    solve = tuned(
        partial(sciml.cg, rtol=1e-5), parameter="M", policy=TsallisINF([Jacobi, LearnedMultigrid], seed=0)
    )
    found = run(solve, A, problem.b.astype("float32"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, u, atol=1e-3 * np.abs(u).max())
