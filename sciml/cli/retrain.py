"""``sciml retrain``: make shipped weights again by the commands in their headers, and compare."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_output
from ..measure.terminal import console
from ..weights import WeightFile, load_weights, shipped, shipped_names

__all__ = ["commands", "compared", "run_retrain"]


def run_retrain(
    names: Sequence[str], everything: bool, output: Path, tolerance: float, json: Path | None
) -> int:
    """Retrain, print, record; returns the exit code: 0 if everything is as it was.

    Raises
    ------
    OSError, ValueError
        For names of no shipped weights, a header without a command, and a training that fails.
    """
    chosen = list(shipped_names()) if everything else list(names)
    if everything == bool(names):
        raise ValueError(f"expected names of shipped weights ({', '.join(shipped_names())}), or --all")
    if not 0.0 <= tolerance < float("inf"):
        raise ValueError(f"--tolerance is {tolerance}; expected a number >= 0")
    files = {name: load_weights(shipped(name)) for name in chosen}
    plans = {name: commands(weights) for name, weights in files.items()}
    check_output(json)
    check_output(output / "weights", make_folder=True)
    terminal, rows = console(), []
    for name, weights in files.items():
        before = weights.training.get("seconds", 0.0)
        terminal.print(f"{name}: took {before:.0f} s where the shipped file was made", highlight=False)
        for command in plans[name]:
            terminal.print("  sciml " + shlex.join(command), markup=False, highlight=False, soft_wrap=True)
            _run(command, output)
        made = load_weights(output / _option(plans[name][-1], "-o", "--output"), kind=weights.kind)
        rows.append({"weights": name, **compared(weights, made, tolerance)})
    terminal.print(_table(rows))
    if json is not None:
        from ..measure.record import record, write_json

        write_json(json, record("retrain", "custom", 0, {"weights": rows}, []))
    return 0 if all(row["verdict"] != "worse" for row in rows) else 1


def commands(weights: WeightFile) -> list[list[str]]:
    """The trainings that made a file, first things first, as arguments of ``sciml``.

    Only ``sciml train`` is ever run, with the arguments in the header and without a shell; weights are
    written to files of their own names.

    Raises
    ------
    ValueError
        If the header has no such command.
    """
    found: list[list[str]] = []
    training, wanted = weights.training, Path(weights.source).name
    while True:
        words = shlex.split(str(training.get("command", "")))
        if words[:2] != ["sciml", "train"]:
            raise ValueError(f"{weights.source}: its header has no command that begins with 'sciml train'")
        found.insert(0, _renamed(words[1:], wanted))
        start = training.get("start")
        if not isinstance(start, dict):
            return found
        training, wanted = start, Path(_option(words, "--start")).name


def _option(words: Sequence[str], *names: str) -> str:
    for name, value in pairwise(words):
        if name in names:
            return value
    raise ValueError(f"the command {shlex.join(words)!r} has no {names[0]}")


def _renamed(words: list[str], name: str) -> list[str]:
    """The same command with all files in the folder it is run in, and `name` as the one it writes."""
    _option(words, "-o", "--output")
    out = list(words)
    for i, word in enumerate(words[:-1]):
        if word in ("-o", "--output"):
            out[i + 1] = name
        elif word in ("--start", "--checkpoint"):
            out[i + 1] = Path(words[i + 1]).name
    return out


def _run(command: Sequence[str], folder: Path) -> None:
    # A process of its own, as libraries keep states; a run that was interrupted goes on from its checkpoint.
    done = subprocess.run([sys.executable, "-m", "sciml", *command], cwd=folder)
    if done.returncode != 0:
        raise ValueError(f"sciml {shlex.join(command)} ended with exit code {done.returncode}")


def compared(shipped: WeightFile, made: WeightFile, tolerance: float) -> dict[str, Any]:
    """How retrained weights differ from those that were shipped.

    The same machine and versions of the libraries give the same bits. Others sum in another order, which a
    training amplifies: weights then differ, and only what they achieve can be compared: the validation value
    may be above that of the shipped component by the share `tolerance`. It is that in the header or, for
    multigrid, that of the policy on problems that no training has seen (`sciml.learned.multigrid.validate`).

    Returns
    -------
    dict
        ``identical``; ``difference``, the norm of the difference of all tensors relative to the shipped ones
        (None if names or shapes differ); ``validation`` and ``validation_shipped`` where there was one; and
        the ``verdict``: ``"identical"``, ``"as good"`` or ``"worse"``. Without a validation value, what
        differs by more than the tolerance counts as worse.
    """
    old, new = shipped.tensors, made.tensors
    same_form = {name: t.shape for name, t in old.items()} == {name: t.shape for name, t in new.items()}
    identical = same_form and all(t.tobytes() == new[name].tobytes() for name, t in old.items())
    difference = _difference(old, new) if same_form else None
    before, now = (_validation(w) for w in (shipped, made))
    if identical:
        verdict = "identical"
    elif before is not None and now is not None:
        verdict = "as good" if now <= (1.0 + tolerance) * before else "worse"
    else:
        verdict = "as good" if difference is not None and difference <= tolerance else "worse"
    return {
        "identical": identical, "difference": difference, "validation_shipped": before, "validation": now,
        "seconds": made.training.get("seconds"), "verdict": verdict,
    }  # fmt: skip


def _difference(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> float:
    of_all = np.concatenate([np.ravel(t).astype(float) for t in old.values()])
    change = np.concatenate([np.ravel(new[n]).astype(float) for n in old]) - of_all
    return float(np.linalg.norm(change) / max(float(np.linalg.norm(of_all)), 1e-300))


def _validation(weights: WeightFile) -> float | None:
    if weights.kind == "multigrid":
        from ..learned.multigrid import validate
        from ..preconditioners.learned_multigrid import policy_of

        return validate(policy_of(weights))
    best = weights.training.get("best")
    return float(best["value"]) if isinstance(best, dict) and "value" in best else None


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("weights", no_wrap=True)
    for name in ("seconds", "relative difference", "validation shipped", "validation now"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        numbers = ("seconds", "difference", "validation_shipped", "validation")
        cells = ["–" if row[key] is None else f"{row[key]:.4g}" for key in numbers]
        table.add_row(
            row["weights"], *cells, row["verdict"], style="red" if row["verdict"] == "worse" else None
        )
    return table
