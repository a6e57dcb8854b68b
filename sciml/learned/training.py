"""What every training shares: seeds, atomic checkpoints, resume, the best iterate, progress.

A component's ``train_*`` function defines its data and its loss as a `Trainable`; `fit` runs it. All
randomness of step ``i`` comes from ``stream(seed, i)``, so a run that resumes at step ``i`` sees exactly the
numbers an uninterrupted one would have seen, and no generator state needs saving.
"""

from __future__ import annotations

import math
import operator
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .checkpoint import load_checkpoint, save_checkpoint

__all__ = ["History", "Trainable", "TrainingWarning", "fit", "stream"]


class TrainingWarning(UserWarning):
    """A training run went on or ended in a way its user should know about."""


def stream(seed: int, step: int, purpose: int = 0) -> np.random.Generator:
    """The random numbers of one step of one purpose (data, validation, rank): independent and reproducible.

    Examples
    --------
    >>> from sciml.learned.training import stream
    >>> bool(stream(0, 7).random() == stream(0, 7).random())
    True
    """
    return np.random.default_rng([int(seed), int(purpose), int(step)])


# -- the loop ---------------------------------------------------------------------------------
class Trainable(Protocol):
    """What `fit` runs. State trees hold arrays, numbers, strings and None in dicts and lists."""

    def step(self, index: int) -> Mapping[str, float]:
        """Do one update and return what to show; ``"loss"`` is required.

        A step whose loss is not finite must leave the weights as they were.
        """

    def state(self) -> Any:
        """Everything the next step depends on: weights, optimiser, replay buffers."""

    def load(self, state: Any) -> None:
        """Take up a `state` (its arrays are NumPy arrays)."""

    def weights(self) -> Any:
        """The part of the state that the best iterate is made of."""

    def load_weights(self, weights: Any) -> None:
        """Take up `weights`."""


