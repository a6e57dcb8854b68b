"""The cases of Halpern iterations, with less work than at their small size; claims come from measurements."""

import json

import pytest


def claims(content):
    return {claim["name"]: claim for claim in content["claims"]}


def test_matrix_game(case, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    module = case("matrix_game")
    monkeypatch.setattr(module, "SEEDS", 1)
    monkeypatch.setattr(module, "BUDGET", {"small": 400})
    png, record = tmp_path / "g.png", tmp_path / "g.json"
    content = module.main(["--plot", str(png), "--json", str(record)])
    published = [claim for claim in content["claims"] if "deviation" in claim["name"]]
    assert len(published) == 5
    assert all(claim["holds"] for claim in published)
    beyond = content["claims"][-1]
    assert not beyond["holds"]  # 400 epochs are too few to reach the target, and the claim says so
    assert json.loads(record.read_text())["case"] == "matrix_game"
    assert png.stat().st_size > 5000


def test_saddle_qp(case, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    module = case("saddle_qp")
    monkeypatch.setattr(module, "EPOCHS", {"small": 300})
    monkeypatch.setattr(module, "SEEDS", {"small": 1})
    monkeypatch.setattr(
        module, "TO_TOLERANCE", {"halpern, defaults": module.TO_TOLERANCE["halpern, defaults"]}
    )
    content = module.main(["--plot", str(tmp_path / "q.png")])
    assert content["claims"][-1]["holds"]
    assert content["claims"][-1]["value"] < 30_000
    rows = content["tables"]["‖F(u)‖ after 300 epochs with the published steps"]
    assert [row["method"] for row in rows] == list(module.METHODS)


def test_obstacle_problem(case, tmp_path):
    pytest.importorskip("matplotlib")
    content = case("obstacle_problem").main(
        ["--plot", str(tmp_path / "o.png"), "--json", str(tmp_path / "o.json")]
    )
    assert all(claim["holds"] for claim in content["claims"])
    rows = content["tables"]["membrane over a ball"]
    assert len(rows) == 3 * (3 + 2)
    assert {row["status"] for row in rows} == {"converged"}


def test_nnls(case, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    module = case("nnls")
    monkeypatch.setattr(module, "SPARSE", {"small": (2000, 200, 0.02)})
    content = module.main(["--plot", str(tmp_path / "n.png")])
    assert len(content["claims"]) == 5
    assert all(claim["holds"] for claim in content["claims"])
