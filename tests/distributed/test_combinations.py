"""Combinations through PETSc: a bandit's time steps, Halpern's resolvent, a solver inside a solver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent / "combine.py"


@pytest.mark.parametrize("ranks", [1, 2], ids=["1rank", "2ranks"])
def test_inner_solves_through_petsc(run_on, tmp_path, ranks):
    report = tmp_path / "report.json"
    done = run_on(ranks, str(PROGRAM), str(report))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(report.read_text())
    assert found["heat"]["error"] <= 1e-8
    assert sum(found["heat"]["plays"]) == 6
    assert found["inclusion"]["status"] == "CONVERGED"
    assert found["inclusion"]["error"] <= 1e-3
    assert found["nested"]["status"] == "CONVERGED"
    assert found["nested"]["iterations"] <= 8
