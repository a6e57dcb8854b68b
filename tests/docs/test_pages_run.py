"""The tutorials run as they stand, and what they say about their outcome holds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def run(docs_module, tmp_path):
    run_page = docs_module("run_page")
    return lambda name: run_page.run(DOCS / f"{name}.md", tmp_path)


def test_first_steps(run, tmp_path, capsys):
    names = run("first_steps")
    assert names["result"].converged
    assert (tmp_path / "convergence.png").stat().st_size > 5000
    assert (tmp_path / "solution.png").stat().st_size > 5000
    assert "401" in capsys.readouterr().out  # the error that names the argument and its value


def test_the_tutorial_on_preconditioners(run, tmp_path, capsys):
    pytest.importorskip("cma")
    pytest.importorskip("pyamg")
    names = run("tutorial_preconditioner")
    assert names["result"].converged
    assert names["history"].stopped == "completed"
    assert (tmp_path / "convergence.png").stat().st_size > 5000
    found = {(row["geometry"], row["method"]): row["iterations"] for row in names["rows"]}
    for geometry, _ in names["judged"]:
        assert (
            found[geometry, "trained here"]
            <= found[geometry, "grid-searched"]
            <= found[geometry, "Multigrid"]
        )
    walls = {(row["geometry"], row["method"]): row["iterations"] for row in names["baselines"]}
    for geometry, _ in names["judged"]:
        assert walls[geometry, "Multigrid"] < 0.7 * walls[geometry, "textbook multigrid"]
        assert walls[geometry, "textbook multigrid"] < walls[geometry, "plain CG"]
