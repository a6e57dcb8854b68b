"""Accelerated scans: the samples of the training, the command, and the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml.cli import main  # noqa: E402
from sciml.cli.retrain import commands  # noqa: E402
from sciml.learned import load, load_weights, shipped  # noqa: E402
from sciml.learned.rim.mri import VALIDATION_MASKS, scan_sample, scan_sampler, validation_scans  # noqa: E402
from sciml.problems.mri import ScanStream, load_slices  # noqa: E402


@pytest.fixture(scope="module")
def images():
    return load_slices("validation").images


def test_samples_are_scans_in_torch(images):
    draw = scan_sampler(ScanStream(images, shape=(32, 32), coils=3))
    sample = draw(np.random.default_rng(4))
    assert isinstance(sample.y, torch.Tensor)
    assert sample.A.in_shape == tuple(sample.x.shape) == (32, 32)
    again, other = draw(np.random.default_rng(4)), draw(np.random.default_rng(5))
    assert torch.equal(again.y, sample.y)
    assert not torch.equal(other.y, sample.y)
    # The data are those of the image, up to noise and what a grid of this size cannot show.
    gap = torch.linalg.vector_norm(sample.A @ sample.x - sample.y) / torch.linalg.vector_norm(sample.y)
    assert float(gap) < 0.2


def test_validation_scans_are_the_same_always(images):
    first, second = (validation_scans(images, (32, 32), count=2) for _ in range(2))
    assert len(first) == 2 * len(VALIDATION_MASKS)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.y, b.y)
    assert not np.array_equal(first[0].mask, first[3].mask)
    assert scan_sample(first[0]).y.dtype == torch.complex64


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return exit_.value.code


def test_the_command_trains_resumes_and_says_how(tmp_path, capsys, images):
    out = tmp_path / "w.safetensors"
    options = ("-o", str(out), "--size", "32", "--channels", "4", "--unrolled", "2", "--steps", "2")
    assert run("train", "rim", *options) == 0
    said = capsys.readouterr().out
    assert "<RIM indrnn-4, 2 steps, cg, cg consistency, 677 parameters>, 2 steps" in said
    weights = load_weights(out, kind="rim")
    assert weights.training["steps"] == 2
    assert weights.training["command"].startswith("sciml")
    assert run("train", "rim", *options) == 0  # from the checkpoint, which is complete
    scan = validation_scans(images, (32, 32), count=1)[0]
    assert load(out)(scan.A, scan.y).x.shape == (32, 32)
    second = tmp_path / "second.safetensors"
    assert run("train", "rim", "-o", str(second), *options[2:], "--start", str(out)) == 0
    assert load_weights(second).training["start"] == weights.training
    assert not np.array_equal(
        *(w.tensors["blocks.0.network.last.weight"] for w in map(load_weights, (out, second)))
    )
    assert run("train", "rim", "-o", str(second), "--start", str(out)) == 2
    assert "--start holds <RIM indrnn-4" in capsys.readouterr().err
    assert run("train", "rim", *options, "--acceleration", "2", "3") == 2
    assert "belongs to a run with acceleration = [3.0, 11.0]" in capsys.readouterr().err


def test_the_commands_of_the_shipped_weights_make_such_a_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = load_weights(shipped("rim-mri"))
    plan = commands(weights)
    for words in plan:
        assert run(*words, "--steps", "1", "--size", "64") == 0
    made = plan[-1][plan[-1].index("-o") + 1]
    assert load_weights(made).config == weights.config


def test_the_command_trains_on_windows_and_judges_whole_scans(tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(ScanStream, "__getitem__", lambda self, i: seen.append(self) or self._scan(i, None))
    out = tmp_path / "w.safetensors"
    options = ["-o", str(out), "--channels", "4", "--unrolled", "2", "--steps", "2", "--size", "64"]
    settings = ("--window", "32", "--precision", "bfloat16", "--equispaced", "1")
    assert run("train", "rim", *options, *settings) == 0
    assert "held-out" in capsys.readouterr().out
    assert {(s.shape, s.window) for s in seen} == {((32, 32), (128, 128))}
    assert [s.masks for s in seen] == 2 * [{"gaussian2d": 0.0, "equispaced1d": 1.0}]
    assert run("train", "rim", *options, *settings[2:]) == 2
    assert "belongs to a run with window = 32" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cell", "lstm"), "cell is 'lstm'; expected one of gru, mgu, indrnn"),
        (("--slices", "nowhere.npz"), "nowhere.npz: no such file"),
        (("--self-supervised", "2"), "self_supervised is 2.0"),
    ],
    ids=["cell", "slices", "ssdu"],
)
def test_errors_of_the_command_are_one_line(options, sentence, tmp_path, capsys):
    assert run("train", "rim", "-o", str(tmp_path / "w.safetensors"), "--size", "32", *options) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert sentence in error


def test_weights_have_a_suffix(tmp_path, capsys):
    assert run("train", "rim", "-o", str(tmp_path / "w.pt")) == 2
    assert "expected a name ending in .safetensors" in capsys.readouterr().err
