"""Trainings killed at random moments, again and again until they end: nothing may be lost.

``cd tests && python -m kill --kills 51``. Every training of the library in a tiny form. SIGKILL may strike in
the middle of writing; then at most the interval between two checkpoints is lost (here a step). SIGTERM ends
the step at hand and saves, so nothing is. Each attempt goes on from what the last one left; the weights in
the end must be those of a run nobody touched, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401 - what the first optimizer of a process would import, in every fork anew

import sciml.learned.dcd
import sciml.learned.multigrid
import sciml.learned.pinn
import sciml.learned.rim
from sciml import CallableOperator
from sciml.learned.checkpoint import load_checkpoint
from sciml.problems import poisson
from sciml.weights import load_weights

STEPS = 20
NAP = 0.01
"""Seconds between steps, so that kills meet more than the writing of checkpoints."""


# -- trainings --------------------------------------------------------------------------------
def dcd(output: Path, **options: Any) -> None:
    tiny = {"channels": 2, "levels": 1, "before": 2, "bottom": 1, "after": 1}
    network, _ = sciml.learned.dcd.train_dcd(
        poisson((8, 8), bc="open-top").A, architecture=tiny, steps=STEPS, batch=2, validate_every=3, seed=5,
        **options,
    )  # fmt: skip
    network.save(output, training={})


def multigrid(output: Path, **options: Any) -> None:
    problems = sciml.learned.multigrid.training_problems(["balls", "walls"], [(16, 16)], instances=3)
    settings = [{"sweeps": 1}, {"sweeps": 2}]
    sciml.learned.multigrid.train_multigrid(
        output, problems, members=2, generations=4, settings=settings, **options
    )


def pinn(output: Path, **options: Any) -> None:
    problem = sciml.learned.pinn.PROBLEMS["heat"]()
    field, _ = sciml.learned.pinn.train_pinn(
        problem, field=sciml.learned.pinn.Field(problem, hidden=(6,)), sampler="rad", optimizer="adam+lm",
        steps=(STEPS - 8, 8), points=100, resample=4, held_out=60, **options,
    )  # fmt: skip
    field.save(output, training={})


def rim(output: Path, **options: Any) -> None:
    halve = CallableOperator(lambda x: x / 2, (8, 8), dtype="float32", properties={"symmetric", "linear"})

    def sample(rng: np.random.Generator) -> Any:
        x = rng.random((8, 8), dtype=np.float32)
        return sciml.learned.rim.Sample(halve, x / 2, x)

    machine = sciml.learned.rim.RIM(channels=4, steps=2, components=1)
    sciml.learned.rim.train_rim(
        machine, sample, steps=STEPS, held_out=[sample(np.random.default_rng(i)) for i in range(2)],
        validate_every=3, lr=1e-2, **options,
    )  # fmt: skip
    machine.save(output, training={})


TRAININGS: dict[str, Callable[..., None]] = {"dcd": dcd, "multigrid": multigrid, "pinn": pinn, "rim": rim}


# -- processes --------------------------------------------------------------------------------
class Attempt:
    """A child process in the middle of a training: a fork, which has all libraries loaded."""

    def __init__(self, train: Callable[..., None], folder: Path, every: float):
        self.reports, writer = os.pipe()
        """A byte after every step."""
        self.reported = 0
        self.pid = os.fork()
        if not self.pid:
            self._train(train, folder, every, writer)
        os.close(writer)

    def _train(self, train: Callable[..., None], folder: Path, every: float, writer: int) -> None:
        def callback(done: int, metrics: Any) -> None:
            os.write(writer, bytes([done]))
            time.sleep(NAP)

        code = 1
        try:
            train(
                folder / "weights.safetensors", checkpoint=folder / "run.safetensors", checkpoint_every=every,
                callback=callback, progress=False,
            )  # fmt: skip
            code = 0
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def started(self) -> bool:
        """Wait for the first step; False if there is none left."""
        return self._read() > 0

    def end(self, number: int | None = None) -> int:
        """Send a signal (None waits); the exit code, negative for a signal."""
        if number is not None:
            os.kill(self.pid, number)
        while self._read():
            pass
        os.close(self.reports)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> int:
        found = os.read(self.reports, 1 << 10)
        self.reported = found[-1] if found else self.reported
        return len(found)


@dataclass
class Tally:
    """The table's row of one training."""

    name: str
    steps: int = 0
    runs: int = 0
    killed: int = 0
    terminated: int = 0
    lost: int = 0
    partial: int = 0

    def __str__(self) -> str:
        counts = f"{self.steps:>5} {self.runs:>10} {self.killed:>8} {self.terminated:>8}"
        return f"{self.name:<10} {counts} {self.lost:>11} {self.partial:>14}  identical"


def survive(name: str, kills: int, rng: np.random.Generator) -> Tally:
    """Kill the training `name` so often; an assertion fails where something was lost."""
    tally = Tally(name)
    with tempfile.TemporaryDirectory() as base:
        whole = Attempt(TRAININGS[name], Path(base) / "whole", 0.0)
        assert whole.started()
        start = time.monotonic()
        assert whole.end() == 0
        seconds, tally.steps = time.monotonic() - start, whole.reported
        expected = load_weights(Path(base) / "whole" / "weights.safetensors").tensors
        while tally.killed + tally.terminated < kills:
            folder = Path(base) / f"run{tally.runs}"
            while _attempt(tally, folder, seconds, rng):
                pass
            tally.runs += 1
            found = load_weights(folder / "weights.safetensors").tensors
            assert set(found) == set(expected)
            for key, value in expected.items():
                assert value.tobytes() == found[key].tobytes(), f"{name}: {key} differs in run {tally.runs}"
    return tally


def _attempt(tally: Tally, folder: Path, seconds: float, rng: np.random.Generator) -> bool:
    """Start or go on with a run, and kill it somewhere; False if it ended before."""
    term = bool(rng.random() < 0.5)
    attempt = Attempt(TRAININGS[tally.name], folder, 60.0 if term else 0.0)
    if rng.random() < 0.1:
        time.sleep(rng.uniform(0.0, seconds))  # before the first step, perhaps
    elif attempt.started():
        time.sleep(rng.uniform(0.0, 0.5 * seconds))
    code = attempt.end(signal.SIGTERM if term else signal.SIGKILL)
    if code == 0:
        return False
    assert code in (130, -signal.SIGTERM, -signal.SIGKILL), f"{tally.name}: exit code {code}"
    path = folder / "run.safetensors"
    # Whatever happened, it can be read.
    saved = int(load_checkpoint(path)["history"]["steps"]) if path.exists() else 0
    missing = attempt.reported - saved
    assert missing <= (0 if term else 1), f"{tally.name}: {attempt.reported} steps done, {saved} kept"
    tally.lost = max(tally.lost, missing)
    tally.partial = max(tally.partial, len(list(folder.glob(".*"))))
    tally.killed, tally.terminated = tally.killed + (not term), tally.terminated + term
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=51, help="in all, shared by the trainings")
    parser.add_argument("--only", choices=tuple(TRAININGS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    names = given.only or list(TRAININGS)
    print("training   steps  runs ended  SIGKILL  SIGTERM  steps lost  partial files  weights", flush=True)
    for i, name in enumerate(names):
        kills = -(-given.kills // len(names))
        print(survive(name, kills, np.random.default_rng([given.seed, i])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
