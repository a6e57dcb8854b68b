"""The cases of the recurrent inference machines run at a tiny size and keep their records."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from sciml.problems.mri.bart import bart_available
from sciml.weights import load_weights, shipped

pytest.importorskip("torch")


@pytest.fixture
def small_scans(case, monkeypatch):
    """Scans of 48 x 48 pixels under one mask, and few settings of the baselines."""
    baselines, script = case("mri_baselines"), case("rim_mri")
    for module in (baselines, script):
        monkeypatch.setattr(module, "SHAPE", (48, 48))
    for mask in list(baselines.MASKS):
        if mask != "equispaced 4x":
            monkeypatch.delitem(baselines.MASKS, mask)
    for name, (method, settings) in baselines.METHODS.items():
        monkeypatch.setitem(baselines.METHODS, name, (method, settings[3:4] or settings))
    monkeypatch.setattr(script, "BART", (script.BART[0], (1e-3,)))
    monkeypatch.setattr(script, "CANDIDATES", {"small": slice(None), "paper": slice(None)})
    return script


def test_shipped_weights(small_scans, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(small_scans, "SHOWN", (("T1", "equispaced 4x"),))
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    content = small_scans.main(["--plot", str(png), "--json", str(record)])
    rows, lines, cells = content["tables"].values()
    network = small_scans.SHIPPED_NAME
    methods = ["zero-filled", "CG-SENSE", "l1-wavelet CS", *["BART CS"] * bart_available(), network]
    assert [row["method"] for row in rows] == 2 * methods
    assert [line["method"] for line in lines] == methods
    assert [line["T2, equispaced 4x"] for line in lines] == [r["PSNR"] for r in rows if r["contrast"] == "T2"]
    assert [row["cell"] for row in cells] == ["indrnn", "mgu", "gru"]
    found = {claim["name"]: claim["value"] for claim in content["claims"]}
    # A third of the resolution of the training; it must still beat zero filling clearly.
    assert found[f"{network} over zero filling, least (dB)"] > 2.0
    assert json.loads(record.read_text())["case"] == "rim_mri"
    assert png.stat().st_size > 20_000


def test_paper_size_trains_what_is_missing_and_resumes(small_scans, tmp_path, monkeypatch):
    monkeypatch.setitem(small_scans.SCANS, "paper", (1, 1))
    monkeypatch.setattr(
        small_scans, "cell_seconds", lambda scan: dict.fromkeys(("indrnn", "mgu", "gru"), 1.0)
    )
    names = ["RIM IndRNN explicit", "CIRIM IndRNN learned"]
    arguments = ["--size", "paper", "--steps", "2", "--channels", "4", "--seeds", "1", "--variants", *names]
    arguments += ["--weights", str(tmp_path / "weights")]
    content = small_scans.main(arguments)
    trainings, rows, *_ = content["tables"].values()
    assert [(t["variant"], t["seed"], t["steps"]) for t in trainings] == [(n, 0, 2) for n in names]
    assert all("range over seeds" in row for row in rows if row["method"] in names)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "weights").glob("*-0.safetensors")}
    again = small_scans.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    for first, second in zip(rows, list(again["tables"].values())[1], strict=True):
        assert first["PSNR"] == pytest.approx(second["PSNR"])


def test_the_first_seed_of_the_recipe_as_shipped_is_the_shipped_network(small_scans, tmp_path, monkeypatch):
    monkeypatch.setitem(small_scans.SCANS, "paper", (1, 1))
    monkeypatch.setattr(
        small_scans, "cell_seconds", lambda scan: dict.fromkeys(("indrnn", "mgu", "gru"), 1.0)
    )
    name, folder = small_scans.AS_SHIPPED, tmp_path / "weights"
    arguments = ["--size", "paper", "--seeds", "1", "--variants", name, "--weights", str(folder)]
    [training], rows, *_ = small_scans.main(arguments)["tables"].values()
    assert not folder.exists()
    variant = small_scans.VARIANTS[name]
    assert training["steps"] == variant.steps
    psnrs = {row["method"]: row["PSNR"] for row in rows if row["contrast"] == "T2"}
    assert psnrs[name] == pytest.approx(psnrs[small_scans.SHIPPED_NAME])
    facts = load_weights(shipped(small_scans.SHIPPED))
    assert facts.config["channels"] == variant.channels
    words = facts.training["command"].split()
    said = dict(pairwise(words))
    assert said["--steps"] == str(variant.steps)
    assert said["--weighting"] == variant.weighting
    assert said["--equispaced"] == str(variant.equispaced)
    assert said["--loss"] == small_scans.LOSS


def test_unseen_conditions(small_scans, case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("rim_unseen")
    monkeypatch.setattr(script, "SHAPE", (64, 64))
    monkeypatch.setitem(script.LESION_SLICES, "small", 1)
    kept = ("as in training", "T2", script.WITH_CENTRE, "ESPIRiT maps")
    for name in set(script.CONDITIONS) - set(kept):
        monkeypatch.delitem(script.CONDITIONS, name)
    png = tmp_path / "o.png"
    content = script.main(["--plot", str(png)])
    rows, lesions = content["tables"].values()
    assert [row["condition"] for row in rows[::3]] == list(kept)
    assert [row["method"] for row in lesions] == [script.ZERO, script.CS, script.LEARNED]
    assert all(row["lesions"] > 5 and row["low"] <= row["median"] <= row["high"] for row in lesions)
    assert len(content["claims"]) == 3
    assert png.stat().st_size > 20_000


def test_tomography(case, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = case("rim_tomography")
    monkeypatch.setitem(script.SLICES, "small", 1)
    monkeypatch.setattr(script, "WAVELET", script.WAVELET[2:3])
    png = tmp_path / "o.png"
    content = script.main(["--steps", "3", "--plot", str(png)])
    [rows] = content["tables"].values()
    assert [row["method"] for row in rows] == 2 * ["Tikhonov", "l1-wavelets", "RIM cg"]
    assert len(content["claims"]) == 2
    assert png.stat().st_size > 20_000


def test_line_integrals(case):
    """The norm is about one; every view of an image inside the circle sums to the sum of the image."""
    script = case("rim_tomography")
    matrix = script.line_integrals(16, 5)
    assert np.linalg.norm(matrix.toarray(), 2) == pytest.approx(1.0, rel=0.02)
    y, x = np.mgrid[0:16, 0:16] - 7.5
    image = np.random.default_rng(0).random((16, 16)) * (x**2 + y**2 < 36)
    views = (matrix @ image.reshape(-1)).reshape(5, 16).sum(axis=1)
    np.testing.assert_allclose(views, views[0], rtol=1e-5)
    column = (matrix @ image.reshape(-1))[:16]
    np.testing.assert_allclose(column / column.sum(), _rows_between(image), atol=1e-6)


def _rows_between(image):
    """The view at angle zero: columns of the image, whose centres lie on the rays."""
    sums = image.sum(axis=0)
    return sums / sums.sum()
