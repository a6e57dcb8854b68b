"""A trained field in a grid solve: as the start, and as a coarse correction that its scale cannot spoil."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import sciml
from sciml.backends.namespace import to_numpy, vdot
from sciml.preconditioners import Deflation, Jacobi, LearnedMultigrid
from sciml.problems import CrankNicolson, forecast, poisson

torch = pytest.importorskip("torch")

from sciml.learned.dcd import dcd  # noqa: E402
from sciml.learned.pinn import Box, Field, Problem, train_pinn  # noqa: E402

N = 48


@pytest.fixture(scope="module")
def field():
    """A small field for ``−Δu = 10 exp(x − y)`` on the unit square, zero on its sides."""
    problem = Problem(
        "membrane",
        Box([0.0, 0.0], [1.0, 1.0]),
        lambda x, u: u.laplacian + 10.0 * torch.exp(x[:, 0] - x[:, 1]),
        lift=lambda x, N: 16 * x[:, 0] * (1 - x[:, 0]) * x[:, 1] * (1 - x[:, 1]) * N,
    )
    settings = {"steps": 25, "points": 800, "held_out": 256, "seed": 0}
    trained, _ = train_pinn(
        problem, optimizer="lm", sampler="uniform", field=Field(problem, hidden=(10, 10)), **settings
    )
    return trained


@pytest.fixture(scope="module")
def system(field):
    """The same equation on a grid: operator, right-hand side, the field's values, the solution."""
    grid = poisson((N, N)).grid
    A = sciml.PoissonOperator((N, N), spacing=grid.spacing)
    x, y = A.coordinates()
    b = 10.0 * np.exp(x - y)
    return A, b, field.on(grid), sciml.fast_poisson(A, b, rtol=1e-10).x


def coarse(A, u):
    """The step along `u` that is best in the A-norm, beside Jacobi: a direction that the field proposes."""
    energy = vdot(u, A @ u)
    step = sciml.CallableOperator(
        lambda r: (vdot(u, r) / energy) * u, A.in_shape,
        properties={"symmetric", "positive_semidefinite"},
    )  # fmt: skip
    return sciml.as_operator(Jacobi(A)) + step


def test_the_field_solves_the_equation_of_the_grid(system):
    _, _, u, expected = system
    assert np.abs(u - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("solver", [sciml.cg, sciml.fcg, sciml.minres, partial(sciml.sor, omega=1.8)])
def test_as_the_start_it_saves_iterations_of_every_solver(solver, system):
    A, b, u, _ = system
    cold, warm = (solver(A, b, x0=x0, rtol=3e-2) for x0 in (None, u))
    assert cold.converged
    assert warm.converged
    assert warm.iterations < 0.7 * cold.iterations


def test_as_the_start_of_multigrid_in_cg(system):
    A, b, u, expected = system
    M = LearnedMultigrid(A)
    cold, warm = (sciml.cg(A, b, x0=x0, M=M, rtol=1e-2) for x0 in (None, u))
    assert warm.iterations <= cold.iterations
    finished = sciml.cg(A, b, x0=u, M=M, rtol=1e-10)
    np.testing.assert_allclose(finished.x, expected, atol=1e-8)


def test_as_a_coarse_correction_in_every_library(system, namespace):
    """The direction is offered to CG and to DCD's iteration; both take it once and go on."""
    A, b, u, expected = system
    B = sciml.PoissonOperator((N, N), spacing=A.spacing, **namespace.operator_settings)
    b, u = namespace.array(b), namespace.array(u)
    plain = sciml.cg(B, b, M=Jacobi(B), rtol=3e-2)
    for solve in (sciml.cg, dcd):
        corrected = solve(B, b, M=coarse(B, u), rtol=3e-2)
        assert corrected.converged
        assert corrected.iterations < 0.7 * plain.iterations
        finished = solve(B, b, M=coarse(B, u), rtol=1e-10)
        np.testing.assert_allclose(to_numpy(finished.x), expected, atol=1e-7)


@pytest.mark.parametrize("factor", [1.0, -3.0, 1e6])
def test_the_scale_of_the_field_spoils_a_start_but_no_correction(factor, system):
    A, b, u, _ = system
    right = sciml.cg(A, b, M=Deflation(A, u.reshape(-1, 1)), rtol=1e-4)
    scaled = sciml.cg(A, b, M=Deflation(A, factor * u.reshape(-1, 1)), rtol=1e-4)
    assert abs(scaled.iterations - right.iterations) <= 1
    assert right.iterations < sciml.cg(A, b, rtol=1e-4).iterations
    if factor != 1.0:
        assert sciml.cg(A, b, x0=factor * u, rtol=1e-4).iterations > right.iterations


def test_a_useless_field_costs_little(system, rng):
    A, b, _, expected = system
    noise = rng.standard_normal(b.shape)
    plain = sciml.cg(A, b, M=Jacobi(A), rtol=1e-8)
    hindered = sciml.cg(A, b, M=coarse(A, noise), rtol=1e-8)
    assert hindered.iterations <= 1.25 * plain.iterations
    np.testing.assert_allclose(hindered.x, expected, atol=1e-6)


def test_as_the_initial_state_of_a_model(system):
    """Diffusion with the source of the equation stays where the field says the equilibrium is."""
    A, b, u, expected = system
    model = CrankNicolson(A, 1e-3, source=lambda t: b)
    near, far = forecast(model, u, 5), forecast(model, 0 * u, 5)
    assert np.abs(near - expected).max() < 0.02 * np.abs(far - expected).max()
