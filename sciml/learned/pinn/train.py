"""Training of fields: points, optimisers in turn, the best iterate."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..gradient import tensors
from ..training import History, fit, stream
from .field import Field
from .objective import Objective
from .optimizers import OPTIMIZERS, Optimizer
from .problem import Problem
from .samplers import SAMPLERS, Points

__all__ = ["train_pinn"]

POINTS, BOUNDARY, PREFIT, HELD_OUT = 1, 2, 3, 4
"""Purposes of the random streams."""

GROWTH = 1e4
"""A loss this many times that before the first step counts as diverged."""


def train_pinn(
    problem: Problem,
    *,
    sampler: Any = "rad",
    optimizer: Any = "adam+lm",
    field: Field | None = None,
    steps: int | Sequence[int] | None = None,
    points: int | Sequence[int] | None = None,
    resample: int | Sequence[int] | None = None,
    held_out: int = 4096,
    seed: int = 0,
    core_seconds: float | None = None,
    validate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    progress: bool | None = None,
    callback: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> tuple[Field, History]:
    """Train a field to satisfy a PDE.

    Parameters
    ----------
    problem : Problem
    sampler : str or Sampler
        A name from `SAMPLERS`, or a sampler of the problem's domain with settings of its own.
    optimizer : str or Optimizer, or sequence of them
        One or several in turn: names from `OPTIMIZERS` joined by ``+``, such as ``"adam+lm"``, or optimisers
        with settings of their own.
    field : Field, optional
        To go on from (``train_pinn(field.problem, field=field)``), or with a network of your own; it is
        trained in place. By default a new one.
    steps, points, resample : int or sequence of int, optional
        Steps, interior points, and steps between resamplings; one number for each optimiser, or one for all
        of them. By default those of the optimisers.
    held_out : int
        Points on which the best iterate is chosen: half of them uniform, half chosen by the sampler from the
        residual of the zero field.
    seed : int
        Of weights and points.
    core_seconds : float, optional
        Processor time after which the run stops (its parts before an interruption not included).
    validate_every : int, optional
        Steps between validations; by default a hundredth of the run, and at most one resampling.
    checkpoint, checkpoint_every, resume, progress, callback
        See `sciml.learned.fit`.

    Returns
    -------
    field : Field
        The iterate with the smallest loss on the held-out points.
    history : History

    Raises
    ------
    TypeError, ValueError
        For settings that do not fit, and what `Problem.check` finds, before any training.

    Notes
    -----
    A run that is interrupted and resumed ends with the weights of an uninterrupted one. A loss that is not
    finite, or ten thousand times that at the start, ends the run with a `TrainingWarning`; the best iterate
    is kept.

    Examples
    --------
    >>> from sciml.learned.pinn import PROBLEMS, train_pinn
    >>> problem = PROBLEMS["poisson"](dimension=1)
    >>> field, history = train_pinn(problem, sampler="sobol", optimizer="lm", steps=8, points=200)
    >>> history.loss[-1] < 1e-4 * history.loss[0]
    True
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem is a {type(problem).__name__}; expected a Problem")
    if isinstance(held_out, bool) or not isinstance(held_out, int) or held_out < 2:
        raise ValueError(f"held_out is {held_out!r}; expected at least 2 points")
    if core_seconds is not None and not core_seconds > 0:
        raise ValueError(f"core_seconds is {core_seconds!r}; expected a positive number")
    problem.check()
    phases = _phases(optimizer, steps, points, resample)
    field = Field(problem, seed=seed) if field is None else field
    if field.problem is not problem:
        raise ValueError(f"field belongs to {field.problem.name!r}; expected one of the problem given")
    chooser = _sampler(sampler, problem)
    started = time.process_time()
    training = _Training(field, chooser, phases, seed)
    judge = training.held_out(held_out)
    total = sum(phase.steps for phase in phases)
    often = max(1, min(total // 100, *(phase.resample for phase in phases)))

    def stop(done: int, metrics: Mapping[str, float]) -> bool:
        late = core_seconds is not None and time.process_time() - started >= core_seconds
        return bool(callback is not None and callback(done, metrics)) or late

    history = fit(
        training,
        steps=total,
        validate=judge.value,
        validate_every=often if validate_every is None else validate_every,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        fingerprint={
            "problem": problem.name, "network": field.net.settings, "sampler": type(chooser).__name__,
            "sampler settings": getattr(chooser, "settings", {}),
            "phases": [phase.description() for phase in phases], "held_out": held_out, "seed": seed,
        },
        label=problem.name,
        progress=progress,
        callback=stop,
    )  # fmt: skip
    return field, history


@dataclass(frozen=True)
class _Phase:
    """One optimiser's share of a run."""

    optimizer: Optimizer
    steps: int
    points: int
    resample: int

    def description(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.name, "steps": self.steps, "points": self.points,
            "resample": self.resample, **self.optimizer.settings(),
        }  # fmt: skip


class _Training:
    """Points, their objective and the optimiser of the step at hand, as a `Trainable`."""

    def __init__(self, field: Field, sampler: Any, phases: list[_Phase], seed: int):
        self.field, self.sampler, self.phases, self.seed = field, sampler, phases, seed
        self.objective: Objective | None = None
        self._points: Points | None = None
        self._boundary: list[tuple[Tensor, Tensor]] = []
        self._first_loss: float | None = None
        sampler.prefit(self.field.problem.zero_residual, stream(seed, 0, PREFIT))

    def held_out(self, n: int) -> Objective:
        """The objective on points that no step sees."""
        domain = self.field.problem.domain
        uniform = Points.plain(domain.sample(n - n // 2, stream(self.seed, 0, HELD_OUT)))
        # A copy of the sampler chooses them: what it remembers must not reach the training.
        sampler, rng = copy.deepcopy(self.sampler), stream(self.seed, 1, HELD_OUT)
        chosen = sampler.sample(self.field.problem.zero_residual, n // 2, rng)
        both = Points(torch.cat([uniform.x, chosen.x]), torch.cat([uniform.weight, chosen.weight]))
        return self._objective(both, self._conditions(stream(self.seed, 2, HELD_OUT)))

    def step(self, index: int) -> Mapping[str, float]:
        phase, local = self._phase(index)
        if local % phase.resample == 0:
            self._resample(phase, index)
        assert self.objective is not None
        if self._first_loss is None:
            self._first_loss = self.objective.value()
        before = self.weights()
        metrics = phase.optimizer.step(self.objective, local, phase.steps)
        if metrics["loss"] > GROWTH * self._first_loss:
            self.load_weights(before)
            return {"loss": math.inf}
        return metrics

    def _phase(self, index: int) -> tuple[_Phase, int]:
        for phase in self.phases:
            if index < phase.steps:
                return phase, index
            index -= phase.steps
        raise IndexError(index)

    def _resample(self, phase: _Phase, index: int) -> None:
        self._points = self.sampler.sample(
            self.field.residual, phase.points, stream(self.seed, index, POINTS)
        )
        self._boundary = self._conditions(stream(self.seed, index, BOUNDARY))
        self.objective = self._objective(self._points, self._boundary)
        phase.optimizer.resampled()

    def _conditions(self, rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
        problem = self.field.problem
        return [condition.sample(problem.domain, rng) for condition in problem.conditions]

    def _objective(self, points: Points, boundary: list[tuple[Tensor, Tensor]]) -> Objective:
        return Objective(self.field.problem, self.field.net, points, boundary)

    def state(self) -> Any:
        points = None if self._points is None else vars(self._points)
        return {
            "theta": self.field.net.theta,
            "optimizers": [phase.optimizer.state() for phase in self.phases],
            "sampler": self.sampler.state(),
            "points": points,
            "boundary": [list(pair) for pair in self._boundary],
            "first loss": self._first_loss,
        }

    def load(self, state: Any) -> None:
        self.load_weights(state["theta"])
        for phase, saved in zip(self.phases, state["optimizers"], strict=True):
            phase.optimizer.load(saved)
        self.sampler.load(state["sampler"])
        self._first_loss = None if state["first loss"] is None else float(state["first loss"])
        if state["points"] is not None:
            self._points = Points(**tensors(state["points"]))
            self._boundary = [tuple(pair) for pair in tensors(state["boundary"])]
            self.objective = self._objective(self._points, self._boundary)

    def weights(self) -> Any:
        return self.field.net.theta.detach().clone()

    def load_weights(self, weights: Any) -> None:
        with torch.no_grad():
            self.field.net.theta.copy_(torch.as_tensor(weights))


def _sampler(given: Any, problem: Problem) -> Any:
    if isinstance(given, str):
        if given not in SAMPLERS:
            raise ValueError(f"sampler is {given!r}; expected one of {', '.join(SAMPLERS)}, or a sampler")
        return SAMPLERS[given](problem.domain)
    if not hasattr(given, "sample"):
        raise TypeError(f"sampler is a {type(given).__name__}; expected a name or an object with `sample`")
    return given


def _phases(optimizer: Any, steps: Any, points: Any, resample: Any) -> list[_Phase]:
    parts = optimizer.split("+") if isinstance(optimizer, str) else optimizer
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    made = []
    for part in parts:
        if isinstance(part, str) and part not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ValueError(f"optimizer is {part!r}; expected {known}, or several joined by +")
        made.append(OPTIMIZERS[part]() if isinstance(part, str) else part)
    if not made or not all(hasattr(o, "step") for o in made):
        raise TypeError(f"optimizer is {optimizer!r}; expected names or optimisers")
    made = copy.deepcopy(made)  # the caller's keep no state of this run; one that stands twice stays one
    columns = {
        name: _per_phase(name, value, [getattr(o, name) for o in made])
        for name, value in (("steps", steps), ("points", points), ("resample", resample))
    }
    return [_Phase(o, *(columns[name][i] for name in columns)) for i, o in enumerate(made)]


def _per_phase(name: str, value: Any, defaults: list[int]) -> list[int]:
    values = defaults if value is None else value
    values = list(values) if isinstance(values, list | tuple) else [values] * len(defaults)
    if len(values) != len(defaults):
        raise ValueError(f"{name} has {len(values)} numbers for {len(defaults)} optimiser(s)")
    if any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values):
        raise ValueError(f"{name} is {value!r}; expected a positive integer, or one for each optimiser")
    return values
