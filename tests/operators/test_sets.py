"""Projections and proximal maps against their defining properties and brute force."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciml.backends.namespace import to_numpy
from sciml.operators.sets import (
    Affine,
    Box,
    L1Ball,
    L1Norm,
    L2Ball,
    NonNegative,
    Product,
    Simplex,
    WholeSpace,
)

C = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, -1.0, 2.0, 0.0, 1.0]])
SETS = {
    "whole": WholeSpace(),
    "simplex": Simplex(),
    "simplex2": Simplex(2.0),
    "box": Box(-0.5, 1.0),
    "half-open box": Box(lower=0.25),
    "non-negative": NonNegative(),
    "l1 ball": L1Ball(1.5),
    "l2 ball": L2Ball(0.7, center=0.2),
    "affine": Affine(C, np.array([1.0, -1.0])),
    "product": Product([(Simplex(), 4), (Box(0.0, 1.0), 2)]),
}
vectors = arrays(np.float64, 6, elements=st.floats(-5, 5, allow_subnormal=False))
every_set = pytest.mark.parametrize("G", SETS.values(), ids=SETS)


@every_set
@given(u=vectors, v=vectors)
@settings(max_examples=60, deadline=None)
def test_projections_are_idempotent_firmly_nonexpansive_and_ignore_the_step(G, u, v):
    p, q = G.resolvent(u, 0.3), G.resolvent(v, 0.3)
    assert np.allclose(G.resolvent(p, 1.0), p, atol=1e-12)
    assert np.allclose(G.resolvent(u, 7.0), p, atol=0)
    assert np.dot(p - q, p - q) <= np.dot(p - q, u - v) + 1e-10


@every_set
@given(u=vectors, v=vectors)
@settings(max_examples=40, deadline=None)
def test_projection_is_the_nearest_point(G, u, v):
    nearest, other = G.resolvent(u, 1.0), G.resolvent(v, 1.0)
    assert np.linalg.norm(u - nearest) <= np.linalg.norm(u - other) + 1e-9


@every_set
@given(u=vectors, v=vectors)
@settings(max_examples=30, deadline=None)
def test_differences_of_feasible_points_are_tangent(G, u, v):
    d = G.resolvent(u, 1.0) - G.resolvent(v, 1.0)
    assert np.allclose(G.tangent(d), d, atol=1e-10)
    assert np.allclose(G.tangent(G.tangent(u)), G.tangent(u), atol=1e-10)


@every_set
def test_same_in_every_namespace(G, namespace, rng):
    if isinstance(G, Affine) and namespace.library != "numpy":
        G = Affine(namespace.array(C), namespace.array(np.array([1.0, -1.0])))
        expected = SETS["affine"]
    else:
        expected = G
    u = rng.standard_normal(6)
    found = G.resolvent(namespace.array(u), 0.5)
    assert type(found) is type(namespace.array(u))
    assert np.allclose(to_numpy(found), expected.resolvent(u, 0.5), atol=1e-14)


def test_simplex_known_answers():
    assert np.allclose(Simplex().resolvent(np.array([0.5, 0.5, -1.0])), [0.5, 0.5, 0.0])
    assert np.allclose(Simplex().resolvent(np.full(4, 9.0)), np.full(4, 0.25))
    assert np.allclose(Simplex().resolvent(np.array([3.0])), [1.0])


def test_l1_ball_against_a_general_solver(rng):
    u = 3 * rng.standard_normal(5)
    p = L1Ball(1.0).resolvent(u)
    start = np.concatenate([np.maximum(p, 0), np.maximum(-p, 0)]) + 0.01
    found = scipy.optimize.minimize(
        lambda z: np.sum((z[:5] - z[5:] - u) ** 2),
        start,
        bounds=[(0, None)] * 10,
        constraints={"type": "ineq", "fun": lambda z: 1.0 - z.sum()},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert np.allclose(p, found.x[:5] - found.x[5:], atol=1e-5)


def test_soft_threshold_with_a_step_per_entry():
    u, step = np.array([3.0, -3.0, 0.5]), np.array([1.0, 2.0, 1.0])
    assert np.allclose(L1Norm(1.0).resolvent(u, step), [2.0, -1.0, 0.0])
    assert L1Norm(1.0).free(u, step).tolist() == [True, True, False]


def test_product_hands_each_part_its_own_step():
    G = Product([(L1Norm(1.0), 2), (WholeSpace(), 1)])
    assert np.allclose(G.resolvent(np.array([3.0, 3.0, 3.0]), np.array([1.0, 2.0, 9.0])), [2.0, 1.0, 3.0])
    assert G.free(np.array([3.0, 1.0, 3.0]), np.array([1.0, 2.0, 9.0])).tolist() == [True, False, True]


def test_free_entries_of_a_box_and_none_where_entries_are_coupled():
    assert Box(0.0, 1.0).free(np.array([-1.0, 0.5, 2.0]), 1.0).tolist() == [False, True, False]
    assert Simplex().free(np.ones(3), 1.0) is None
    assert Product([(Simplex(), 1), (Box(), 2)]).free(np.ones(3), 1.0) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Simplex(0.0), "total is 0.0"),
        (lambda: Simplex(float("nan")), "total is nan"),
        (lambda: L2Ball(-1.0), "radius is -1.0"),
        (lambda: L1Norm(0), "weight is 0"),
        (lambda: Box(1.0, 0.0), "box is empty"),
        (lambda: Box(np.array([0.0, np.nan]), 1.0), "lower holds NaN"),
        (lambda: Affine(np.ones((2, 3)), np.array([1.0, 2.0])), "set is empty"),
        (lambda: Affine(np.ones((2, 3)), np.ones(3)), "expected \\(m, n\\)"),
        (lambda: Product([]), "at least one part"),
        (lambda: Product([(Simplex(), 3)]).check(np.ones(4)), "expected \\(3,\\)"),
        (lambda: Box(np.zeros(3), 1.0).check(np.ones(4)), "expected the shape of u0"),
        (lambda: SETS["affine"].check(np.ones(4)), "to match C"),
    ],
)
def test_bad_sets_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
