"""Domains: membership, uniform points inside and on the boundary, algebra, emptiness."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml.learned.pinn import Ball, Box, Domain  # noqa: E402

SQUARE = Box([-1, -1], [1, 1])
DOMAINS = {
    "interval": Box([0], [2]),
    "box": Box([-1, 0, 2], [1, 3, 4]),
    "disc": Ball([1, -1], 0.5),
    "ball in 5-d": Ball([0] * 5, 2.0),
    "L-shape": SQUARE - Box([0, -1], [1, 0]),
    "plate with a hole": SQUARE - Ball([0, 0], 0.5),
    "two boxes that touch": Box([0, 0], [1, 1]) | Box([1, 0], [2, 1]),
    "lens": Ball([0, 0], 1.0) & Ball([1, 0], 1.0),
}


@pytest.fixture(params=DOMAINS.values(), ids=DOMAINS.keys())
def domain(request):
    return request.param


def test_points_lie_inside(domain, rng):
    assert isinstance(domain, Domain)
    x = domain.sample(500, rng)
    low, high = domain.bounds
    assert x.shape == (500, domain.dimension)
    assert x.dtype == torch.float64
    assert domain.contains(x).all()
    assert ((x >= low) & (x <= high)).all()


def test_boundary_points_separate_inside_from_outside(domain, rng):
    x, normals = domain.sample_boundary(400, rng)
    assert x.shape == normals.shape == (400, domain.dimension)
    assert torch.allclose(torch.linalg.vector_norm(normals, dim=1), torch.ones(400, dtype=torch.float64))
    assert domain.contains(x - 1e-6 * normals).all()
    assert not domain.contains(x + 1e-6 * normals).any()


def test_the_same_generator_gives_the_same_points(domain):
    first, second = (domain.sample(7, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first, second)


SHARES = [
    ("L-shape", lambda x: (x[:, 0] == 0) & (x[:, 1] < 0), 1 / 8),
    ("L-shape", lambda x: x[:, 0] == -1, 2 / 8),
    ("plate with a hole", lambda x: x.abs().amax(dim=1) < 0.9, math.pi / (math.pi + 8)),
    ("two boxes that touch", lambda x: x[:, 1] == 0, 2 / 6),
    ("box", lambda x: (x[:, 1] == 0) | (x[:, 1] == 3), 8 / 32),
    ("lens", lambda x: x[:, 0] > 0.5, 0.5),
]


@pytest.mark.parametrize(("name", "part", "share"), SHARES, ids=[f"{s[0]} {s[2]:.2f}" for s in SHARES])
def test_boundary_points_are_uniform_by_area(name, part, share, rng):
    n = 20_000
    x, _ = DOMAINS[name].sample_boundary(n, rng)
    found = float(part(x).double().mean())
    assert abs(found - share) < 5 * math.sqrt(share * (1 - share) / n)


@settings(max_examples=25, deadline=None)
@given(d=st.integers(1, 6), seed=st.integers(0, 1000))
def test_ball_is_filled_uniformly(d, seed):
    """The share of points within a radius r is r^d."""
    x = Ball([0.0] * d, 1.0).sample(4000, np.random.default_rng(seed))
    share = 0.5
    inside = float((torch.linalg.vector_norm(x, dim=1) < share ** (1 / d)).double().mean())
    assert abs(inside - share) < 5 * math.sqrt(share * (1 - share) / 4000)


def test_measures():
    assert Box([0, 0, 0], [1, 2, 3]).volume == pytest.approx(6)
    assert Box([0, 0, 0], [1, 2, 3]).area == pytest.approx(22)
    assert Ball([0, 0, 0], 2.0).volume == pytest.approx(4 / 3 * math.pi * 8)
    assert Ball([0, 0, 0], 2.0).area == pytest.approx(4 * math.pi * 4)
    for interval in (Box([3], [5]), Ball([0], 1.0)):
        assert interval.area == pytest.approx(2)  # its two ends
    assert (SQUARE - Ball([0, 0], 0.5)).volume is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Box([0, 1], [1, 1]), "is empty"),
        (lambda: Box([0, 1], [1]), "upper has 1 numbers; expected 2"),
        (lambda: Box([0, math.nan], [1, 1]), "lower is"),
        (lambda: Ball([0, 0], 0), "radius is 0"),
        (lambda: SQUARE | Box([0], [1]), "dimension 2 with one of 1"),
        (lambda: Box([0, 0], [1, 1]) & Box([2, 2], [3, 3]), "is empty"),
        (lambda: (Ball([0, 0], 1.0) - Ball([0, 0], 2.0)).sample(3, np.random.default_rng(0)), "is empty"),
        (lambda: SQUARE.sample(0, np.random.default_rng(0)), "n is 0"),
        (lambda: SQUARE.contains(torch.zeros(3, 3)), r"expected \(n, 2\)"),
    ],
)
def test_errors_are_sentences(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_only_domains_combine():
    with pytest.raises(TypeError, match="cannot combine a domain with a float"):
        SQUARE | 1.0
    with pytest.raises(TypeError, match="expected a torch tensor"):
        SQUARE.contains(np.zeros((3, 2)))
