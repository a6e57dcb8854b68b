"""``sciml train … --refine``: the schedule of a second training comes from the gradients of the first."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sciml.cli import main
from sciml.learned.checkpoint import load_checkpoint
from sciml.learned.schedules import LinearDecay, Refined

pytest.importorskip("torch")

DCD = "train dcd --shape 8 8 --steps 12 --batch 2 --architecture linear"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``sciml`` in a folder; returns the exit status."""
    monkeypatch.chdir(tmp_path)

    def call(words):
        monkeypatch.setattr(sys, "argv", ["sciml", *words.split()])
        with pytest.raises(SystemExit) as status:
            main()
        return status.value.code

    return call


def test_a_second_training_follows_the_gradients_of_the_first(run, tmp_path):
    assert run(f"{DCD} -o first.safetensors") == 0
    first = load_checkpoint(tmp_path / "first.checkpoint.safetensors")
    assert run(f"{DCD} -o second.safetensors --refine first.checkpoint.safetensors") == 0
    second = load_checkpoint(tmp_path / "second.checkpoint.safetensors")
    refined = Refined(first["history"]["metrics"]["gradient"])
    for content, schedule in ((first, LinearDecay()), (second, refined)):
        expected = [3e-3 * schedule(step, 12) for step in range(12)]
        np.testing.assert_allclose(content["history"]["metrics"]["rate"], expected)
        assert content["fingerprint"]["schedule"] == repr(schedule)


def test_a_run_goes_on_with_its_own_schedule_only(run, capsys):
    assert run(f"{DCD} -o first.safetensors") == 0
    assert run(f"{DCD} -o first.safetensors --refine first.checkpoint.safetensors") == 2
    assert "belongs to a run with schedule = 'LinearDecay(warmup=0.02)'" in capsys.readouterr().err


def test_a_checkpoint_without_gradients(run, capsys):
    assert run("train pinn heat --steps 1 --optimizer lm -o a.safetensors") == 0
    assert run(f"{DCD} -o b.safetensors --refine a.checkpoint.safetensors") == 2
    assert "--refine is a.checkpoint.safetensors: gradients has 0 values" in capsys.readouterr().err
