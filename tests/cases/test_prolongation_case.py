"""The case that bounds what prolongation weights could gain."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.learned.multigrid.families import sample
from sciml.testing import check_preconditioner

pytest.importorskip("cma")


@pytest.mark.parametrize("family", ["walls", "porous"])
def test_the_cycle_is_symmetric_and_positive_for_any_weights(case, family):
    problem = sample(family, (6, 7, 8), 3)
    grid = case("prolongation_weights").TwoGrid(problem)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 16)
    check_preconditioner(grid.preconditioner(weights, 1.0), problem.A)


def test_patterns_count_open_faces(case):
    """In an empty box every cell has three faces within its block, unless the box ends first."""
    script = case("prolongation_weights")
    grid = script.TwoGrid(sample("box", (8, 8, 8), 0))
    own, others = np.divmod(grid.pattern.reshape(8, 8, 8), 4)
    assert (own == 3).all()
    assert (others[1:-1, 1:-1, 1:-1] == 3).all()
    assert others[0, 0, 0] == 0
    assert others[0, 0, 1] == 1


def test_a_common_factor_of_the_weights_changes_nothing(case):
    grid = case("prolongation_weights").TwoGrid(sample("balls", (12, 12, 12), 0))
    one, two = (grid.iterations(np.full(16, value), 1.8) for value in (1.0, 2.0))
    assert one == pytest.approx(two, rel=1e-6)
    assert grid.iterations(np.ones(16), 1.8) < grid.iterations(np.ones(16), 1.0)


def test_runs(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("prolongation_weights")
    for name, value in (("CELLS", 8), ("GEOMETRIES", 1), ("EVALUATIONS", 10)):
        monkeypatch.setitem(getattr(script, name), "small", value)
    monkeypatch.setattr(script, "FAMILIES", ("walls", "porous"))
    png = tmp_path / "o.png"
    content = script.main(["--plot", str(png)])
    [rows] = content["tables"].values()
    assert [row["family"] for row in rows] == ["walls", "porous"]
    assert all(row["by pattern, seen"] <= row["one weight, seen"] for row in rows)
    assert len(content["claims"]) == 2
    assert png.stat().st_size > 5_000
