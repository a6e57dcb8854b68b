"""Obstacle geometries: reproducible, of the announced shape, connected, the same whatever the chunking."""

import itertools

import numpy as np
import pytest
import scipy.ndimage

from sciml.problems import GEOMETRIES, obstacle_mask, poisson
from sciml.problems import geometry as module

SHAPES = [(40, 33), (28, 25, 31)]
IDS = ["2d", "3d"]


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_seed_decides_the_geometry(name, shape):
    first, again, other = (obstacle_mask(name, shape, seed) for seed in (3, 3, 4))
    assert first.dtype == bool
    assert first.shape == shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [
        ("balls", (64, 64, 64), 0.02, 0.20),
        ("balls", (256, 256), 0.15, 0.50),
        ("boxes", (64, 64, 64), 0.02, 0.30),
        ("channels", (96, 96), 0.05, 0.25),
        ("walls", (96, 96, 96), 0.05, 0.15),
        ("porous", (96, 96, 96), 0.20, 0.27),
    ],
)
def test_share_of_solid_cells(name, shape, low, high):
    share = np.mean([obstacle_mask(name, shape, seed).mean() for seed in range(3)])
    assert low < share < high


def test_balls_are_the_same_bodies_on_finer_grids():
    coarse, fine = obstacle_mask("balls", (32,) * 3, 0), obstacle_mask("balls", (64,) * 3, 0)
    averaged = fine.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    assert np.abs(coarse.mean() - fine.mean()) < 0.01
    assert np.all(coarse[averaged == 1.0])
    assert not np.any(coarse[averaged == 0.0])


@pytest.mark.parametrize("ndim", [2, 3])
def test_walls_are_one_cell_thick(ndim):
    solid = obstacle_mask("walls", (80,) * ndim, 1)
    # No solid cube of two cells per axis exists where walls are one cell thick.
    corners = [slice(0, -1), slice(1, None)]
    thick = np.logical_and.reduce([solid[where] for where in itertools.product(corners, repeat=ndim)])
    assert solid.any()
    assert not thick.any()


def test_gaps_in_walls_are_two_cells_wide():
    solid = obstacle_mask("walls", (200, 200), 0)
    wall = next(i for i in range(200) if solid[i].mean() > 0.5)
    labels, gaps = scipy.ndimage.label(~solid[wall])
    widths = np.bincount(labels)[1:]
    assert gaps >= 4
    assert set(widths) == {2}


def test_every_room_between_walls_can_be_left():
    for shape in ((100, 100), (60, 60, 60)):
        _, regions = scipy.ndimage.label(~obstacle_mask("walls", shape, 2))
        assert regions == 1


def test_porous_walls_are_watertight_in_3d():
    """The zero level separates two labyrinths, so no region holds both signs and each is a large one."""
    solid = obstacle_mask("porous", (48,) * 3, 0)
    labels, _ = scipy.ndimage.label(~solid)
    sizes = np.sort(np.bincount(labels.reshape(-1))[1:])[::-1]
    assert sizes[:2].sum() > 0.95 * sizes.sum()
    assert sizes[1] > 0.2 * sizes.sum()


def test_porous_is_the_same_whatever_the_chunk(monkeypatch):
    whole = obstacle_mask("porous", (20, 12, 12), 5)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 1)  # one plane at a time
    assert np.array_equal(obstacle_mask("porous", (20, 12, 12), 5), whole)


def test_channels_leave_one_long_path():
    solid = obstacle_mask("channels", (80, 40), 0)
    _, regions = scipy.ndimage.label(~solid)
    assert regions == 1
    plates = [i for i in range(80) if solid[i].any()]
    ends = {bool(solid[i, 0]) for i in plates}
    assert ends == {True, False}  # the opening alternates between the two ends


def test_unknown_geometry_is_named():
    with pytest.raises(ValueError, match=r"obstacles is 'cubes'; expected .*balls, boxes"):
        obstacle_mask("cubes", (8, 8), 0)


@pytest.mark.parametrize("shape", [(1, 9), (2, 2, 2), (1, 1, 30), (3, 200)], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_tiny_and_thin_grids(name, shape):
    solid = obstacle_mask(name, shape, 0)
    assert solid.shape == shape


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_problems_are_regular_and_reach_the_open_side(name, shape):
    problem = poisson(shape, obstacles=name, seed=1)
    assert problem.A.singular is None
    labels, _ = scipy.ndimage.label(~problem.mask)
    reached = set(np.unique(labels[..., -1])) - {0}
    assert set(np.unique(labels)) - {0} == reached
