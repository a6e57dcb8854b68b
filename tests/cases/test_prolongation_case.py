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
    rng = np.random.default_rng(0)
    M = grid.preconditioner(rng.uniform(0.5, 2.0, 16), rng.uniform(0.0, 1.0, 16), 1.0)
    check_preconditioner(M, problem.A)


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
    script = case("prolongation_weights")
    grid = script.TwoGrid(sample("balls", (12, 12, 12), 0))
    one = script.uniform(1.8, 0.0)
    two = one + np.concatenate([[0.0], np.full(16, np.log(2.0)), np.zeros(16)])
    assert grid.iterations(one) == pytest.approx(grid.iterations(two), rel=1e-6)
    assert grid.iterations(one) < grid.iterations(script.uniform(1.0, 0.0))


def test_a_spread_of_a_third_is_trilinear_away_from_walls(case):
    """It reproduces linear functions there, and constants everywhere; constant interpolation does not."""
    script = case("prolongation_weights")
    for family, kind in (("box", "linear"), ("porous", "constant")):
        grid = script.TwoGrid(sample(family, (8, 8, 8), 0))
        places = np.array(np.unravel_index(grid.cells, (8, 8, 8)))
        values = 1.0 + (places.T @ [1.0, 2.0, 3.0] if kind == "linear" else np.zeros(grid.cells.size))
        owners = grid.P.T.tocsr()
        means = (owners @ values) / owners.sum(axis=1).A1
        inside = ((places > 0) & (places < 7)).all(axis=0) if kind == "linear" else slice(None)
        found = {s: grid.prolongation(np.ones(16), np.full(16, s)) @ means for s in (0.0, 1 / 3)}
        np.testing.assert_allclose(found[1 / 3][inside], values[inside])
        assert (np.abs(found[0.0] - values).max() > 0.1) == (kind == "linear")


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
    assert all(row["by pattern, seen"] <= row["spread, seen"] <= row["constant, seen"] for row in rows)
    assert len(content["claims"]) == 2
    assert png.stat().st_size > 5_000
