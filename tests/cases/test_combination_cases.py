"""The cases that combine parts: smallest sizes, claims that do not depend on the clock hold."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")


def run(case, name, folder, *arguments):
    png, record = folder / "f.png", folder / "r.json"
    content = case(name).main([*arguments, "--plot", str(png), "--json", str(record)])
    assert json.loads(record.read_text())["case"] == name
    assert png.stat().st_size > 5000
    return content, {claim["name"]: claim["holds"] for claim in content["claims"]}


def test_heat(case, tmp_path, monkeypatch):
    monkeypatch.setitem(case("combine_heat").SIZES, "small", (80, 64))
    content, claims = run(case, "combine_heat", tmp_path, "--steps", "6")
    assert claims.pop("largest error against factorisation")
    assert len(claims) == 2  # of seconds
    rows = {row["solver"]: row for row in next(iter(content["tables"].values()))}
    assert sum(rows["bandit"]["picked"].values()) == 6
    assert rows["best in every step (afterwards)"]["seconds"] <= rows["cg"]["seconds"]


def test_resolvent(case, tmp_path):
    content, claims = run(case, "combine_resolvent", tmp_path, "--grids", "16", "32")
    assert claims["largest difference from projected multigrid"]
    rows = content["tables"]["resolvents of the membrane"]
    assert {row["status"] for row in rows} == {"converged"}
    assert all(row["per resolvent"] < 6 for row in rows if row["preconditioner"] != "Jacobi")


def test_discovery(case, tmp_path):
    content, claims = run(case, "combine_discovery", tmp_path)
    assert all(claims.values())
    assert len(content["tables"]["what was found"]) == 6


def test_sense(case, tmp_path):
    content, claims = run(case, "combine_sense", tmp_path)
    assert all(claims.values())
    quality = {row["method"]: row["PSNR"] for row in next(iter(content["tables"].values()))}
    assert quality["CG-SENSE"] > quality["zero-filled"] + 5


def test_field(case, tmp_path):
    content, claims = run(case, "combine_field", tmp_path)
    assert all(claims.values())
    assert len(content["tables"]["iterations to 0.03 (loose) and 1e-08 (tight)"]) == 24
