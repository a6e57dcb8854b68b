"""The case of deep conjugate directions runs with tiny grids; its claims come from what was measured."""

import json

import pytest

torch = pytest.importorskip("torch")


def test_dcd_poisson(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("dcd_poisson")
    monkeypatch.setattr(script, "SEEDS", {"small": 1})
    monkeypatch.setattr(script, "FAMILIES", ("balls",))
    monkeypatch.setattr(script, "FILLS", (0.0, 0.2))
    monkeypatch.setattr(script, "DEFLATED", 4)
    monkeypatch.setitem(script.METHOD_CELLS[2], "small", [16])
    monkeypatch.setitem(script.SIZES[2], "small", [8, 16])
    png, record = tmp_path / "d.png", tmp_path / "d.json"
    content = script.main(["--network", "dcd2d", "--plot", str(png), "--json", str(record)])
    assert json.loads(record.read_text())["case"] == "dcd_poisson"
    assert png.stat().st_size > 5000
    assert [claim["holds"] for claim in content["claims"][:3]] == [True, True, True]
    unseen, rows, fill, size, applications = content["tables"].values()
    assert [row["scene"] for row in unseen] == ["box", "balls"]
    assert {row["method"] for row in rows} >= {"CG", "IC(0)", "MIC(0)", "deflated CG", "Multigrid", "dcd"}
    assert all(row["status"] == "converged" for row in rows)
    assert [row["solid"] for row in fill] == [0.0, 0.2]
    assert fill[1]["unknowns"] < fill[0]["unknowns"]
    assert [row["cells"] for row in size] == [8, 16]
    assert {row["operator"] for row in applications} >= {"product with A", "this network", "published dcd-64"}


def test_filled_scenes_reach_their_share_and_are_regular(case):
    script = case("dcd_poisson")
    problem = script.filled((16, 16, 16), 0.4, 3)
    assert problem.A.singular is None
    assert problem.mask.mean() >= 0.4
    assert script.filled((16, 16), 0.0, 3).mask.sum() == 0


def test_dcd_training(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("dcd_training")
    monkeypatch.setitem(script.CELLS, "small", 8)
    monkeypatch.setitem(script.STEPS, "small", 4)
    monkeypatch.setitem(script.SEEDS, "small", 1)
    png = tmp_path / "t.png"
    content = script.main(["--plot", str(png)])
    [rows] = content["tables"].values()
    assert [(row["network"], row["recipe"]) for row in rows] == [
        (name, recipe) for name in script.NETWORKS for recipe in script.RECIPES
    ]
    assert len(content["claims"]) == len(script.NETWORKS) * len(script.SCENES)
    assert png.stat().st_size > 5000
