"""The smoke simulation: rest, symmetry, conservation, obstacles, determinism."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.operators.protocol import TimeStepper
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems.fluids import SCHEMES, Body, SmokeSimulation, ball, smoke_plume
from sciml.problems.fluids.forces import add_confinement
from sciml.problems.fluids.mac import MacGrid
from sciml.problems.fluids.smoke import extend

SHAPES = [(16, 32), (10, 10, 14)]


def run(model, steps, dt=None):
    state, t = model.initial(), 0.0
    for _ in range(steps):
        state = model.step(state, t, dt)
        t += model.dt if dt is None else dt
    return state


def hot_spot(shape):
    source = np.zeros(shape)
    middle = tuple(slice(n // 2 - 2, n // 2 + 2) for n in shape[:-1])
    source[(*middle, slice(2, 5))] = 1.0
    return source


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stratified_smoke_at_rest_stays_at_rest(shape):
    """Buoyancy that depends on height alone is a gradient: the pressure carries it, obstacles included."""
    body = Body(ball(0.2), position=lambda t: [0.5 * n / shape[0] for n in shape])
    source = np.broadcast_to(np.linspace(0.0, 1.0, shape[-1]), shape)
    model = SmokeSimulation(shape, spacing=1 / shape[0], source=source, bodies=[body], rtol=1e-10)
    state = run(model, 3)
    assert state.solid.any()
    assert max(np.abs(u).max() for u in state.velocity) < 1e-8
    assert np.allclose(state.smoke[~state.solid], source[~state.solid], atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_smoke_rises_and_the_divergence_stays_within_the_tolerance(shape):
    model = smoke_plume(shape, preconditioner=Multigrid, dt=0.05)
    state, heights = model.initial(), []
    up = (np.arange(shape[-1]) + 0.5) / shape[0]
    for i in range(12):
        state = model.step(state, i * model.dt)
        assert state.projected.result.converged
        assert state.projected.relative_divergence <= 10 * 1e-4
        heights.append((state.smoke * up).sum() / state.smoke.sum())
        assert not state.smoke[state.solid].any()
        assert 0.0 <= state.smoke.min() <= state.smoke.max() <= 1.0
    assert heights[-1] > heights[3] > 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("confinement", [0.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_symmetric_scene_stays_symmetric(shape, scheme, confinement):
    body = Body(ball(0.15), position=lambda t: (*[0.5] * (len(shape) - 1), 0.8 - t))
    model = SmokeSimulation(
        shape, spacing=1 / shape[0], source=hot_spot(shape), bodies=[body], scheme=scheme,
        confinement=confinement, rtol=1e-11, dt=0.02,
    )  # fmt: skip
    state = run(model, 8)
    assert np.abs(state.velocity[0]).max() > 1e-4
    assert np.allclose(state.smoke, state.smoke[::-1], rtol=0, atol=1e-7)
    assert np.allclose(state.velocity[0], -state.velocity[0][::-1], rtol=0, atol=1e-7)
    assert np.allclose(state.velocity[-1], state.velocity[-1][::-1], rtol=0, atol=1e-7)


def test_smoke_is_nearly_conserved_in_a_closed_box():
    """Semi-Lagrangian schemes do not conserve mass exactly; in a resolved flow they lose or gain little."""
    n = 48
    x = (np.arange(n) + 0.5) / n
    model = SmokeSimulation((n, n), spacing=1 / n, bc="neumann", rtol=1e-6, preconditioner=Multigrid, dt=0.02)
    smooth = np.exp(-((x[:, None] - 0.4) ** 2 + (x[None, :] - 0.3) ** 2) / (2 * 0.1**2))
    start = model.initial()
    state = type(start)(start.velocity, smooth, start.pressure, start.solid)
    for i in range(40):
        state = model.step(state, i * model.dt)
    assert max(np.abs(u).max() for u in state.velocity) > 0.1
    assert state.smoke.sum() == pytest.approx(smooth.sum(), rel=0.03)


def test_obstacles_push_the_fluid():
    """Without smoke the flow comes from the moving ball alone, and its surface moves with it."""
    body = Body(ball(0.2), position=lambda t: (0.3 + t, 0.5))
    model = SmokeSimulation((24, 24), spacing=1 / 24, bodies=[body], rtol=1e-8, dt=0.02)
    state = run(model, 4)
    assert state.projected.leak == 0.0
    faces = model.grid.faces_of(state.solid, 0)
    assert np.allclose(state.velocity[0][faces], 1.0)
    assert not state.velocity[1][model.grid.faces_of(state.solid, 1)].any()
    assert np.abs(state.velocity[1]).max() > 0.1


@pytest.mark.parametrize("scheme", ["maccormack", "semi-lagrangian"])
def test_same_seed_same_numbers(scheme):
    one, two, other = (run(smoke_plume((16, 32), seed=s, scheme=scheme), 6) for s in (3, 3, 4))
    assert np.array_equal(one.smoke, two.smoke)
    assert all(np.array_equal(u, v) for u, v in zip(one.velocity, two.velocity, strict=True))
    assert not np.array_equal(one.smoke, other.smoke)


def test_a_step_leaves_its_state_alone():
    model = smoke_plume((16, 32))
    state = run(model, 2)
    kept = [a.copy() for a in (*state.velocity, state.smoke, state.pressure, state.solid)]
    model.step(state, 0.1)
    now = (*state.velocity, state.smoke, state.pressure, state.solid)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_it_is_a_time_stepper():
    model = smoke_plume((16, 32))
    assert isinstance(model, TimeStepper)
    assert model.state_shape == model.initial().smoke.shape == (16, 32)


def test_the_projection_can_be_replaced():
    model = smoke_plume((16, 32))
    seen = []
    inner = model.project

    def record(*system):
        seen.append(system)
        return inner(*system)

    model.project = record
    run(model, 2)
    assert len(seen) == 2


def test_cells_that_come_free_are_guessed_from_their_neighbours():
    """A zero there is a jump in the pressure, which costs residual in most steps."""
    model = smoke_plume((32, 64), rtol=1e-8, dt=0.05)
    state, residuals = model.initial(), []
    for i in range(12):
        before, state = state, model.step(state, i * model.dt)
        freed = before.solid & ~state.solid
        if i < 2 or not freed.any():
            continue
        system = state.projected
        assert np.isin(system.x0[freed], before.pressure[~before.solid]).all()
        zero = np.where(freed, 0.0, system.x0)
        residuals.append([np.linalg.norm(system.b - system.A @ x) for x in (system.x0, zero)])
    guessed, zeros = np.mean(residuals, axis=0)
    assert guessed < 0.9 * zeros


def test_extend_takes_the_nearest_fluid_cell():
    values = np.arange(25.0).reshape(5, 5)
    solid = np.zeros((5, 5), bool)
    solid[1:4, 0:3] = True
    filled = extend(values, solid)
    assert filled[1, 0] == values[0, 0]
    assert filled[2, 2] == values[2, 3]
    assert np.array_equal(filled[~solid], values[~solid])
    assert extend(values, np.ones((5, 5), bool)) is values


@pytest.mark.parametrize("ndim", [2, 3])
def test_confinement_does_nothing_to_a_uniform_flow_and_spins_up_an_eddy(ndim):
    grid = MacGrid.create((20,) * ndim)
    flow = tuple(np.ones(u.shape) for u in grid.zeros())
    add_confinement(grid, flow, 1.0)
    assert all(np.array_equal(u, np.ones(u.shape)) for u in flow)
    eddy = list(grid.zeros())
    for axis, other, sign in ((0, 1, -1.0), (1, 0, 1.0)):
        x = grid.face_centres(axis)
        r2 = (x[0] - 10) ** 2 + (x[1] - 10) ** 2
        eddy[axis] += sign * (x[other] - 10) * np.exp(-r2 / 18)
    before = [u.copy() for u in eddy]
    add_confinement(grid, tuple(eddy), 0.1)
    gain = sum(((v - u) * u).sum() for u, v in zip(before, eddy, strict=True))
    assert gain > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": 0.0}, "dt is 0.0; expected a positive number"),
        ({"dt": float("nan")}, "dt is nan"),
        ({"scheme": "upwind"}, "scheme is 'upwind'"),
        ({"source": np.zeros((3, 3))}, r"source has shape \(3, 3\); expected \(8, 8\)"),
        ({"buoyancy": float("inf")}, "buoyancy is inf; expected a finite number"),
        ({"bc": "robin"}, "bc is 'robin'"),
        ({"shape": (8,)}, "shape is"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SmokeSimulation(**{"shape": (8, 8), **change})
