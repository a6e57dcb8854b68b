"""Candidate terms: the published list, filters, evaluation, dependent columns."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.namespace import to_numpy
from sciml.learned.medida import Library, Term, vorticity_library
from sciml.learned.medida.library import require_independent, term_from_form
from sciml.problems import Fields, PeriodicGrid, kolmogorov, random_phases


def test_published_library_has_24_terms(library):
    assert len(library) == 24
    assert {"u_x", "u_xxxx", "u", "u^4", "u u_x", "u^4 u_xxxx"} <= set(library.names)
    assert "u^5" not in library.names


def test_terms_are_what_their_names_say(library, rng):
    grid = PeriodicGrid(32, 2 * np.pi)
    u = random_phases(grid, rng, cutoff=3.0)
    columns = dict(zip(library.names, library.evaluate(u, grid), strict=True))
    np.testing.assert_allclose(columns["u^3"], u**3)
    np.testing.assert_allclose(columns["u^2 u_xx"], u**2 * grid.derivative(u, 2), atol=1e-10)
    np.testing.assert_allclose(columns["u_xxx"], grid.derivative(u, 3), atol=1e-10)


def test_symbols_are_those_of_the_linear_terms(rng):
    grid = PeriodicGrid(32, 2 * np.pi)
    u = random_phases(grid, rng, cutoff=5.0)
    for term in Library.powers():
        symbol = term.symbol(grid)
        assert (symbol is not None) == (term.powers[0] == 0)
        if symbol is not None:
            applied = grid.inverse(symbol * grid.transform(u))
            np.testing.assert_allclose(applied, term(Fields(u, grid)), atol=1e-9)


def test_filters(library):
    assert set(library.galilean().names) == {"u_x", "u_xx", "u_xxx", "u_xxxx", "u u_x"}
    odd = library.reflection_symmetric()
    assert {"u u_x", "u_xx", "u_xxxx", "u^3", "u^2 u_xx"} <= set(odd.names)
    assert not {"u_x", "u_xxx", "u^2 u_x", "u^2"} & set(odd.names)
    # a velocity: diffusivities have units (2, -1), the coefficient of u u_x has none
    assert set(library.with_units(1, -1, [(0, 0), (2, -1)]).names) == {"u u_x", "u_xx"}
    assert "u" not in library.without("u").names


def test_reflection_is_a_symmetry_of_what_is_kept(library, rng):
    """N(R u) = R N(u) for (R u)(x) = -u(-x), term by term; the dropped ones violate it."""
    grid = PeriodicGrid(32, 2 * np.pi)
    u = random_phases(grid, rng, cutoff=3.0)

    def reflect(v):
        return -np.roll(v[::-1], 1)

    for term in library:
        image, expected = term(Fields(reflect(u), grid)), reflect(term(Fields(u, grid)))
        kept = term.name in library.reflection_symmetric().names
        assert np.allclose(image, expected, atol=1e-8) == kept, term.name


def test_polynomials_of_a_system():
    library = Library.polynomials("xyz", degree=2)
    assert len(library) == 30
    u = np.array([[2.0, 3.0, 5.0]])
    np.testing.assert_allclose(library["y': x z"](Fields(u)), [[0.0, 10.0, 0.0]])
    np.testing.assert_allclose(library["z': y^2"](Fields(u)), [[0.0, 0.0, 9.0]])
    assert len(Library.polynomials("xy", degree=1, constant=False)) == 4


def test_ring_of_neighbours():
    library = Library.ring((-1, 0, 1), degree=2)
    u = np.arange(5.0)
    np.testing.assert_allclose(library["x[i-1] x[i+1]"](Fields(u)), np.roll(u, 1) * np.roll(u, -1))
    np.testing.assert_allclose(library["1"](Fields(u)), 1.0)


def test_libraries_run_in_every_library(namespace, library, rng):
    grid = PeriodicGrid(16, 2 * np.pi)
    u = random_phases(grid, rng, cutoff=3.0)
    columns = library.evaluate(namespace.array(u), grid)
    np.testing.assert_allclose(to_numpy(columns), library.evaluate(u, grid), atol=1e-3)


def test_vorticity_terms_rebuild_the_equation(rng):
    equation = kolmogorov(24, viscosity=0.1, drag=0.2, forcing=0.5)
    omega = equation.grid.lowpass(random_phases(equation.grid, rng, cutoff=4.0), 4.0)
    library = vorticity_library()
    columns = dict(zip(library.names, library.evaluate(omega, equation.grid), strict=True))
    total = -columns["v·∇ω"] + 0.1 * columns["Δω"] - 0.2 * columns["ω"] + 0.5 * columns["forcing"]
    low = equation.grid.lowpass(total - equation.tendency(omega), 7.0)  # the equation de-aliases above
    np.testing.assert_allclose(low, 0.0, atol=1e-9)


@pytest.mark.parametrize(
    "term", [*Library.powers(2, 2), *Library.polynomials("xy"), *Library.ring((-1, 0))], ids=str
)
def test_ready_made_terms_are_rebuilt_from_their_form(term):
    assert term_from_form(list(term.form)).name == term.name


def test_unknown_form():
    with pytest.raises(ValueError, match="not the form"):
        term_from_form(["exec", "rm"])


def test_bad_libraries():
    with pytest.raises(ValueError, match="empty"):
        Library([])
    with pytest.raises(TypeError, match="Term objects"):
        Library([np.sin])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="twice"):
        Library.powers() + Library.powers(1, 1)
    with pytest.raises(ValueError, match="no term 'u_t'"):
        Library.powers()["u_t"]


@pytest.mark.parametrize(
    ("function", "message"),
    [(lambda f: f.u[:2], "returned shape"), (lambda f: f.u / 0.0, "not finite")],
    ids=["shape", "infinite"],
)
def test_terms_that_misbehave_are_named(function, message):
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=f"'mine'.*{message}|{message}"):
        Library([Term("mine", function)]).evaluate(np.ones(4))


def test_dependent_columns_are_named(rng):
    X = rng.standard_normal((50, 3))
    X = np.column_stack([X, X[:, 0] + 2 * X[:, 2]])
    with pytest.raises(ValueError, match="a, c, d"):
        require_independent(X.T @ X, ("a", "b", "c", "d"))
    with pytest.raises(ValueError, match="'b' is zero"):
        require_independent(np.diag([1.0, 0.0]), ("a", "b"))
    require_independent(X[:, :3].T @ X[:, :3], "abc")
