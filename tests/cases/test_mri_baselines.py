"""The case of the classical MRI reconstructions runs at a tiny size and keeps its record."""

from __future__ import annotations

import json

import pytest


def test_mri_baselines(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("mri_baselines")
    monkeypatch.setitem(script.SLICES, "small", (1, 1))
    monkeypatch.setattr(script, "MASKS", {k: v for k, v in script.MASKS.items() if k != "equispaced 4x"})
    monkeypatch.setattr(script, "SHAPE", (64, 64))
    monkeypatch.setattr(script, "SHOWN", ("Gaussian 2D 8x",))
    for name, (method, settings) in script.METHODS.items():
        monkeypatch.setitem(script.METHODS, name, (method, settings[1:3] or settings))
    monkeypatch.setattr(script, "BART", (script.BART[0], (1e-3, 2e-3)))
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    content = script.main(["--plot", str(png), "--json", str(record)])
    rows, estimated = content["tables"].values()
    methods = {row["method"] for row in rows}
    assert {"zero-filled", "CG-SENSE", "l1-wavelet CS"} <= methods
    assert len(rows) == 2 * 2 * len(methods)
    assert [row["maps"] for row in estimated][::2] == ["true", "ESPIRiT"]
    found = {claim["name"]: claim for claim in content["claims"]}
    assert found["l1-wavelet CS over CG-SENSE, least over all rows (dB)"]["holds"]
    assert found["loss of l1-wavelet CS with ESPIRiT maps (dB)"]["holds"]
    assert json.loads(record.read_text())["case"] == "mri_baselines"
    assert png.stat().st_size > 20_000


def test_settings_are_chosen_on_validation_only(case):
    script = case("mri_baselines")
    heads = script.load_slices("validation")
    scans = script.scans_of(heads, 1, "Gaussian 2D 4x", 3)
    method, settings = script.METHODS["CG-SENSE"]
    best = script.tuned(method, settings, scans)
    quality = {setting: script.measure(method, setting, scans)["PSNR"] for setting in settings}
    assert quality[best] == max(quality.values())
    assert all(scan.name.startswith("MNI2009c-T1") for scan in scans)
