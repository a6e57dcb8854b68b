"""Crank–Nicolson on grids: exact factors, order, sources, any operator, clear errors."""

from functools import partial

import numpy as np
import pytest

import sciml
from sciml.backends.namespace import to_numpy
from sciml.operators.protocol import TimeStepper
from sciml.problems import CrankNicolson, forecast

N = 16
A = sciml.PoissonOperator((N, N), spacing=1 / N)
X, Y = A.coordinates()
MODE = np.sin(np.pi * X) * np.sin(np.pi * Y)
EIGENVALUE = float((A @ MODE)[3, 4] / MODE[3, 4])
precise = partial(sciml.cg, rtol=1e-12)


def test_is_a_time_stepper():
    stepper = CrankNicolson(A, 0.01)
    assert isinstance(stepper, TimeStepper)
    assert stepper.state_shape == (N, N)
    assert "CrankNicolson dt=0.01" in repr(stepper)


@pytest.mark.parametrize("kappa", [1.0, 0.3])
@pytest.mark.parametrize("dt", [1e-3, 10.0], ids=["short", "long"])
def test_a_mode_is_multiplied_by_the_exact_factor(dt, kappa, namespace):
    B = sciml.PoissonOperator((N, N), spacing=1 / N, **namespace.operator_settings)
    u = forecast(CrankNicolson(B, dt, solver=precise, diffusivity=kappa), namespace.array(MODE), 3)
    half = 0.5 * dt * kappa * EIGENVALUE
    np.testing.assert_allclose(to_numpy(u), ((1 - half) / (1 + half)) ** 3 * MODE, atol=1e-9)


def test_second_order_with_diffusivity_and_source_that_change():
    """u = cos(t) times the mode, with the source that makes it a solution."""

    def kappa(t):
        return 1.0 + 0.5 * np.sin(3 * t)

    def source(t):
        return (kappa(t) * EIGENVALUE * np.cos(t) - np.sin(t)) * MODE

    errors = []
    for steps in (8, 16, 32):
        u, stepper = MODE, CrankNicolson(A, 1.0 / steps, solver=precise, diffusivity=kappa, source=source)
        for i in range(steps):
            u = stepper.step(u, i / steps, 1.0 / steps)
        errors.append(np.abs(u - np.cos(1.0) * MODE).max())
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.8 < errors[1] / errors[2] < 4.2


def test_without_diffusion_only_the_source_acts():
    stepper = CrankNicolson(A, 0.1, diffusivity=lambda t: 0.0, source=lambda t: 2.0 * MODE)
    np.testing.assert_allclose(stepper.step(MODE, 0.0, 0.1), 1.2 * MODE)
    assert CrankNicolson(A, 0.1, diffusivity=0.0).step(MODE, 0.0, 0.1) is MODE


@pytest.mark.parametrize("kind", ["csr", "variable", "obstacles"])
def test_any_operator(kind, rng):
    cells = np.zeros((N, N), dtype=bool)
    cells[4:7, 5:11] = kind == "obstacles"
    settings = {"coefficient": rng.uniform(0.5, 2.0, (N, N))} if kind == "variable" else {}
    B = sciml.PoissonOperator((N, N), spacing=1 / N, bc="neumann", cells=cells, **settings)
    u = np.where(cells, 0.0, rng.standard_normal((N, N)))
    matrix = B.tocsr()
    stepper = CrankNicolson(matrix if kind == "csr" else B, 0.01, solver=precise)
    found = stepper.step(u.reshape(-1) if kind == "csr" else u, 0.0, 0.01).reshape(-1)
    dense, identity = matrix.toarray(), np.eye(N * N)
    expected = np.linalg.solve(identity + 0.005 * dense, u.reshape(-1) - 0.005 * (dense @ u.reshape(-1)))
    expected[cells.reshape(-1)] = 0.0
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert abs(found.sum() - u.sum()) < 1e-8  # nothing flows through Neumann sides


def test_a_step_that_is_not_solved_is_an_error(rng):
    lazy = partial(sciml.cg, maxiter=1, on_failure="ignore")
    with pytest.raises(sciml.SolverError, match="reached maxiter"):
        CrankNicolson(A, 1.0, solver=lazy).step(rng.standard_normal((N, N)), 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": 0.0}, "dt is 0.0; expected a positive number"),
        ({"dt": "1"}, "dt is '1'"),
        ({"A": np.ones((2, 3))}, "expected equal shapes"),
    ],
    ids=["zero", "text", "not square"],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        CrankNicolson(**{"A": A, "dt": 0.1, **change})


@pytest.mark.parametrize("kappa", [-1.0, np.nan])
def test_bad_diffusivity_says_when(kappa):
    with pytest.raises(ValueError, match=r"diffusivity at t = 0.05 is"):
        CrankNicolson(A, 0.1, diffusivity=lambda t: kappa).step(MODE, 0.0, 0.1)


@pytest.mark.parametrize("shift", [0.7, "array"])
def test_shifted_is_the_sum_and_stays_a_grid_operator(shift, rng):
    shift = rng.uniform(0.1, 1.0, (N, N)) if isinstance(shift, str) else shift
    x = rng.standard_normal((N, N))
    np.testing.assert_allclose(A.shifted(shift) @ x, A @ x + shift * x, atol=1e-12)
    assert isinstance(A.shifted(shift), sciml.PoissonOperator)
    with pytest.raises(ValueError, match="shift"):
        A.shifted(-1.0)


def test_shifts_add_up_and_keep_everything_else(rng):
    cells = rng.random((N, N)) < 0.1
    settings = {"spacing": 0.3, "bc": ["periodic", "neumann"], "cells": cells, "dtype": "float32"}
    k = rng.uniform(0.5, 2.0, (N, N))
    B = sciml.PoissonOperator((N, N), shift=0.4, coefficient=k, **settings).shifted(0.7)
    C = sciml.PoissonOperator((N, N), shift=1.1, coefficient=k, **settings)
    assert B.dtype == C.dtype
    np.testing.assert_allclose(B.tocsr().toarray(), C.tocsr().toarray(), rtol=1e-6)
