"""The result of a discovery: text, LaTeX, files that are checked, figures, corrected models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sciml.learned.medida import Library, ModelError, Term
from sciml.problems import CNAB2, forecast, kuramoto_sivashinsky, random_phases


@pytest.fixture
def error(library):
    terms = (library["u_xx"], library["u u_x"])
    evidence = dict.fromkeys(library.names, -3.0) | {"u_xx": 40.0, "u u_x": 55.0}
    covariance = np.array([[1e-4, 1e-5], [1e-5, 4e-4]])
    return ModelError(terms, np.array([-0.5, 1.25e-5]), covariance, evidence, library.names, {"noise": 0.1})


def test_equation_and_intervals(error):
    assert error.equation == "u_t = model - 0.5 u_xx + 1.25e-05 u u_x"
    assert error.latex == r"u_t = \mathcal{M}(u) - 0.5 \,u_{xx} + 1.25\cdot 10^{-5} \,u u_{x}"
    np.testing.assert_allclose(error.intervals()[0], [-0.5 - 0.0196, -0.5 + 0.0196], atol=1e-5)
    assert "log evidence 40" in str(error)
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        error.intervals(1.5)


def test_equations_of_a_system():
    library = Library.polynomials("xyz")
    terms = (library["y': x"], library["y': x z"], library["z': x^2"])
    found = ModelError(
        terms, np.array([1.0, -1.0, 2.0]), np.eye(3), dict.fromkeys(library.names, 1.0), library.names
    )
    assert found.equation == "y' = model + 1 x - 1 x z\nz' = model + 2 x^2"
    assert r"\dot z" in found.latex


def test_nothing_found(library, tmp_path):
    empty = ModelError((), np.zeros(0), np.zeros((0, 0)), dict.fromkeys(library.names, -1.0), library.names)
    assert "no model error found" in str(empty)
    assert ModelError.load(empty.save(tmp_path / "e.json")).terms == ()


def test_corrected_model_is_a_stepper(error, rng):
    equation = kuramoto_sivashinsky(32, 22.0)
    model = CNAB2(equation, 0.01)
    better = error.corrected(model)
    assert better.state_shape == model.state_shape
    u = random_phases(equation.grid, rng)
    expected = equation.tendency(u) - 0.5 * equation.grid.derivative(u, 2)
    np.testing.assert_allclose(better.equation.tendency(u), expected, atol=1e-3)
    assert np.all(np.isfinite(forecast(better, u, 3)))


def test_save_and_load(error, tmp_path):
    path = error.save(tmp_path / "error.json")
    again = ModelError.load(path)
    assert again.as_dict() == error.as_dict()
    np.testing.assert_array_equal(again.covariance, error.covariance)
    assert again.evidence == error.evidence
    assert again.info == {"noise": 0.1}
    assert not list(tmp_path.glob("*part*"))


def test_terms_of_ones_own_need_their_library(tmp_path):
    mine = Library([Term("sin u", lambda f: np.sin(f.u))])
    error = ModelError(mine.terms, np.array([1.0]), np.eye(1), {"sin u": 2.0}, mine.names)
    path = error.save(tmp_path / "e.json")
    with pytest.raises(ValueError, match="'sin u' is a term of your own"):
        ModelError.load(path)
    assert ModelError.load(path, mine).names == ("sin u",)


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(kind="weights"), "not a model error"),
        (lambda c: c.update(format=99), "has format 99"),
        (lambda c: c.pop("coefficients"), "damaged: KeyError"),
        (lambda c: c.update(coefficients=[1.0]), "coefficients of shape"),
        (lambda c: c.update(coefficients=[1.0, None]), "not finite|damaged"),
        (lambda c: c.update(covariance=[[1.0]]), "damaged"),
        (lambda c: c.update(evidence={}), "no evidence of the term"),
        (lambda c: c["terms"][0].update(form=["powers", 3, 3]), "has the form of"),
        (lambda c: c["terms"][0].update(form=["system", "rm"]), "not the form"),
    ],
)
def test_damaged_files(change, message, error, tmp_path):
    path = edited(error.save(tmp_path / "e.json"), change)
    with pytest.raises(ValueError, match=message) as raised:
        ModelError.load(path)
    assert str(path) in str(raised.value)


def test_missing_and_foreign_files(error, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        ModelError.load(tmp_path / "none.json")
    path = error.save(tmp_path / "e.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match="truncated or not a JSON file"):
        ModelError.load(path)
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="not a model error"):
        ModelError.load(path)


def test_plot(error):
    pytest.importorskip("matplotlib")
    ax = error.plot()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["$u_{xx}$", "$u u_{x}$"]