@dataclass
class History:
    """What a training run measured.

    Attributes
    ----------
    loss : list of float
        Per step.
    validation : list of (int, float)
        Completed steps and validation value (smaller is better).
    best : (int, float) or None
        Completed steps and value of the best iterate.
    seconds : float
        Of training, over all resumed parts.
    steps : int
        Completed.
    metrics : dict of str to list of float
        What else the steps reported.
    stopped : str
        Why the run ended: ``"completed"``, ``"callback"`` or ``"diverged"``.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    seconds: float = 0.0
    steps: int = 0
    metrics: dict[str, list[float]] = field(default_factory=dict)
    stopped: str = "completed"

    def plot(self, ax: Any = None) -> Any:
        """Draw loss and validation over the steps; returns the axes."""
        from ..plotting import training

        return training(self, ax)

    def summary(self) -> dict[str, Any]:
        """JSON values for the header of a weight file."""
        best = None if self.best is None else {"step": self.best[0], "value": self.best[1]}
        return {"steps": self.steps, "seconds": round(self.seconds, 1), "best": best, "stopped": self.stopped}


def fit(
    trainable: Trainable,
    *,
    steps: int,
    validate: Callable[[], float] | None = None,
    validate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    fingerprint: Mapping[str, Any] | None = None,
    label: str = "training",
    progress: bool | None = None,
    callback: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> History:
    """Run a training to its end, and leave the best iterate in `trainable`.

    Parameters
    ----------
    trainable : Trainable
    steps : int
        In all, those of an interrupted run included.
    validate : callable, optional
        Value of the current iterate on held-out data, smaller is better; the best iterate is kept and loaded
        at the end. Without it the last iterate stays.
    validate_every : int, optional
        Steps between validations; a twentieth of the run by default.
    checkpoint : path, optional
        ``.safetensors`` file that holds the run; written atomically every `checkpoint_every` seconds, on
        Ctrl-C and SIGTERM after the step at hand, and at the end. An existing one is resumed from. Where it
        cannot be written the run does not start; where that happens later, it goes on with a warning.
    checkpoint_every : float
        Seconds; 0 writes after every step.
    resume : bool
        False ignores (and overwrites) an existing checkpoint.
    fingerprint : mapping, optional
        JSON values that say which run this is (configuration, seed); a checkpoint of another run is refused.
    label : str
        Beside the progress bar.
    progress : bool, optional
        By default shown on terminals only.
    callback : callable, optional
        Called with the completed steps and the metrics of the last one; ``True`` stops.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For impossible settings, or a checkpoint of another run.

    Notes
    -----
    A loss that is not finite ends the run as ``"diverged"`` with a `TrainingWarning`; the best iterate (the
    one before, without validation) is kept.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}; expected a positive integer")
    every = validate_every if validate_every is not None else max(1, steps // 20)
    if every < 1:
        raise ValueError(f"validate_every is {validate_every!r}; expected a positive integer")
    run = _Run(trainable, steps, validate, dict(fingerprint or {}, steps=steps))
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.suffix != ".safetensors":
        raise ValueError(f"checkpoint is {str(path)!r}; expected a name ending in .safetensors")
    if path is not None and resume and path.exists():
        run.restore(path)
    if path is not None:
        run.save(path)  # a directory that cannot be written is reported before any work
    saved = time.monotonic()
    history = run.history
    with _bar(label, steps, progress) as show, _deferred_interrupts() as interrupted:
        while history.steps < steps and history.stopped == "completed" and not interrupted:
            metrics = run.advance()
            if metrics is None:
                break
            if history.steps % every == 0 or history.steps == steps:
                run.validate()
            show(history)
            if callback is not None and callback(history.steps, metrics):
                history.stopped = "callback"
            if path is not None and time.monotonic() - saved >= checkpoint_every:
                run.try_to_save(path)
                saved = time.monotonic()
        if path is not None and not interrupted:
            run.try_to_save(path)
        elif path is not None:
            run.save(path)
    if interrupted:
        raise KeyboardInterrupt
    run.finish()
    return history


class _Run:
    """State of one training run around its trainable."""

    def __init__(self, trainable: Trainable, steps: int, validate: Any, fingerprint: dict[str, Any]):
        self.trainable, self.steps, self.fingerprint = trainable, steps, fingerprint
        self._validate = validate
        self.history = History()
        self.best: Any = None

    def advance(self) -> Mapping[str, float] | None:
        """One step; None when the loss is not finite."""
        start = time.perf_counter()
        metrics = {k: float(v) for k, v in self.trainable.step(self.history.steps).items()}
        history = self.history
        history.seconds += time.perf_counter() - start
        if not math.isfinite(metrics["loss"]):
            history.stopped = "diverged"
            warnings.warn(
                f"the loss became {metrics['loss']} after {history.steps} steps; the best iterate is kept",
                TrainingWarning,
                stacklevel=3,
            )
            return None
        history.steps += 1
        history.loss.append(metrics["loss"])
        for name, value in metrics.items():
            if name != "loss":
                history.metrics.setdefault(name, []).append(value)
        return metrics

    def validate(self) -> None:
        if self._validate is None:
            return
        start = time.perf_counter()
        value = float(self._validate())
        history = self.history
        history.seconds += time.perf_counter() - start
        history.validation.append((history.steps, value))
        if math.isfinite(value) and (history.best is None or value < history.best[1]):
            history.best = (history.steps, value)
            self.best = self.trainable.weights()

    def finish(self) -> None:
        if self.best is not None:
            self.trainable.load_weights(self.best)

    def save(self, path: Path) -> None:
        if int(os.environ.get("RANK", "0")) > 0:
            return  # of several processes in data parallel, the first one writes
        save_checkpoint(
            path,
            {
                "fingerprint": self.fingerprint,
                "history": vars(self.history),
                "best": self.best,
                "state": self.trainable.state(),
            },
        )

    def try_to_save(self, path: Path) -> None:
        """Save; a disk that is full for a while must not end days of training."""
        try:
            self.save(path)
        except OSError as error:
            warnings.warn(
                f"{error}; the training goes on, and the checkpoint before this one is kept",
                TrainingWarning,
                stacklevel=3,
            )

    def restore(self, path: Path) -> None:
        content = run_state(path)
        for name, value in self.fingerprint.items():
            found = content["fingerprint"].get(name)
            if found != _plain(value):
                raise ValueError(
                    f"{path}: belongs to a run with {name} = {found!r}, but this one has {value!r}; "
                    "use another file, or resume=False to overwrite it"
                )
        self.history, self.best = content["history"], content["best"]
        if self.history.stopped == "callback":
            self.history.stopped = "completed"
        try:
            if self.best is not None:
                self.trainable.load_weights(self.best)  # only to see now whether that works
            self.trainable.load(content["state"])
        except Exception as error:  # whatever a component raises for a state that is none of its own
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{path}: holds a state that does not fit this training ({reason})") from None


def run_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint of a training run holds: fingerprint, history, best, state.

    Raises
    ------
    FileNotFoundError, ValueError
        For a file that is missing, damaged, or holds something else.
    """
    content = load_checkpoint(Path(path))
    if not isinstance(content, dict) or set(content) != {"fingerprint", "history", "best", "state"}:
        raise ValueError(f"{path}: not a checkpoint of a training run")
    if not isinstance(content["fingerprint"], dict):
        raise ValueError(f"{path}: damaged: its fingerprint is no mapping of names to values")
    try:
        content["history"] = _history(content["history"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: damaged: its history is not that of a training run ({error})") from None
    return content


def _history(found: Any) -> History:
    """The history in a checkpoint, with every entry of the type it should have."""
    history = History(**found)
    history.loss = [float(v) for v in history.loss]
    history.validation = [(int(s), float(v)) for s, v in history.validation]
    if history.best is not None:
        step, value = history.best
        history.best = (int(step), float(value))
    history.metrics = {str(k): [float(v) for v in values] for k, values in dict(history.metrics).items()}
    history.seconds, history.steps = float(history.seconds), operator.index(history.steps)
    if history.steps != len(history.loss) or not 0.0 <= history.seconds < math.inf:
        raise ValueError(f"{history.steps} steps in {history.seconds} s with {len(history.loss)} losses")
    if history.stopped not in ("completed", "callback", "diverged"):
        raise ValueError(f"stopped is {history.stopped!r}")
    return history


def _plain(value: Any) -> Any:
    """As a checkpoint returns it: tuples become lists."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


@contextmanager
def _deferred_interrupts() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM, so that a step ends and the run is saved before they take effect.

    A second one takes effect at once. Outside the main thread, which alone gets signals, nothing changes.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(label: str, steps: int, progress: bool | None) -> Iterator[Callable[[History], None]]:
    """A progress bar with the live loss; a function that does nothing where none is shown."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not (console.is_terminal if progress is None else progress):
        yield lambda history: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]}"), TextColumn("{task.fields[best]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=steps, loss="–", best="")

        def show(history: History) -> None:
            best = "" if history.best is None else f"best validation {history.best[1]:.4g}"
            bar.update(task, completed=history.steps, loss=f"{history.loss[-1]:.4g}", best=best)

        yield show
