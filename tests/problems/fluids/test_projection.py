"""The pressure projection: free of divergence, no flow through solids, enclosed pockets, every method."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import fcg
from sciml.preconditioners import AMG, IncompleteCholesky
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems import obstacle_mask
from sciml.problems.fluids import Body, MacGrid, PressureProjection, ball, box
from sciml.problems.fluids.bodies import solids

SHAPES = [(18, 26), (11, 12, 14)]
METHODS = {
    "cg": {},
    "mic0": {"preconditioner": partial(IncompleteCholesky, modified=True)},
    "amg": {"preconditioner": AMG},
    "multigrid": {"preconditioner": Multigrid},
    "fcg-multigrid": {"solver": fcg, "preconditioner": Multigrid},
}
RTOL = 1e-6


def random_velocity(grid, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(u.shape) for u in grid.zeros())


def fluid_divergence(grid, velocity, solid):
    return np.where(solid, 0.0, grid.divergence(velocity))


def rigid(grid, dt=0.3):
    """A turning, drifting bar and a ball, somewhere inside."""
    middle = [s / 2 for s in grid.lengths]
    half = [0.3 * grid.lengths[0], 0.2 * grid.lengths[1], 1.6 * grid.spacing[-1]]
    if grid.ndim == 2:
        del half[1]
    bar = Body(
        box(*half),
        position=lambda t: (middle[0] + t, *middle[1:-1], 0.35 * grid.lengths[-1] - t),
        angle=lambda t: 0.4 + 2 * t,
    )
    drop = Body(ball(0.18 * grid.lengths[0]), position=lambda t: (*middle[:-1], 0.72 * grid.lengths[-1] + t))
    return solids(grid, [bar, drop], 0.0, dt)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bc", ["open-top", "neumann"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_divergence_and_no_flow_through_solids(shape, bc, method):
    grid = MacGrid.create(shape, spacing=0.5, bc=bc)
    solid, motion = rigid(grid)
    project = PressureProjection(grid, rtol=RTOL, on_failure="raise", **METHODS[method])
    velocity, projected = project(random_velocity(grid), solid, motion)
    assert projected.result.converged
    left = np.linalg.norm(fluid_divergence(grid, velocity, solid))
    assert left <= 10 * RTOL * projected.divergence_before
    assert projected.divergence_after == pytest.approx(left, rel=1e-6, abs=1e-12)
    assert projected.leak < 1e-12
    for axis, (u, v) in enumerate(zip(velocity, motion, strict=True)):
        faces = grid.faces_of(solid, axis)
        assert np.allclose(u[faces], v[faces], rtol=0, atol=1e-12)
        sides = [u[(slice(None),) * axis + (side,)] for side in (0, -1)]
        walls = sides[:1] if bc == "open-top" and axis == grid.ndim - 1 else sides
        assert not any(wall.any() for wall in walls)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_flow_without_divergence_is_left_alone(shape):
    grid = MacGrid.create(shape)
    project = PressureProjection(grid, rtol=1e-12)
    nothing, rest = np.zeros(shape, bool), grid.zeros()
    once, _ = project(random_velocity(grid), nothing, rest)
    twice, _ = project(once, nothing, rest)
    assert max(np.abs(u - v).max() for u, v in zip(once, twice, strict=True)) < 1e-9


@given(
    geometry=st.sampled_from(["balls", "boxes", "walls", "porous"]),
    shape=st.sampled_from([(20, 20), (33, 15), (12, 9, 10)]),
    bc=st.sampled_from(["open-top", "neumann", [("dirichlet", "neumann"), "neumann", "dirichlet"]]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_any_geometry_with_pockets_and_any_motion(geometry, shape, bc, seed):
    """Random solids enclose pockets of all sizes, and random surface velocities squeeze them."""
    grid = MacGrid.create(shape, bc=bc if isinstance(bc, str) else [*bc[: len(shape) - 1], bc[-1]])
    solid = obstacle_mask(geometry, shape, seed)
    if solid.all():
        return
    project = PressureProjection(grid, preconditioner=Multigrid, rtol=1e-5, on_failure="raise")
    velocity, projected = project(random_velocity(grid, seed), solid, random_velocity(grid, seed + 1))
    assert (
        np.linalg.norm(fluid_divergence(grid, velocity, solid)) <= 1e-4 * projected.divergence_before + 1e-12
    )


def piston(grid):
    """A plate right across the box that moves down on the fluid below it, which cannot get out."""
    solid = np.zeros(grid.shape, bool)
    solid[..., 8:10] = True
    motion = grid.zeros()
    motion[-1][..., 8:11] = -1.0
    return solid, motion


@pytest.mark.parametrize("shape", [(12, 20), (6, 7, 20)], ids=str)
def test_a_squeezed_pocket_leaks_as_much_as_it_must(shape):
    grid = MacGrid.create(shape, spacing=0.1)
    solid, motion = piston(grid)
    velocity, projected = PressureProjection(grid, rtol=1e-8)(grid.zeros(), solid, motion)
    # All its solid surface is the plate: the fluid passes through it, and comes to rest.
    assert projected.leak == pytest.approx(1.0)
    assert np.abs(velocity[-1][..., :9]).max() < 1e-7
    # Above, the fluid follows the plate down.
    assert np.allclose(velocity[-1][..., 10:], -1.0, atol=1e-6)
    assert projected.relative_divergence <= 1e-7


def test_a_pocket_carried_along_does_not_leak():
    """Inside a hollow box in rigid motion the fluid moves with it."""
    grid = MacGrid.create((20, 20), spacing=0.1)
    shell = Body(
        lambda x: (
            (np.maximum(np.abs(x[0]), np.abs(x[1])) < 0.6) & (np.maximum(np.abs(x[0]), np.abs(x[1])) > 0.3)
        ),
        position=lambda t: (1.0 + t, 1.0 - 0.5 * t),
    )
    solid, motion = solids(grid, [shell], 0.0, 0.01)
    velocity, projected = PressureProjection(grid, rtol=1e-10)(grid.zeros(), solid, motion)
    assert projected.A.singular.count == 1
    assert projected.leak < 1e-12
    assert np.allclose(velocity[0][9:12, 8:12], 1.0, atol=1e-8)
    assert np.allclose(velocity[1][8:12, 9:12], -0.5, atol=1e-8)


def test_a_single_walled_in_cell_is_a_pocket_too():
    grid = MacGrid.create((9, 9))
    solid = np.zeros(grid.shape, bool)
    solid[3:6, 3:6] = True
    solid[4, 4] = False
    velocity, projected = PressureProjection(grid, rtol=1e-8)(
        random_velocity(grid), solid, random_velocity(grid, 1)
    )
    assert projected.leak > 0
    assert np.linalg.norm(fluid_divergence(grid, velocity, solid)) <= 1e-7 * projected.divergence_before


def test_setup_is_paid_once_per_geometry():
    grid = MacGrid.create((16, 16))
    made = []

    def factory(A):
        made.append(A)
        return Multigrid(A)

    project = PressureProjection(grid, preconditioner=factory)
    one, two = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    two[4:6, 4:6] = True
    for solid in (one, one, two, two, one):
        _, projected = project(random_velocity(grid), solid, grid.zeros())
    assert len(made) == 3
    assert projected.setup_seconds > 0


def test_warm_start_saves_iterations():
    grid = MacGrid.create((32, 48))
    solid, motion = rigid(grid)
    velocity = random_velocity(grid)
    project = PressureProjection(grid, rtol=1e-4)
    _, cold = project(velocity, solid, motion)
    _, warm = project(velocity, solid, motion, cold.result.x)
    assert warm.result.iterations == 0 < cold.result.iterations
    cold_again = PressureProjection(grid, rtol=1e-4, warm_start=False)
    assert cold_again(velocity, solid, motion, cold.result.x)[1].result.iterations == cold.result.iterations


def test_fluid_at_rest_needs_no_pressure():
    grid = MacGrid.create((8, 8))
    velocity, projected = PressureProjection(grid)(grid.zeros(), np.zeros((8, 8), bool), grid.zeros())
    assert not any(u.any() for u in velocity)
    assert projected.relative_divergence == 0.0


def test_inputs_are_not_changed():
    grid = MacGrid.create((8, 8))
    solid, motion = rigid(grid)
    velocity = random_velocity(grid)
    before = [u.copy() for u in (*velocity, *motion)]
    PressureProjection(grid)(velocity, solid, motion)
    assert all(np.array_equal(u, v) for u, v in zip(before, (*velocity, *motion), strict=True))


def test_bad_arguments_are_named():
    grid = MacGrid.create((8, 8))
    with pytest.raises(TypeError, match="solver is a str; expected a callable"):
        PressureProjection(grid, solver="cg")
    with pytest.raises(TypeError, match="preconditioner is a int; expected a callable"):
        PressureProjection(grid, preconditioner=3)
    with pytest.raises(ValueError, match=r"walls .* and open sides .* only"):
        MacGrid.create((8, 8), bc="periodic")
