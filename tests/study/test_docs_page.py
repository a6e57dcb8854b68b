"""The page about studies: its file is a plan, its Python runs."""

import re
from pathlib import Path

import pytest

from sciml.study import Plan

PAGE = Path(__file__).parents[2] / "docs" / "study.md"


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL).group(1)


def test_the_file_is_a_plan(tmp_path):
    path = tmp_path / "obstacles.toml"
    path.write_text(block("toml"))
    plan = Plan.from_toml(path)
    assert len(plan) == 5 * 3 * (3 + 1)
    assert plan.name == "Around obstacles"


def test_the_python_runs_on_a_small_study(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    small = "problems = [{kind = 'poisson'}]\nsizes = [[8, 8]]\nsolvers = ['cg']\n"
    (tmp_path / "obstacles.toml").write_text(small)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block("python"), names)
    assert [row["status"] for row in names["rows"]] == ["CONVERGED"]
    assert (tmp_path / "obstacles" / "report.html").exists()
