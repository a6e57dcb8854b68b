"""Manufactured solutions against finite differences and against their own boundary conditions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.problems import Manufactured

SIDES = {
    "DD": ("dirichlet", "dirichlet"),
    "NN": ("neumann", "neumann"),
    "PP": ("periodic", "periodic"),
    "DN": ("dirichlet", "neumann"),
    "ND": ("neumann", "dirichlet"),
}
LENGTHS = (1.0, 1.7)


def cases():
    for names in itertools.product(SIDES, repeat=2):
        for homogeneous in (True, False):
            kind = "homogeneous" if homogeneous else "general"
            yield pytest.param([SIDES[n] for n in names], homogeneous, id="/".join(names) + f"-{kind}")


@pytest.mark.parametrize(("bc", "homogeneous"), list(cases()))
@pytest.mark.parametrize("variable", [False, True], ids=["constant", "variable"])
def test_source_is_the_operator_applied_to_the_solution(bc, homogeneous, variable):
    u = Manufactured(bc, LENGTHS, homogeneous=homogeneous, variable=variable, shift=2.5)
    x = [np.array([0.31, 0.62]), np.array([0.4, 1.3])]
    h = 1e-4
    divergence = np.zeros(2)
    for axis in range(2):
        step = [h * (a == axis) for a in range(2)]

        def at(f, s, step=step):
            return f(*(c + s * d for c, d in zip(x, step, strict=True)))

        flux = [at(u.coefficient, s + 0.5) * (at(u.exact, s + 1) - at(u.exact, s)) / h for s in (-1, 0)]
        divergence += (flux[1] - flux[0]) / h
    assert np.allclose(u.source(*x), -divergence + 2.5 * u.exact(*x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", list(itertools.product(SIDES, repeat=2)), ids="/".join)
def test_homogeneous_solutions_meet_their_sides(names):
    u = Manufactured([SIDES[n] for n in names], LENGTHS)
    inside = [np.linspace(0.1, 0.9, 5) * length for length in LENGTHS]
    for axis, side in itertools.product(range(2), range(2)):
        kind = u.bc[axis][side]
        points = [inside[a] if a != axis else np.array([side * LENGTHS[axis]]) for a in range(2)]
        if kind == "dirichlet":
            assert np.allclose(u.exact(*points), 0.0, atol=1e-14)
        elif kind == "neumann":
            assert np.allclose(u.flux(*points), 0.0, atol=1e-13)
        else:
            opposite = [
                p if a != axis else np.array([(1 - side) * LENGTHS[axis]]) for a, p in enumerate(points)
            ]
            assert np.allclose(u.exact(*points), u.exact(*opposite))


@given(position=st.floats(0.1, 0.9), side=st.sampled_from([0, 1]), axis=st.sampled_from([0, 1]))
def test_flux_is_the_outward_derivative(position, side, axis):
    u = Manufactured([SIDES["NN"]] * 2, LENGTHS, homogeneous=False, variable=True)
    end = side * LENGTHS[axis]
    along = np.array([position * LENGTHS[1 - axis]])

    def point(c):
        return [np.array([c]) if a == axis else along for a in range(2)]

    h = 1e-5
    outward = (1 if side else -1) * (u.exact(*point(end + h)) - u.exact(*point(end - h))) / (2 * h)
    expected = u.coefficient(*point(end)) * outward
    assert np.allclose(u.flux(*point(end)), expected, rtol=1e-6)


def test_flux_wants_points_of_a_side():
    u = Manufactured([SIDES["NN"]], [1.0])
    with pytest.raises(ValueError, match="no coordinate lies on the surface"):
        u.flux(np.array([0.5]))
