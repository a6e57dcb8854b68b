"""PoissonOperator against its own matrix, its own physics, and known spectra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.backends.namespace import to_numpy
from sciml.operators import DIRICHLET, FLUID, SOLID, PoissonOperator, components
from sciml.testing import check_linear_operator

SHAPES = [(5, 7), (4, 5, 6), (1, 6), (2, 2, 3), (8, 1, 4), (2, 1, 1)]
CONDITIONS = {
    "dirichlet": lambda ndim: "dirichlet",
    "neumann": lambda ndim: "neumann",
    "periodic": lambda ndim: "periodic",
    "one-sided": lambda ndim: [("neumann", "dirichlet")] * ndim,
    "mixed": lambda ndim: ["periodic", *[("dirichlet", "neumann")] * (ndim - 1)],
}
COEFFICIENTS = ("constant", "cells", "faces", "closed faces")


def random_operator(shape, bc, obstacles, coefficient, shift, seed=0, **more):
    """A Poisson operator with random geometry and coefficients."""
    rng = np.random.default_rng(seed)
    cells = np.zeros(shape, dtype=np.uint8)
    if obstacles:
        cells[rng.random(shape) < 0.3] = SOLID
        cells[rng.random(shape) < 0.1] = DIRICHLET
    cells.flat[0] = FLUID
    k = None
    if coefficient == "cells":
        k = rng.random(shape) + 0.1
    elif "faces" in coefficient:
        faces = [tuple(m + (a == axis) for a, m in enumerate(shape)) for axis in range(len(shape))]
        k = tuple(rng.random(s) + 0.1 for s in faces)
        if coefficient == "closed faces":
            k = tuple(np.where(rng.random(face.shape) < 0.3, 0.0, face) for face in k)
    spacing = tuple(rng.random(len(shape)) + 0.5)
    return PoissonOperator(shape, spacing=spacing, bc=bc, cells=cells, coefficient=k, shift=shift, **more)


GRID = [
    pytest.param(
        (shape, CONDITIONS[bc](len(shape)), obstacles, coefficient, shift),
        id="-".join(
            [
                "x".join(map(str, shape)),
                bc,
                "obstacles" if obstacles else "box",
                coefficient.replace(" ", "-"),
            ]
            + (["shift"] if shift else [])
        ),
    )
    for shape, bc, obstacles, coefficient, shift in itertools.product(
        SHAPES, CONDITIONS, (False, True), COEFFICIENTS, (0.0, 0.7)
    )
]


@pytest.mark.parametrize("case", GRID)
def test_product_matrix_diagonal_and_null_space_agree(case):
    A = random_operator(*case)
    x = np.random.default_rng(1).standard_normal(A.in_shape)
    matrix = A.tocsr()
    np.testing.assert_allclose((A @ x).reshape(-1), matrix @ x.reshape(-1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(A.diagonal(), matrix.diagonal(), rtol=1e-14)
    assert abs(matrix - matrix.T).max() == 0.0
    np.testing.assert_array_equal(
        A.tocsr(unknowns_only=True).toarray(), matrix.toarray()[np.ix_(A.unknowns, A.unknowns)]
    )

    eigenvalues = np.linalg.eigvalsh(matrix.toarray())
    assert eigenvalues[0] > -1e-10
    # Cells walled in on all sides are singular components whose row was replaced by a regular one.
    null = 0
    if A.singular is not None:
        walled_in = np.count_nonzero((A.singular.labels > 0) & (A.code == 255))
        null = A.singular.count - walled_in
    assert np.count_nonzero(eigenvalues < 1e-10) == null


@pytest.mark.parametrize("case", GRID[::7])
def test_null_space_is_removed_by_the_projection(case):
    A = random_operator(*case)
    x = np.random.default_rng(1).standard_normal(A.in_shape)
    once = A.project(x)
    np.testing.assert_allclose(A.project(once), once, rtol=1e-12, atol=1e-14)
    if A.singular is None:
        assert once is x
        return
    labels = A.singular.labels.reshape(A.in_shape)
    for component in range(1, A.singular.count + 1):
        here = labels == component
        assert abs(once[here].mean()) < 1e-13
        constant = np.where(here & A.fluid, 1.0, 0.0)
        np.testing.assert_allclose(A @ constant, 0.0, atol=1e-12)
    np.testing.assert_array_equal(once[labels == 0], x[labels == 0])


@pytest.mark.parametrize("case", GRID[::5])
def test_poisson_keeps_the_operator_contract(case):
    assert check_linear_operator(random_operator(*case)) == []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", GRID[::23])
def test_every_library_gives_the_same_product(case, namespace, dtype):
    A = random_operator(*case, dtype=dtype, **namespace.operator_settings)
    assert check_linear_operator(A, like=namespace.array([0.0])) == []
    reference = random_operator(*case)
    x = np.random.default_rng(2).standard_normal(A.in_shape)
    y = to_numpy(A @ namespace.array(x, dtype))
    np.testing.assert_allclose(y, reference @ x, rtol=0, atol=1e-12 if dtype == "float64" else 2e-5)
    np.testing.assert_allclose(to_numpy(A.project(namespace.array(x))), reference.project(x), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple),
    bc=st.sampled_from(sorted(CONDITIONS)),
    obstacles=st.booleans(),
    coefficient=st.sampled_from(COEFFICIENTS),
    shift=st.sampled_from([0.0, 1e-3, 50.0]),
    seed=st.integers(0, 2**16),
)
def test_random_geometries_keep_the_contract(shape, bc, obstacles, coefficient, shift, seed):
    A = random_operator(shape, CONDITIONS[bc](len(shape)), obstacles, coefficient, shift, seed)
    assert check_linear_operator(A, seed=seed) == []
    x = np.random.default_rng(seed).standard_normal(shape)
    np.testing.assert_allclose((A @ x).reshape(-1), A.tocsr() @ x.reshape(-1), rtol=1e-11, atol=1e-11)


# -- known answers ----------------------------------------------------------------------------
def test_two_cells_by_hand():
    # x = (x0, x1) with spacing 2: an inner face of weight 1/4, Dirichlet faces of weight 2/4 at both ends,
    # no flux across the other axis.
    A = PoissonOperator((2, 1), spacing=(2.0, 1.0), bc=["dirichlet", "neumann"], shift=1.0)
    np.testing.assert_allclose(A.tocsr().toarray(), [[1.75, -0.25], [-0.25, 1.75]])


@pytest.mark.parametrize(
    ("bc", "angles"),
    [
        ("dirichlet", lambda n: np.pi * np.arange(1, n + 1) / n),
        ("neumann", lambda n: np.pi * np.arange(n) / n),
        ("periodic", lambda n: 2 * np.pi * np.arange(n) / n),
        (("neumann", "dirichlet"), lambda n: np.pi * (np.arange(n) + 0.5) / n),
    ],
    ids=["dirichlet", "neumann", "periodic", "neumann-dirichlet"],
)
def test_spectrum_of_a_box_is_the_known_one(bc, angles):
    shape, spacing = (5, 4), (0.5, 0.25)
    A = PoissonOperator(shape, spacing=spacing, bc=[bc, bc])
    one = [(2 - 2 * np.cos(angles(n))) / h**2 for n, h in zip(shape, spacing, strict=True)]
    expected = np.sort(np.add.outer(one[0], one[1]).reshape(-1))
    found = np.linalg.eigvalsh(A.tocsr().toarray())
    np.testing.assert_allclose(found, expected, atol=1e-11 * expected[-1])


def test_linear_field_between_dirichlet_sides_is_reproduced_exactly():
    A = PoissonOperator((6, 5, 4), spacing=(0.1, 0.2, 0.3), bc=["dirichlet", "neumann", "neumann"])
    x0, _, _ = A.coordinates()
    x = np.broadcast_to(3.0 + 2.0 * x0, A.in_shape)
    b = A.boundary_rhs({"dirichlet": lambda x, y, z: 3.0 + 2.0 * x})
    np.testing.assert_allclose(A @ x, b, atol=1e-11)


def test_outward_flux_drives_a_linear_field():
    A = PoissonOperator((6, 5), spacing=0.5, bc=[("dirichlet", "neumann"), "neumann"])
    x0, _ = A.coordinates()
    b = A.boundary_rhs(
        {"dirichlet": lambda x, y: 0 * x, "neumann": lambda x, y: 2.0 * (x > 0.0) * (x == 3.0)}
    )
    np.testing.assert_allclose(A @ np.broadcast_to(2.0 * x0, A.in_shape), b, atol=1e-12)


@pytest.mark.parametrize("bc", ["dirichlet", "periodic"])
def test_dirichlet_cells_prescribe_values_at_their_centres(bc, rng):
    cells = np.zeros((6, 5), dtype=int)
    cells[0, :] = cells[3, 2] = DIRICHLET
    k = rng.random((6, 5)) + 0.5
    A = PoissonOperator((6, 5), bc=bc, cells=cells, coefficient=k)
    x = np.full(A.in_shape, 7.0)
    b = A.boundary_rhs(lambda x, y: 7.0 + 0 * x * y)
    np.testing.assert_allclose((A @ x)[A.fluid], b[A.fluid], atol=1e-11)
    assert not b[~A.fluid].any()


def test_constants_pass_through_a_shifted_neumann_box_as_the_shift():
    shift = np.arange(1.0, 13.0).reshape(3, 4)
    A = PoissonOperator((3, 4), bc="neumann", shift=shift)
    np.testing.assert_allclose(A @ np.ones((3, 4)), shift)


def test_solid_cells_carry_their_own_equation_and_see_no_flux():
    cells = np.zeros((4, 4), dtype=bool)
    cells[1, 1] = True
    A = PoissonOperator((4, 4), bc="neumann", cells=cells)
    x = np.ones((4, 4))
    x[1, 1] = 5.0
    y = A @ x
    np.testing.assert_allclose(y[~cells], 0.0, atol=1e-14)
    assert y[1, 1] == 5.0 * A.diagonal().reshape(4, 4)[1, 1] > 0


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([(9, 11), (6, 7, 8), (1, 14), (12, 1)]),
    bc=st.sampled_from(list(CONDITIONS)),
    walls=st.floats(0.0, 0.6),
    seed=st.integers(0, 2**16),
)
def test_a_flood_finds_what_labels_find(shape, bc, walls, seed):
    rng = np.random.default_rng(seed)
    cells = np.where(rng.random(shape) < walls, SOLID, FLUID)
    cells.flat[0] = FLUID

    def found(from_cells):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(components, "FLOODED", from_cells)
            return PoissonOperator(shape, cells=cells, bc=CONDITIONS[bc](len(shape))).singular

    labelled, flooded = found(10**9), found(0)
    assert (labelled is None) == (flooded is None)
    if labelled is not None:
        np.testing.assert_array_equal(labelled.labels, flooded.labels)


def test_a_flood_that_reaches_everything_needs_no_labels(monkeypatch):
    """It goes around the ends of staggered walls; what a closed one cuts off is labelled."""

    def labels(*_):
        raise AssertionError("labelled")

    monkeypatch.setattr(components, "FLOODED", 0)
    monkeypatch.setattr(components, "_connected_components", labels)
    cells = np.zeros((40, 12), np.uint8)
    for n, row in enumerate(range(2, 14, 2)):
        cells[row, slice(None, -1) if n % 2 else slice(1, None)] = SOLID
    bc = [("dirichlet", "neumann"), "neumann"]
    assert PoissonOperator(cells.shape, cells=cells, bc=bc).singular is None
    cells[1] = SOLID
    with pytest.raises(AssertionError, match="labelled"):
        PoissonOperator(cells.shape, cells=cells, bc=bc)


def test_enclosed_pocket_is_a_singular_component():
    cells = np.zeros((7, 7), dtype=bool)
    cells[2:5, 2:5] = True
    cells[3, 3] = False
    pinned = PoissonOperator((7, 7), cells=cells)
    assert pinned.singular.count == 1
    free = PoissonOperator((7, 7), cells=cells, bc="neumann")
    assert free.singular.count == 2
    assert "positive_definite" not in free.properties
    assert "2 singular component(s)" in repr(free)
    assert PoissonOperator((7, 7), cells=cells, bc="neumann", shift=0.1).singular is None


def test_closed_faces_separate_components():
    k = (np.ones((5, 3)), np.ones((4, 4)))
    k[0][2] = 0.0  # no flux between rows 1 and 2
    A = PoissonOperator((4, 3), bc="neumann", coefficient=k)
    assert A.singular.count == 2


@pytest.mark.parametrize("coefficient", ["constant", "cells"])
def test_a_large_constant_coefficient_only_scales(coefficient, rng):
    x = rng.standard_normal((4, 6))
    plain = PoissonOperator((4, 6), bc=["periodic", "dirichlet"])
    scaled = PoissonOperator((4, 6), bc=["periodic", "dirichlet"], coefficient=np.full((4, 6), 1e6))
    np.testing.assert_allclose(scaled @ x, 1e6 * (plain @ x), rtol=1e-12)


def test_harmonic_mean_at_a_jump():
    k = np.array([[1.0], [3.0]])
    A = PoissonOperator((2, 1), bc="neumann", coefficient=k)
    np.testing.assert_allclose(A.tocsr().toarray(), [[1.5, -1.5], [-1.5, 1.5]])


def test_astype_shares_the_geometry():
    A = PoissonOperator((6, 6))
    B = A.astype("float32")
    assert B.dtype == np.float32
    assert B.code is A.code
    assert A.dtype == np.float64


def test_complex_vectors_pass_through(namespace):
    A = PoissonOperator((4, 3), bc=["periodic", "neumann"], **namespace.operator_settings)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3))
    expected = A.tocsr() @ x.reshape(-1)
    np.testing.assert_allclose(to_numpy(A @ namespace.array(x)).reshape(-1), expected, rtol=1e-13)


# -- refusals ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (4,)}, ValueError, r"shape is \(4,\); expected two or three"),
        ({"shape": (4, 0)}, ValueError, r"shape is \(4, 0\)"),
        ({"shape": (4, 2.5)}, ValueError, r"shape is \(4, 2.5\)"),
        ({"shape": 4}, TypeError, "shape is 4"),
        ({"spacing": 0.0}, ValueError, r"spacing is 0\.0"),
        ({"spacing": (1.0, np.nan)}, ValueError, "spacing is"),
        ({"spacing": (1.0, 1.0, 1.0)}, ValueError, "expected a positive number or 2"),
        ({"bc": "robin"}, ValueError, "bc is 'robin'; expected one of dirichlet, neumann, periodic"),
        ({"bc": ["dirichlet"]}, ValueError, "bc is"),
        ({"bc": [("periodic", "neumann"), "neumann"]}, ValueError, "periodic on both of its sides"),
        ({"cells": np.zeros((3, 3), bool)}, ValueError, r"cells has shape \(3, 3\); expected \(4, 5\)"),
        ({"cells": np.zeros((4, 5))}, TypeError, "cells has dtype float64"),
        ({"cells": np.full((4, 5), 3)}, ValueError, "cells holds marks"),
        ({"cells": np.ones((4, 5), bool)}, ValueError, "no fluid cell"),
        ({"shift": -1.0}, ValueError, "shift must be finite and non-negative"),
        ({"shift": np.ones(4)}, ValueError, r"shift has shape \(4,\)"),
        ({"coefficient": np.zeros((4, 5))}, ValueError, "coefficient must be finite and positive"),
        ({"coefficient": np.ones((5, 5))}, ValueError, r"coefficient has shape \(5, 5\)"),
        ({"coefficient": (np.ones((5, 5)),)}, ValueError, "holds 1 face arrays; expected 2"),
        ({"coefficient": (np.ones((5, 5)), np.ones((4, 5)))}, ValueError, r"coefficient\[1\] has shape"),
        ({"coefficient": (-np.ones((5, 5)), np.ones((4, 6)))}, ValueError, r"coefficient\[0\] must be"),
        ({"dtype": "complex128"}, TypeError, "dtype is complex128; expected float32 or float64"),
        ({"dtype": "float16"}, TypeError, "dtype is float16"),
        ({"backend": "jax"}, ValueError, "backend is 'jax'; expected one of numpy, torch"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        PoissonOperator(**{"shape": (4, 5), **arguments})


def test_array_of_another_library_is_refused(namespace):
    A = PoissonOperator((3, 3), **namespace.operator_settings)
    other = "numpy" if namespace.library != "numpy" else "array-api-strict"
    from sciml.backends.namespace import from_numpy

    with pytest.raises(TypeError, match=f"x is a {other} array but this PoissonOperator was made for"):
        A @ from_numpy(np.ones((3, 3)), other)


def test_boundary_rhs_refuses_unknown_kinds():
    with pytest.raises(ValueError, match="value has keys"):
        PoissonOperator((3, 3)).boundary_rhs({"robin": lambda x, y: x})
