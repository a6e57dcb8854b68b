"""Flexible CG: equal to CG where CG is exact, better where the preconditioner changes."""

import numpy as np
import pytest

from sciml import PoissonOperator, cg, fcg
from sciml.operators import CallableOperator
from sciml.preconditioners import Jacobi


@pytest.fixture(scope="module")
def system():
    rng = np.random.default_rng(2)
    A = PoissonOperator((14, 15), coefficient=0.1 + rng.random((14, 15)))
    return A, rng.standard_normal((14, 15))


@pytest.mark.parametrize("memory", [1, 3])
def test_equals_cg_with_a_linear_preconditioner(system, memory):
    A, b = system
    settings = {"M": Jacobi(A), "rtol": 0, "maxiter": 12}
    np.testing.assert_allclose(fcg(A, b, memory=memory, **settings).x, cg(A, b, **settings).x, rtol=1e-9)


def test_energy_error_never_grows_with_an_erratic_preconditioner(system):
    A, b = system
    exact = np.linalg.solve(A.tocsr().toarray(), b.reshape(-1)).reshape(b.shape)
    rng = np.random.default_rng(0)
    M = CallableOperator(lambda r: r * (0.1 + rng.random(r.shape)), b.shape)
    energies = [np.vdot(exact, A @ exact)]

    def watch(state):
        error = state.x - exact
        energies.append(np.vdot(error, A @ error))

    result = fcg(A, b, M=M, memory=2, callback=watch, rtol=1e-8)
    assert result.converged
    assert np.all(np.diff(energies) <= 1e-12 * energies[0])


def test_complete_memory_ends_after_as_many_steps_as_distinct_eigenvalues():
    # Directions A-orthogonal to all earlier ones, whatever M does between steps: the dimension bounds them.
    A = np.diag(np.arange(1.0, 9.0))
    rng = np.random.default_rng(0)
    M = CallableOperator(lambda r: r * (0.5 + rng.random(8)), 8)
    assert fcg(A, np.ones(8), M=M, memory=8, rtol=1e-10).iterations <= 8
    assert fcg(A, np.ones(8), M=M, memory=1, rtol=1e-10).iterations > 8


@pytest.mark.parametrize("memory", [0, -1, 1.5, None])
def test_memory_is_checked(memory):
    with pytest.raises(ValueError, match=r"memory is .*; expected an integer >= 1"):
        fcg(np.eye(2), np.ones(2), memory=memory)
