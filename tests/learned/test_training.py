"""The training loop: resume equals an uninterrupted run, the best stays, no interruption loses any."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sciml.learned.checkpoint import load_checkpoint, save_checkpoint
from sciml.learned.training import History, TrainingWarning, fit, stream


class Walk:
    """Gradient descent with momentum on a noisy quadratic: its state is two arrays."""

    def __init__(self, seed: int = 0, diverge_at: int | None = None):
        self.seed, self.diverge_at = seed, diverge_at
        self.x, self.v = np.full(3, 5.0), np.zeros(3)

    def step(self, index):
        if index == self.diverge_at:
            return {"loss": math.nan}
        noise = stream(self.seed, index).normal(size=3)
        self.v = 0.5 * self.v - 0.1 * (self.x + noise)
        self.x = self.x + self.v
        return {"loss": float(self.x @ self.x), "speed": float(np.linalg.norm(self.v))}

    def state(self):
        return {"x": self.x, "v": self.v}

    def load(self, state):
        self.x, self.v = state["x"], state["v"]

    def weights(self):
        return self.x.copy()

    def load_weights(self, weights):
        self.x = weights


class StopError(Exception):
    pass


def interrupt_at(step):
    def callback(done, metrics):
        if done == step:
            raise StopError

    return callback


def test_a_disk_that_is_full_for_a_while_ends_nothing(tmp_path, monkeypatch):
    path, whole = tmp_path / "run.safetensors", Walk()
    fit(whole, steps=20)
    full = False

    def save(target, state):
        if full:
            raise OSError(28, "No space left on device", str(target))
        save_checkpoint(target, state)

    def callback(done, metrics):
        nonlocal full
        full = 5 <= done < 9

    monkeypatch.setattr("sciml.learned.training.save_checkpoint", save)
    walk = Walk()
    with pytest.warns(TrainingWarning, match="No space left .* the training goes on"):
        fit(walk, steps=20, checkpoint=path, checkpoint_every=0, callback=callback)
    np.testing.assert_array_equal(walk.x, whole.x)
    assert load_checkpoint(path)["history"]["steps"] == 20
    full = True
    with pytest.raises(OSError, match="No space left"):  # before any work
        fit(Walk(), steps=20, checkpoint=path)


@pytest.mark.parametrize(
    "history",
    [
        [1], {"lost": []}, {"steps": 3, "loss": [1.0]}, {"steps": 1, "loss": ["x"]},
        {"steps": 0, "stopped": "x"},
        {"steps": 0, "seconds": math.nan}, {"steps": 0, "best": [1]},
    ],
    ids=["list", "name", "steps", "loss", "stopped", "seconds", "best"],
)  # fmt: skip
def test_a_damaged_history_is_refused_by_name(tmp_path, history):
    path = tmp_path / "run.safetensors"
    state = {"x": np.zeros(3), "v": np.zeros(3)}
    save_checkpoint(path, {"fingerprint": {"steps": 20}, "history": history, "best": None, "state": state})
    with pytest.raises(ValueError, match=r"run\.safetensors: damaged: its history"):
        fit(Walk(), steps=20, checkpoint=path)


@pytest.mark.parametrize("killed_at", [1, 7, 19])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, killed_at):
    whole = Walk()
    expected = fit(whole, steps=20, validate=lambda: float(whole.x @ whole.x), validate_every=3)
    path = tmp_path / "run.safetensors"
    first = Walk()
    with pytest.raises(StopError):
        fit(
            first, steps=20, validate=lambda: float(first.x @ first.x), validate_every=3, checkpoint=path,
            checkpoint_every=0, callback=interrupt_at(killed_at),
        )  # fmt: skip
    second = Walk()
    history = fit(
        second, steps=20, validate=lambda: float(second.x @ second.x), validate_every=3, checkpoint=path
    )
    np.testing.assert_array_equal(second.x, whole.x)
    assert history.loss == expected.loss
    assert history.validation == expected.validation
    assert history.best == expected.best
    assert history.metrics == expected.metrics


def test_the_best_iterate_is_left_in_the_trainable():
    walk = Walk()
    seen = {}

    def validate():
        value = abs(float(np.sum(walk.x)))
        seen[value] = walk.x.copy()
        return value

    history = fit(walk, steps=30, validate=validate, validate_every=1)
    assert history.best[1] == min(seen)
    np.testing.assert_array_equal(walk.x, seen[min(seen)])


def test_divergence_is_caught_and_the_best_kept():
    walk = Walk(diverge_at=10)
    with pytest.warns(TrainingWarning, match="the loss became nan after 10 steps"):
        history = fit(walk, steps=20, validate=lambda: float(walk.x @ walk.x), validate_every=1)
    assert (history.stopped, history.steps) == ("diverged", 10)
    assert float(walk.x @ walk.x) == history.best[1]


def test_a_callback_stops_and_the_same_call_goes_on(tmp_path):
    path = tmp_path / "run.safetensors"
    assert fit(Walk(), steps=9, checkpoint=path, callback=lambda done, _: done == 4).stopped == "callback"
    history = fit(Walk(), steps=9, checkpoint=path)
    assert (history.steps, history.stopped) == (9, "completed")


def test_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Walk(), steps=3, checkpoint=path, fingerprint={"seed": 0, "shape": (2, 2)})
    fit(Walk(), steps=3, checkpoint=path, fingerprint={"seed": 0, "shape": (2, 2)})
    with pytest.raises(ValueError, match="belongs to a run with seed = 0, but this one has 1"):
        fit(Walk(), steps=3, checkpoint=path, fingerprint={"seed": 1, "shape": (2, 2)})
    with pytest.raises(ValueError, match="steps = 3"):
        fit(Walk(), steps=4, checkpoint=path, fingerprint={"seed": 0, "shape": (2, 2)})
    assert fit(Walk(), steps=4, checkpoint=path, resume=False).steps == 4


def test_an_unwritable_place_is_reported_before_work(tmp_path):
    (tmp_path / "file").write_text("")
    walk = Walk()
    with pytest.raises(OSError, match="file"):
        fit(walk, steps=3, checkpoint=tmp_path / "file" / "run.safetensors")
    np.testing.assert_array_equal(walk.x, 5.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps is 0; expected a positive integer"),
        ({"steps": 2.0}, r"steps is 2\.0"),
        ({"steps": 2, "validate_every": 0}, "validate_every is 0"),
        ({"steps": 2, "checkpoint": "run.pt"}, r"expected a name ending in \.safetensors"),
    ],
    ids=["zero-steps", "float-steps", "validate_every", "suffix"],
)
def test_bad_settings(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(Walk(), **settings)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_the_step_and_saves(tmp_path, number):
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_training import Walk\n"
        "from sciml.learned.training import fit\n"
        "fit(Walk(), steps=10**6, checkpoint=sys.argv[1], checkpoint_every=1e9,\n"
        "    callback=lambda done, _: (done == 1 and print('go', flush=True)) or time.sleep(1e-3))\n"
    )
    path = tmp_path / "run.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    content = load_checkpoint(path)
    done = content["history"]["steps"]
    assert done >= 1
    walk = Walk()
    for i in range(done):
        walk.step(i)
    np.testing.assert_array_equal(content["state"]["x"], walk.x)


def test_checkpoints_hold_trees(tmp_path):
    state = {
        "a": [1, 2.5, None, "s", True, math.nan, math.inf, 1e-300],
        "deep": {"array": np.arange(3), "scalar": np.float32(2)},
        "numbered": {0: {"x": np.ones(2)}, 1: 3},
    }
    save_checkpoint(tmp_path / "c.safetensors", state)
    found = load_checkpoint(tmp_path / "c.safetensors")
    assert found["a"][:5] == [1, 2.5, None, "s", True]
    assert math.isnan(found["a"][5])
    assert found["a"][6:] == [math.inf, 1e-300]
    np.testing.assert_array_equal(found["deep"]["array"], np.arange(3))
    assert found["deep"]["scalar"] == 2
    assert found["deep"]["scalar"].shape == ()
    np.testing.assert_array_equal(found["numbered"][0]["x"], np.ones(2))
    assert found["numbered"][1] == 3
    with pytest.raises(TypeError, match=r"state\.f is a function; expected an array"):
        save_checkpoint(tmp_path / "d.safetensors", {"f": lambda: 0})


def test_streams_differ_by_seed_step_and_purpose():
    draws = {stream(*key).random() for key in [(0, 0), (1, 0), (0, 1), (0, 0, 1)]}
    assert len(draws) == 4


def test_history_is_drawn():
    walk = Walk()
    history = fit(walk, steps=300, validate=lambda: float(walk.x @ walk.x))
    ax = history.plot()
    assert [line.get_label() for line in ax.lines] == ["loss", "median of 3 steps", "validation", "best"]
    with pytest.raises(ValueError, match="no steps yet"):
        History().plot()
