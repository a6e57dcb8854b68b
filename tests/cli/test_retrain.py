"""Shipped weights are made again by the command in their header, and compared."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from sciml.cli.app import app
from sciml.cli.retrain import commands, compared
from sciml.weights import WeightFile, load_weights, save_weights, shipped, shipped_names

pytest.importorskip("torch")


def weights(command="sciml train dcd -o a.safetensors --steps 1", value=1.0, scale=1.0, **training):
    best = None if value is None else {"step": 1, "value": value}
    tensors = {"w": scale * np.arange(1.0, 5.0)}
    return WeightFile("dcd", {}, tensors, {"command": command, "best": best, **training}, "/x/a.safetensors")


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_file_says_how_to_make_it_again(name):
    *_, last = commands(load_weights(shipped(name)))
    assert last[0] == "train"
    assert f"{name}.safetensors" in last


def test_a_training_that_went_on_from_another_is_made_from_the_beginning():
    first = {"command": "sciml train rim -o /elsewhere/b.safetensors --steps 9"}
    second = weights("sciml train rim -o b.safetensors --start old/first.safetensors", start=first)
    assert commands(second) == [
        ["train", "rim", "-o", "first.safetensors", "--steps", "9"],
        ["train", "rim", "-o", "a.safetensors", "--start", "first.safetensors"],
    ]


@pytest.mark.parametrize("command", ["rm -rf x", "sciml solve poisson", "", "sciml train dcd --steps 1"])
def test_nothing_but_a_training_is_run(command):
    with pytest.raises(ValueError, match=r"no command that begins with|has no -o"):
        commands(weights(command))


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (weights(), "identical"),
        (weights(value=1.05, scale=2.0), "as good"),
        (weights(value=0.5, scale=2.0), "as good"),
        (weights(value=1.2, scale=1.001), "worse"),
        (weights(value=None, scale=1.05), "as good"),
        (weights(value=None, scale=1.2), "worse"),
    ],
)
def test_verdicts(made, verdict):
    found = compared(weights(), made, 0.1)
    assert found["verdict"] == verdict
    assert found["identical"] == (verdict == "identical")


def test_other_shapes_are_worse_unless_validation_says_otherwise():
    other = WeightFile("dcd", {}, {"v": np.ones(3)}, {"best": None}, "b")
    assert compared(weights(), other, 0.1) == {
        "identical": False, "difference": None, "validation_shipped": 1.0, "validation": None,
        "seconds": None, "verdict": "worse",
    }  # fmt: skip


def test_multigrid_is_compared_by_what_its_policies_are_worth(monkeypatch):
    from sciml.learned.multigrid.portfolio import pack
    from sciml.preconditioners.multigrid.features import FEATURES

    def policy(sweeps):
        tensors = pack([{"sweeps": sweeps}]).arrays
        return WeightFile("multigrid", {"features": list(FEATURES), "members": 1}, tensors, {}, "m")

    monkeypatch.setattr("sciml.learned.multigrid.validate", lambda p: p.settings(0)["sweeps"][0] / 2)
    found = compared(policy(2), policy(3), 0.1)
    assert (found["validation_shipped"], found["validation"], found["verdict"]) == (1.0, 1.5, "worse")
    assert compared(policy(3), policy(2), 0.1)["verdict"] == "as good"
    assert compared(policy(2), policy(2), 0.1)["verdict"] == "identical"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``sciml`` in a folder, with another one as the place of shipped weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sciml.weights._HERE", tmp_path / "shipped")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sciml", *words])
        return CliRunner().invoke(app, list(words))

    return call


def test_a_tiny_training_gives_the_same_bits_twice(run, tmp_path):
    options = "--shape 8 8 --steps 2 --batch 2 --architecture linear"
    path = tmp_path / "shipped" / "tiny.safetensors"
    assert run("train", "dcd", "-o", "tiny.safetensors", *options.split()).exit_code == 0
    path.parent.mkdir()
    (tmp_path / "tiny.safetensors").rename(path)
    done = run("retrain", "tiny", "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert "identical" in done.stdout
    assert (tmp_path / "retrained" / "tiny.safetensors").exists()
    found = load_weights(path)
    changed = {name: 2 * value for name, value in found.tensors.items()}
    training = {**found.training, "best": {"step": 1, "value": 1e-9}}
    save_weights(path, "dcd", changed, config=found.config, training=training)
    again = run("retrain", "--all")
    assert again.exit_code == 1
    assert "worse" in again.stdout


@pytest.mark.parametrize("words", [(), ("none",), ("x", "--all"), ("x", "--tolerance", "-1")])
def test_bad_arguments(run, words):
    done = run("retrain", *words)
    assert done.exit_code == 2
    assert done.stderr.startswith("sciml: error: ")
    assert done.stderr.count("\n") == 1
