"""The cases of the bandits run at a tiny size; their systems are those of the paper."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sciml import cg


def test_sor_bandit(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("sor_bandit")
    monkeypatch.setitem(script.ROUNDS, "small", 25)
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    content = script.main(["--plot", str(png), "--json", str(record)])
    known = [claim for claim in content["claims"] if claim["name"].startswith("iterations at omega")]
    assert len(known) == 4
    assert all(claim["holds"] for claim in known)
    assert len(content["claims"]) == 8
    assert json.loads(record.read_text())["case"] == "sor_bandit"
    assert png.stat().st_size > 5000
    for rows in list(content["tables"].values())[1:]:
        found = {row["policy"]: row["iterations"] for row in rows}
        assert found["best of the grid in every round"] <= found["best fixed omega"]
        assert found["best fixed omega"] <= min(v for name, v in found.items() if name.startswith("omega "))


def test_heat_bandit(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("heat_bandit")
    monkeypatch.setitem(script.STEPS, "small", 40)
    png = tmp_path / "o.png"
    content = script.main(["--grids", "10", "--plot", str(png)])
    [rows] = content["tables"].values()
    found = {row["solver"]: row for row in rows}
    assert set(script.LEARNERS) < set(found)
    assert found["best fixed"]["iterations"] < found["CG"]["iterations"]
    assert 0 < found["ChebCB"]["policy seconds"] < found["ChebCB"]["seconds"]
    assert png.stat().st_size > 5000


def test_choice_bandit(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("choice_bandit")
    monkeypatch.setitem(script.CELLS, "small", 12)
    png = tmp_path / "o.png"
    content = script.main(["--rounds", "12", "--plot", str(png)])
    [rows] = content["tables"].values()
    assert len(rows) == len(script.ARMS) + 2
    arms = [row["relative"] for row in rows if row["solver"] in script.ARMS]
    assert min(arms) == pytest.approx(1.0)
    assert len(content["claims"]) == 1
    assert png.stat().st_size > 5000


# -- the systems ------------------------------------------------------------------------------
def test_basic_experiment_is_the_papers(case):
    script = case("sor_bandit")
    sequence = script.shifted_laplacians("high", 2000, 0)
    matrix = sequence.matrix.toarray()
    assert np.linalg.eigvalsh(matrix)[0] == pytest.approx(0.162, abs=5e-4)
    assert set(np.unique(matrix)) == {-1.0, 0.0, 4.0}
    assert np.linalg.norm(sequence.rhs, axis=1).max() <= 10.0
    assert sequence.shifts.min() >= -0.15
    assert sequence.shifts.mean() == pytest.approx(-0.15 + 0.6 * 0.25, abs=0.01)
    low = script.shifted_laplacians("low", 2000, 0).shifts
    assert low.std() < 0.7 * sequence.shifts.std()


@pytest.mark.parametrize("kind", ["nine-point stencil", "unstructured mesh"])
def test_inconsistent_systems_are_positive_definite_but_not_consistently_ordered(case, kind):
    """In a consistently ordered matrix the eigenvalues of D⁻¹(L/α + α U) do not depend on α."""
    script = case("sor_bandit")
    sequence = script.inconsistent(kind, 300, 0)
    for t in (int(sequence.shifts.argmin()), int(sequence.shifts.argmax())):
        matrix = sequence.system(t).toarray()
        assert np.linalg.eigvalsh(matrix)[0] > 0
    inverse = np.diag(1.0 / np.diag(matrix))
    radii = [
        np.abs(np.linalg.eigvals(inverse @ (np.tril(matrix, -1) / a + a * np.triu(matrix, 1)))).max()
        for a in (1.0, 2.0)
    ]
    assert abs(radii[1] / radii[0] - 1.0) > 1e-3  # 1e-14 for the five-point stencil


def test_stiffness_matrix_is_a_laplacian(case):
    """Rows of unknowns away from the boundary sum to zero; linear functions have no energy error there."""
    matrix = case("sor_bandit").unstructured_laplacian(120, np.random.default_rng(1)).toarray()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    sums = matrix.sum(axis=1)
    assert np.sum(np.abs(sums) < 1e-10) > 50
    assert sums.min() > -1e-10


def test_heat_steps_are_crank_nicolson(case):
    """On an eigenfunction one step without source multiplies by (1 − λ/2)/(1 + λ/2), with λ = κ dt μ."""
    script = case("heat_bandit")
    heat, step = script.Heat(12), 700
    u = np.sin(math.pi * heat.x) * np.sin(math.pi * heat.y) * heat.inside
    A, b = heat.system(step, u)
    source = heat.system(step, 0.0 * u)[1]
    solved = cg(A, b - source, rtol=1e-12).x
    eigenvalue = 2.0 * (2.0 - 2.0 * math.cos(math.pi * heat.h)) / heat.h**2
    half = 0.5 * script.STEP * script.diffusivity((step + 0.5) * script.STEP) * eigenvalue
    np.testing.assert_allclose(solved, (1.0 - half) / (1.0 + half) * u, atol=1e-9)
    assert source.max() == pytest.approx(32.0 * script.STEP, rel=0.3)


def test_diffusivity_of_the_paper(case):
    diffusivity = case("heat_bandit").diffusivity
    assert diffusivity(0.25) == pytest.approx(0.1)
    assert diffusivity(0.75) == pytest.approx(10.0)
    assert diffusivity(0.0) == 0.0
