"""The solver: conjugate gradients without a network, an error that never grows, the common contract."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml import CallableOperator, PoissonOperator, cg, fcg  # noqa: E402
from sciml.learned.dcd import DCDNetwork, dcd  # noqa: E402
from sciml.problems import poisson  # noqa: E402
from sciml.testing import check_solver  # noqa: E402

plain = partial(dcd, network=None)
"""Options of solvers are keyword-only; the network, like `A` and `b`, may be given by position."""


def matrix_with(spectrum, seed=0):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(spectrum),) * 2))
    return (Q * spectrum) @ Q.T


@pytest.mark.parametrize("memory", [1, 2, 5])
def test_without_a_network_it_is_conjugate_gradients(memory, rng):
    A, b = matrix_with(np.linspace(1.0, 50.0, 40)), rng.standard_normal(40)
    ours, theirs = dcd(A, b, rtol=1e-10, memory=memory), cg(A, b, rtol=1e-10)
    assert abs(ours.iterations - theirs.iterations) <= 1
    n = min(ours.iterations, theirs.iterations) - 2
    np.testing.assert_allclose(ours.residual_history[:n], theirs.residual_history[:n], rtol=1e-6)


def test_the_identity_network_is_conjugate_gradients():
    problem = poisson((12, 11), obstacles="balls", bc="open-top")
    identity = CallableOperator(lambda r: 3.0 * r, problem.A.in_shape)
    ours = dcd(problem.A, problem.b, identity, rtol=1e-8)
    theirs = cg(problem.A, problem.b, rtol=1e-8)
    assert abs(ours.iterations - theirs.iterations) <= 1
    np.testing.assert_allclose(ours.residual_history[:20], theirs.residual_history[:20], rtol=1e-6)


def test_it_takes_the_iterations_of_flexible_conjugate_gradients():
    problem = poisson((24, 24), seed=2)
    network = DCDNetwork.untrained("small", (24, 24))
    ours = dcd(problem.A, problem.b, network)
    theirs = fcg(problem.A, problem.b, M=network, memory=2)
    assert abs(ours.iterations - theirs.iterations) <= 1
    assert ours.matvecs >= 2 * ours.iterations - 1  # the residual is recomputed, not updated


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), memory=st.integers(1, 4))
def test_the_error_never_grows_in_the_energy_norm(seed, memory):
    """Whatever the network is: here a random map that has nothing to do with `A`."""
    rng = np.random.default_rng(seed)
    A = matrix_with(np.geomspace(1.0, 1e3, 20), seed)
    x = rng.standard_normal(20)
    W = rng.standard_normal((20, 20))
    network = CallableOperator(lambda r: np.tanh(W @ r), 20)
    errors = [float(x @ A @ x)]

    def note(state):
        e = x - state.x
        errors.append(float(e @ A @ e))

    dcd(A, A @ x, network, memory=memory, maxiter=30, rtol=1e-8, callback=note, on_failure="ignore")
    assert np.all(np.diff(errors) <= 1e-9 * errors[0])


def test_the_history_holds_true_residuals(rng):
    A = matrix_with(np.geomspace(1.0, 1e4, 30))
    b = rng.standard_normal(30)
    seen = []
    result = dcd(A, b, rtol=1e-6, callback=lambda s: seen.append(np.linalg.norm(b - A @ s.x)))
    np.testing.assert_allclose(result.residual_history[1:], seen, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_contract_without_network(library, dtype):
    like = None if library == "numpy" else torch.zeros(1)
    assert check_solver(plain, like=like, dtype=dtype) == []


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_contract_with_a_network(library):
    like = None if library == "numpy" else torch.zeros(1)
    # The network is made for 2D grids, and it takes the place of M.
    skip = {"preconditioner", "nonlinear_preconditioner", "indefinite", "singular", "bad_operator"}
    solve = partial(dcd, network=DCDNetwork.untrained("linear", (5, 4)))
    assert check_solver(solve, like=like, skip=skip) == []


def test_contract_in_other_libraries():
    strict = pytest.importorskip("array_api_strict")
    assert check_solver(plain, like=strict.asarray(0.0)) == []


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"memory": 0}, ValueError, "memory is 0; expected an integer >= 1"),
        ({"memory": True}, ValueError, "memory is True"),
        ({"M": np.eye(16)}, TypeError, "network and M are both given"),
    ],
    ids=["memory", "bool", "both"],
)
def test_bad_options(options, error, sentence):
    A = PoissonOperator((4, 4))
    with pytest.raises(error, match=sentence):
        dcd(A, np.ones((4, 4)), np.eye(16), **options)


def test_a_network_of_other_dimensions_is_refused_before_work():
    with pytest.raises(ValueError, match="expected a grid with 3 axes"):
        dcd(PoissonOperator((4, 4)), np.ones((4, 4)), DCDNetwork.untrained("linear", (4, 4, 4)))
