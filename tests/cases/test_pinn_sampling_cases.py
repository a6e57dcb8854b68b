"""The cases on sampling of physics-informed networks run at a tiny size and keep their records."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

TINY = {"steps": (20, 6), "points": (100, 150), "resample": (10, 3)}


def claims(content):
    return {claim["name"]: claim["value"] for claim in content["claims"]}


def test_two_peaks(case, tmp_path, monkeypatch):
    script = case("aas_two_peaks")
    for name in ("BUDGET", "SCARCE_BUDGET"):
        monkeypatch.setattr(script, name, {"paper": 1e3})
    monkeypatch.setattr(script, "SCHEDULE", {"paper": TINY})
    monkeypatch.setattr(script, "SCARCE", 100)
    monkeypatch.setattr(script, "STEPS", 40)
    monkeypatch.setattr(script, "FIELDS", {k: (*v[:1], 8, v[2]) for k, v in script.FIELDS.items()})
    settings = {"pool": 100, "steps": 2, "prefit_rounds": 1}
    monkeypatch.setattr(script, "AAS", settings)
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    arguments = ["--size", "paper", "--seeds", "1", "--plot", str(png), "--json", str(record)]
    content = script.main(arguments)
    densities, plenty, scarce = content["tables"].values()
    assert {row["density"] for row in densities} == {"knothe-rosenblatt", "krnet"}
    assert [row["sampler"] for row in plenty] == ["aas", "rad", "uniform"]
    assert [row["sampler"] for row in scarce] == ["aas", "rad", "fixed uniform"]
    assert all(row["steps"] == 26 for row in plenty)
    found = claims(content)
    assert found["largest deviation of the mass from 1"] < 1e-6
    assert found["largest error of the inverse"] < 1e-10
    assert json.loads(record.read_text())["case"] == "aas_two_peaks"
    assert png.stat().st_size > 20_000


def test_ten_dimensions(case, tmp_path, monkeypatch):
    script = case("aas_10d")
    monkeypatch.setattr(script, "BUDGET", {"paper": 1e3})
    monkeypatch.setattr(script, "DIMENSION", {"paper": 3})
    schedule = {"steps": (20, 3, 3), "points": (100, 150, 150), "resample": (10, 3, 3)}
    monkeypatch.setattr(script, "SCHEDULE", {"paper": schedule})
    monkeypatch.setattr(script, "AAS", {"paper": {"pool": 100, "steps": 2, "prefit_rounds": 1}})
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    arguments = ["--size", "paper", "--seeds", "1", "--plot", str(png), "--json", str(record)]
    content = script.main(arguments)
    (rows,) = content["tables"].values()
    assert [row["sampler"] for row in rows] == ["aas", "aas, soft boundary", "rad", "uniform"]
    assert all(0 < row["box_standard_error"] < row["box"] for row in rows)
    assert png.stat().st_size > 20_000


@pytest.mark.parametrize("name", ["aas_two_peaks", "aas_10d"])
def test_a_budget_that_ends_before_a_validation_leaves_a_gap(name, case, monkeypatch):
    """As on a slow machine."""
    script = case(name)
    if name == "aas_two_peaks":
        monkeypatch.setattr(script, "errors", lambda field: {"relative": 1.0, "max": 1.0, "mse": 1.0})
        made = SimpleNamespace(field=None, history=SimpleNamespace(best=None, steps=3), core_seconds=4.0)
        rows = [script.row("aas", made, 1000, 0)]
    else:
        monkeypatch.setattr(script, "BUDGET", {"paper": 1e-9})
        monkeypatch.setattr(script, "DIMENSION", {"paper": 3})
        (rows,) = script.main(["--size", "paper", "--seeds", "1", "--samplers", "uniform"])["tables"].values()
    assert [row["held_out"] for row in rows] == [None]


def test_global_error_of_the_zero_field_is_one(case):
    from sciml.learned.pinn import Field

    script = case("aas_10d")
    for dimension in (3, 10):
        field = Field(script.nonlinear(dimension, hard=False))
        value, deviation = script.global_error(field)
        assert value == pytest.approx(1.0, abs=5 * deviation)
        assert deviation < 0.01
        assert script.local_error(field) == 1.0


def test_lift_changes_boundary_values_by_little(case):
    import torch

    problem = case("aas_10d").nonlinear(10, hard=False)
    x, _ = problem.domain.sample_boundary(1000, np.random.default_rng(0))
    assert float(problem.exact(x).max()) <= 4.6e-5
    centre = torch.eye(10, dtype=torch.float64)[:1]
    assert float(problem.exact(centre)) == pytest.approx(4.54e-5, rel=1e-3)


def test_grid(case, tmp_path, monkeypatch):
    script = case("pinn_samplers")
    monkeypatch.setattr(script, "BUDGET", {"paper": {"two_peaks": 0.15, "helmholtz": 0.15}})
    monkeypatch.setattr(script, "POINTS", 50)
    monkeypatch.setattr(script, "ADAM_STEPS", {"paper": {"two_peaks": 5, "helmholtz": 5}})
    monkeypatch.setitem(script.RESAMPLE, "adam", 5)
    monkeypatch.setattr(script, "LEARNED", {"paper": {"pool": 50, "steps": 1}})
    for name in ("SAMPLERS", "OPTIMIZERS", "NETWORK"):
        monkeypatch.setattr(script, name, {"paper": getattr(script, name)["small"]})
    png = tmp_path / "o.png"
    content = script.main(["--size", "paper", "--seeds", "1", "--plot", str(png)])
    rows = content["tables"]["runs"]
    assert len(rows) == 2 * 3 * 2
    assert all(np.isfinite(row["relative_L2"]) for row in rows)
    assert len(content["claims"]) == 3
    assert png.stat().st_size > 20_000
