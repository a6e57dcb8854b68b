"""Parts of geometries and right-hand sides are those of the whole, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.problems.geometry import GEOMETRIES, obstacle_mask
from sciml.problems.noise import normal
from sciml.problems.poisson import source

SHAPES = [(70, 41), (45, 33, 38)]


@st.composite
def boxes(draw, shape):
    """A part of a grid."""
    box = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        box.append(slice(start, draw(st.integers(start + 1, n))))
    return tuple(box)


@pytest.mark.parametrize("shape", SHAPES, ids=["2D", "3D"])
@pytest.mark.parametrize("name", GEOMETRIES)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 3))
def test_part_of_a_geometry(name, shape, data, seed):
    box = data.draw(boxes(shape))
    part = obstacle_mask(name, shape, seed, box)
    assert np.array_equal(part, obstacle_mask(name, shape, seed)[box])


@pytest.mark.parametrize("shape", SHAPES, ids=["2D", "3D"])
@pytest.mark.parametrize("rhs", ["random", "smooth"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_part_of_a_right_hand_side(rhs, shape, dtype, data):
    box = data.draw(boxes(shape))
    part = source(rhs, shape, 3, dtype=dtype, box=box)
    assert part.dtype == dtype
    assert np.array_equal(part, source(rhs, shape, 3, dtype=dtype)[box])


def test_values_are_standard_normal_and_blocks_are_independent():
    values = normal((96, 64, 64), [7])
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    blocks = values.reshape(3, 32, 2, 32, 2, 32).transpose(0, 2, 4, 1, 3, 5).reshape(12, -1)
    correlation = np.corrcoef(blocks) - np.eye(12)
    assert np.abs(correlation).max() < 0.03  # six standard deviations of 32,768 values


def test_other_keys_are_other_values():
    first = normal((64, 64), [0])
    for key in ([1], [0, 0], [0, 1]):
        assert abs(np.corrcoef(first.reshape(-1), normal((64, 64), key).reshape(-1))[0, 1]) < 0.1, key
