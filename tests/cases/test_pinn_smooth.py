"""The case of smooth problems runs, with its networks and runs cut down."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")


def test_pinn_smooth(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("pinn_smooth")
    tiny = script.Setup("poisson", 1e-3, (15,), (300,), (8,), {"hidden": (8,)})
    monkeypatch.setitem(script.SETUPS, "small", [tiny])
    monkeypatch.setattr(script, "PLANE", tiny)
    monkeypatch.setattr(script, "HELD_OUT", 200)
    monkeypatch.setitem(script.STEPS["optimisers"], "small", 4)
    monkeypatch.setitem(script.STEPS["start"], "small", 8)
    png = tmp_path / "o.png"
    content = script.main(["--plot", str(png)])
    claims = {claim["name"]: claim for claim in content["claims"]}
    assert claims["Poisson in 2 dimensions: median relative error"]["holds"]
    assert claims["forward Laplacian against nested differentiation, largest difference"]["holds"]
    assert [row["optimiser"] for row in content["tables"]["optimisers at equal processor time"]][-1] == "adam"
    for row in content["tables"]["start for grid solvers"]:
        assert row["from_field"] <= row["from_zero"]
    assert png.stat().st_size > 5000
