"""Advection on the MAC grid against what it must do exactly, and what it must not do at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.backends.threads import use_threads
from sciml.problems.fluids import SCHEMES, MacGrid, advect, advect_velocity

SHAPES = [(12, 17), (7, 9, 11)]


def uniform(grid, velocity):
    return tuple(np.full(u.shape, v) for u, v in zip(grid.zeros(), velocity, strict=True))


def rotation(n):
    """Solid-body rotation about the centre of an ``n x n`` box of side 1; one turn takes 2π."""
    grid = MacGrid.create((n, n), spacing=1 / n)
    u = -(grid.face_centres(0)[1] - 0.5) + np.zeros((n + 1, n))
    v = grid.face_centres(1)[0] - 0.5 + np.zeros((n, n + 1))
    return grid, (u, v)


def blob(grid, centre=(0.5, 0.7), width=0.08):
    x, y = grid.centres()
    return np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_translation_by_whole_cells_is_exact(shape, scheme):
    rng = np.random.default_rng(0)
    grid = MacGrid.create(shape, spacing=0.5)
    shift = (2, -1, 3)[: len(shape)]
    # 0.25 time units at these velocities are exactly `shift` cells of size 0.5.
    velocity = uniform(grid, [2.0 * k for k in shift])
    field = rng.standard_normal(shape)
    moved = advect(grid, field, velocity, 0.25, scheme=scheme)
    inner = tuple(slice(4, -4) if len(shape) == 2 else slice(3, -3) for _ in shape)
    expected = np.roll(field, shift, axis=range(len(shape)))[inner]
    # The compiler may reorder the sum of the correction, which costs the last digit.
    assert np.allclose(moved[inner], expected, rtol=0, atol=0 if scheme == "semi-lagrangian" else 1e-15)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_uniform_flow_carries_itself_unchanged(shape, scheme):
    grid = MacGrid.create(shape)
    velocity = uniform(grid, (0.3, -1.7, 0.9)[: len(shape)])
    for old, new in zip(velocity, advect_velocity(grid, velocity, 0.8, scheme=scheme), strict=True):
        assert np.array_equal(old, new)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear_fields_are_translated_exactly_between_cells(scheme):
    grid = MacGrid.create((20, 20))
    x, y = grid.centres()
    moved = advect(grid, 2 * x - y, uniform(grid, (0.3, 0.6)), 1.0, scheme=scheme)
    expected = 2 * (x - 0.3) - (y - 0.6)
    assert np.allclose(moved[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
@given(seed=st.integers(0, 2**32 - 1), dt=st.floats(0.0, 20.0))
@settings(max_examples=15, deadline=None)
def test_no_new_extremum_and_constants_stay(shape, scheme, seed, dt):
    grid, rng = MacGrid.create(shape), np.random.default_rng(seed)
    velocity = tuple(rng.standard_normal(u.shape) for u in grid.zeros())
    field = rng.standard_normal(shape)
    moved = advect(grid, field, velocity, dt, scheme=scheme)
    rounding = 1e-14 * np.abs(field).max()
    assert field.min() - rounding <= moved.min()
    assert moved.max() <= field.max() + rounding
    assert np.array_equal(advect(grid, np.full(shape, 0.1), velocity, dt, scheme=scheme), np.full(shape, 0.1))


def turned(n, scheme, steps):
    grid, velocity = rotation(n)
    field = start = blob(grid)
    for _ in range(steps):
        field = advect(grid, field, velocity, 2 * np.pi / steps, scheme=scheme)
    return grid, start, field


def test_maccormack_keeps_mass_and_peak_in_rotation():
    _, start, end = turned(64, "maccormack", 80)
    assert abs(end.sum() / start.sum() - 1) < 0.01
    assert 0.85 < end.max() <= 1.0
    assert end.min() >= 0.0
    _, _, smeared = turned(64, "semi-lagrangian", 80)
    assert smeared.max() < 0.75 * end.max()


def test_orders_of_accuracy():
    """Halving cells and steps divides the error by about 4 with MacCormack, by less than 2.5 without."""
    errors = {}
    for scheme in SCHEMES:
        for n in (64, 128):
            _, start, end = turned(n, scheme, n // 2)
            errors[scheme, n] = np.linalg.norm(end - start) / np.linalg.norm(start)
    assert errors["maccormack", 64] / errors["maccormack", 128] > 3.0
    assert errors["semi-lagrangian", 64] / errors["semi-lagrangian", 128] < 2.5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mirror_symmetry(shape):
    grid, rng = MacGrid.create(shape), np.random.default_rng(1)
    velocity = [rng.standard_normal(u.shape) for u in grid.zeros()]
    field = rng.standard_normal(shape)
    mirrored = [np.flip(u, 0) * (-1 if axis == 0 else 1) for axis, u in enumerate(velocity)]
    one = advect(grid, field, velocity, 1.3)
    other = advect(grid, np.flip(field, 0), mirrored, 1.3)
    assert np.allclose(np.flip(other, 0), one, rtol=0, atol=1e-12)


def test_a_plane_is_a_slice_of_a_slab():
    """A field that does not depend on the middle axis moves as in the plane."""
    plane, slab, rng = MacGrid.create((9, 8)), MacGrid.create((9, 4, 8)), np.random.default_rng(2)
    u, w = (rng.standard_normal(c.shape) for c in plane.zeros())
    field = rng.standard_normal(plane.shape)

    def thick(values):
        return np.repeat(values[:, None, :], 4, axis=1)

    moved = advect(slab, thick(field), (thick(u), np.zeros((9, 5, 8)), thick(w)), 0.7)
    assert np.allclose(moved, thick(advect(plane, field, (u, w), 0.7)), rtol=0, atol=1e-12)


def test_threads_do_not_change_the_result():
    grid, velocity = rotation(160)
    with use_threads(1):
        one = advect(grid, blob(grid), velocity, 0.1)
    with use_threads(3):
        assert np.array_equal(advect(grid, blob(grid), velocity, 0.1), one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "upwind"}, "scheme is 'upwind'; expected one of maccormack, semi-lagrangian"),
        ({"field": np.zeros((3, 3))}, r"field has shape \(3, 3\); expected the grid's, \(4, 4\)"),
        ({"velocity": (np.zeros((5, 4)),)}, "velocity has 1 components; expected 2"),
        (
            {"velocity": (np.zeros((4, 4)), np.zeros((4, 5)))},
            r"velocity\[0\] has shape \(4, 4\); expected \(5, 4\)",
        ),
    ],
    ids=["scheme", "field", "components", "faces"],
)
def test_bad_arguments_are_named(change, message):
    grid = MacGrid.create((4, 4))
    arguments = {"field": np.zeros((4, 4)), "velocity": grid.zeros(), "dt": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        advect(grid, **arguments)
