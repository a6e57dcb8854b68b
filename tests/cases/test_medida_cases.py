"""The cases of MEDIDA run at a tiny size, and their records have what the pages show."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture
def tiny_ks(case, monkeypatch):
    """The Kuramoto–Sivashinsky case with few pairs, few cases, short runs."""
    script = case("medida_ks")
    monkeypatch.setitem(script.PAIRS, "small", 4)
    monkeypatch.setitem(script.LONG, "small", 5.0)
    monkeypatch.setitem(script.NULL_SEEDS, "small", 1)
    monkeypatch.setattr(script, "SHORTLIST", ("2",))
    return script


def test_exact_snapshots(tiny_ks, tmp_path):
    """The whole table of 23 cases, from four snapshots instead of a hundred."""
    record = tmp_path / "o.json"
    content = tiny_ks.main(["--parts", "exact", "--json", str(record)])
    rows = content["tables"]["exact snapshots"]
    assert len(rows) == 23
    assert sum(r["exact"] for r in rows) >= 22
    assert np.median([r["corrected error %"] for r in rows]) < 1e-3
    assert np.median([r["released %"] for r in rows]) > 100 * np.median(
        [r["corrected error %"] for r in rows]
    )
    assert json.loads(record.read_text())["case"] == "medida_ks"


def test_noisy_snapshots_and_perfect_models(tiny_ks):
    content = tiny_ks.main(["--parts", "noisy", "null"])
    rows = content["tables"]["noise 10%, 4 pairs"]
    assert [r["case"] for r in rows] == ["2"]
    assert rows[0]["corrected error %"] < 10.0
    assert content["claims"][-1]["name"].startswith("perfect model")


def test_truth_of_the_case_is_generic(case):
    shared = case("_medida_ks")
    grid, pairs = shared.window_pairs(4, 0)
    assert grid.shape == (256,)
    assert pairs.before.shape == (4, 256)
    for u in pairs.before:
        for shift in range(0, 256, 8):
            assert np.sqrt(np.mean((u + np.roll(u[::-1], shift)) ** 2)) > 0.3


def test_lorenz(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("medida_lorenz")
    monkeypatch.setitem(script.SEEDS, "small", 1)
    monkeypatch.setitem(script.CYCLES, "small", 40)
    monkeypatch.setattr(
        script, "STUDIES", {k: script.STUDIES[k] for k in ("63, beta missing", "63, perfect")}
    )
    monkeypatch.setattr(script, "FILTERS", {4: script.FILTERS[4]})
    png = tmp_path / "o.png"
    content = script.main(["--plot", str(png)])
    first, second = content["tables"].values()
    assert [row["exact"] for row in first] == [1.0, 1.0]
    assert second[0]["LETKF"] < 1.0
    assert png.stat().st_size > 5000


@pytest.mark.filterwarnings("ignore:the misfit left")  # 16 nodes do not resolve the flow
def test_kolmogorov(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("medida_kolmogorov")
    monkeypatch.setitem(script.NODES, "small", 16)
    monkeypatch.setattr(script, "SHORTLIST", ("drag missing",))
    png = tmp_path / "o.png"
    content = script.main(["--plot", str(png)])
    [rows] = content["tables"].values()
    assert "ω" in rows[0]["found"]
    assert png.stat().st_size > 5000
