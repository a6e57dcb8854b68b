"""The case on learning-rate schedules, at a tiny size."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")


def test_every_training_meets_every_schedule(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("schedule_refinement")
    monkeypatch.setitem(script.STEPS, "paper", dict.fromkeys(script.TRAININGS, 10))
    monkeypatch.setitem(script.SEEDS, "paper", 1)
    monkeypatch.setitem(script.FACTORS, "paper", (1.0, 2.0))
    monkeypatch.setitem(case("rim_tomography").NETWORK, "small", {"channels": 4, "steps": 2, "components": 1})
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    content = script.main(["--size", "paper", "--plot", str(png), "--json", str(record)])
    rows = content["tables"]["all rates"]
    assert len(rows) == len(script.TRAININGS) * len(script.SCHEDULES) * 2
    for name in script.TRAININGS:
        for label in script.SCHEDULES:
            mine = [r for r in rows if (r["training"], r["schedule"]) == (name, label)]
            assert [r["chosen"] for r in mine].count(True) == 1
            assert min(mine, key=lambda r: r["last"])["chosen"]
    assert len({r["last"] for r in rows}) == len(rows)  # they are runs of their own
    assert len(content["claims"]) == 2 * len(script.TRAININGS)
    assert json.loads(record.read_text())["case"] == "schedule_refinement"
    assert png.stat().st_size > 20_000
