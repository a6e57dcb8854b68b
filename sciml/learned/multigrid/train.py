"""Train the portfolio and the predictor that `LearnedMultigrid` applies."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import check_output
from ...preconditioners.learned_multigrid import FEATURE_STRENGTH, KINDS, Policy, kind_of
from ...preconditioners.multigrid.features import FEATURES, geometry_features
from ...problems import Problem
from ...weights import save_weights
from ..training import History, fit
from .cost import Rates
from .evolution import Evolution
from .families import FAMILIES, OBSTACLES, sample
from .portfolio import greedy_portfolio, pack, train_predictor
from .search import TOLERANCES, evaluate, grid

__all__ = ["MultigridTraining", "train_multigrid", "training_problems"]

SHAPES = ((32, 32, 32), (64, 64, 64), (256, 256), (512, 512))
"""Grids of every family."""

LARGER = ((128, 128, 128),)
"""Grids of families with constant coefficients besides; hard coefficients take too long there."""


def training_problems(
    families: Sequence[str] | None = None,
    shapes: Sequence[Sequence[int]] | None = None,
    instances: int = 1,
    first: int = 0,
) -> list[tuple[str, Problem]]:
    """Families' names and problems: `instances` of every family at every shape.

    By default of all families, at `SHAPES` and, with constant coefficients, `LARGER`.
    """
    names = list(FAMILIES) if families is None else list(families)
    out, number = [], first
    for name in names:
        usual = SHAPES + LARGER if name in OBSTACLES else SHAPES
        for shape in usual if shapes is None else shapes:
            for _ in range(instances):
                out.append((name, sample(name, shape, number)))
                number += 1
    return out


class MultigridTraining:
    """A `Trainable` in three phases, all of which resume.

    1. One step a problem: the predicted time of every setting of the grid on it.
    2. Problems fall into classes (2D or 3D, constant coefficients, jumps, anisotropy). For each class, an
       evolution strategy refines the best setting of the grid; each step is one generation for one class.
    3. One step a problem: the times of the refined settings.

    `policy` then picks the portfolio: the setting of the grid that is best on average for each tolerance and
    kind of problem, and others of the grid and the refined ones beside them, and fits the predictors.
    """

    def __init__(
        self,
        problems: Sequence[tuple[str, Problem]],
        *,
        members: int = 8,
        generations: int = 4,
        settings: Sequence[dict[str, Any]] | None = None,
        rates: Rates | None = None,
        seed: int = 0,
    ):
        self.groups = [name for name, _ in problems]
        self.problems = [problem for _, problem in problems]
        self.settings = grid() if settings is None else list(settings)
        self.rates = Rates() if rates is None else rates
        self.members, self.generations, self.seed = members, generations, seed
        self.table = np.full((len(problems), len(self.settings), len(TOLERANCES)), np.nan)
        self.features = np.array([geometry_features(p.A, FEATURE_STRENGTH) for p in self.problems])
        self.kinds = np.array([kind_of(f) for f in self.features])
        told_apart = self.features[:, [FEATURES.index(n) for n in ("3d", "uncoarsened", "jumps")]] > 0
        self.classes = np.unique(told_apart, axis=0, return_inverse=True)[1].reshape(-1)
        self.refined = np.full((len(problems), self._count, len(TOLERANCES)), np.nan)
        self.evolution: Evolution | None = None

    @property
    def _count(self) -> int:
        return int(self.classes.max()) + 1

    @property
    def steps(self) -> int:
        """Steps of a whole run."""
        return 2 * len(self.problems) + self._count * self.generations

    def step(self, index: int) -> Mapping[str, float]:
        count, evolving = len(self.problems), self._count * self.generations
        if index < count:
            for j, choice in enumerate(self.settings):
                self.table[index, j] = evaluate(self.problems[index], choice, self.rates)
            return {"loss": _spread(self.table[index])}
        if self.evolution is None:
            self.evolution = self._evolution()
        if index < count + evolving:
            return self.evolution.step(index - count)
        i = index - count - evolving
        for j, choice in enumerate(self.evolution.refined()):
            self.refined[i, j] = evaluate(self.problems[i], choice, self.rates)
        return {"loss": _spread(self.refined[i])}

    def _evolution(self) -> Evolution:
        starts, duties = [], []
        for k in range(self._count):
            mine = np.flatnonzero(self.classes == k)
            starts.append(self.settings[int(np.log(self.table[mine]).mean(axis=(0, 2)).argmin())])
            duties.append([(int(p), t) for p in mine for t in range(len(TOLERANCES))])
        return Evolution(starts, duties, self.problems, self.rates, seed=self.seed)

    def candidates(self) -> list[dict[str, Any]]:
        """Settings of the grid, then the refined one of every class."""
        assert self.evolution is not None
        return [*self.settings, *self.evolution.refined()]

    def grid_searched(self, tolerance: int | None = None, kind: int = 0) -> dict[str, Any]:
        """The one setting of the grid that is best on average: what learning competes with.

        It is searched on the problems of one of `KINDS`, by default the easy ones, where there are any.
        """
        return self.settings[self._searched(tolerance, kind)]

    def _searched(self, tolerance: int | None, kind: int = 0) -> int:
        return int(self._logs(tolerance, kind).mean(axis=(0, 2)).argmin())

    def headroom(self, tolerance: int | None = None) -> float:
        """Predicted time with the best setting for every single problem, over that with `grid_searched`.

        No choice among the settings of the grid can do better on these problems.
        """
        logs = self._logs(tolerance)
        return float(np.exp((logs.min(axis=1) - logs[:, self._searched(tolerance)]).mean()))

    def _logs(self, tolerance: int | None, kind: int = 0) -> np.ndarray:
        of = self.kinds == kind
        logs = np.log(self.table[of] if of.any() else self.table)
        return logs if tolerance is None else logs[:, :, [tolerance]]

    def policy(self) -> tuple[Policy, dict[str, Any]]:
        """The trained policy, and what it costs against the best member on the training problems, by kind."""
        seconds, candidates = np.concatenate([self.table, self.refined], axis=1), self.candidates()
        searched = [[self._searched(t, k) for t in range(len(TOLERANCES))] for k in range(len(KINDS))]
        chosen = greedy_portfolio(seconds, self.members, [*itertools.chain(*searched)])
        predictors, notes = [], {}
        for kind, name in enumerate(KINDS):
            of = np.flatnonzero(self.kinds == kind)
            if of.size == 0:
                of = np.arange(len(self.kinds))
            usual = [chosen.index(s) for s in searched[kind]]
            groups = [self.groups[i] for i in of]
            predictor, notes[name] = train_predictor(self.features[of], seconds[of][:, chosen], usual, groups)
            predictors.append(predictor)
        return pack([candidates[c] for c in chosen], predictors), notes

    def state(self) -> Any:
        evolution = None if self.evolution is None else self.evolution.state()
        return {"table": self.table, "refined": self.refined, "evolution": evolution}

    def load(self, state: Any) -> None:
        table, refined = np.array(state["table"], dtype=float), np.array(state["refined"], dtype=float)
        if (table.shape, refined.shape) != (self.table.shape, self.refined.shape):
            raise ValueError(
                f"tables have shapes {table.shape} and {refined.shape}; "
                f"expected {self.table.shape} and {self.refined.shape}"
            )
        self.table, self.refined = table, refined
        self.evolution = None
        if state["evolution"] is not None:
            self.evolution = self._evolution()
            self.evolution.load(state["evolution"])

    def weights(self) -> Any:
        return self.state()

    def load_weights(self, weights: Any) -> None:
        self.load(weights)


def _spread(seconds: np.ndarray) -> float:
    """How much the best setting wins over the median one, as a negative logarithm."""
    logs = np.log(seconds)
    return float((logs.min(axis=0) - np.median(logs, axis=0)).mean())


def train_multigrid(
    output: str | os.PathLike[str],
    problems: Sequence[tuple[str, Problem]] | None = None,
    *,
    members: int = 8,
    generations: int = 4,
    seed: int = 0,
    rates: Rates | None = None,
    settings: Sequence[dict[str, Any]] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    progress: bool | None = None,
    callback: Callable[[int, Mapping[str, float]], bool | None] | None = None,
    command: str = "train_multigrid(...)",
) -> History:
    """Train multigrid parameters for a set of problems and write a weight file.

    Parameters
    ----------
    output : path
        ``.safetensors`` file for ``LearnedMultigrid(A, weights=output)``.
    problems : list of (str, Problem), optional
        What to train on, each with the name of its family; by default `training_problems`.
    members : int
        Largest number of parameter sets in the portfolio; those that are best on average for one of the
        tolerances and kinds of problems are in it anyway.
    generations : int
        Of the evolution strategy of each class of problems; 0 keeps the settings of the grid.
    seed : int
    rates : Rates, optional
        The cost model of the machine (see `sciml.learned.multigrid.cost.calibrate`).
    settings : list of dict, optional
        The grid to start from, arguments of `Multigrid`; by default `sciml.learned.multigrid.search.GRID`.
    checkpoint, checkpoint_every, resume, progress, callback
        As in `sciml.learned.fit`.
    command : str
        Kept in the file.

    Returns
    -------
    History

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sciml.learned.multigrid import train_multigrid, training_problems
    >>> from sciml.preconditioners import LearnedMultigrid
    >>> problems = training_problems(["balls", "walls"], [(16, 16)], instances=1)
    >>> few = [{"sweeps": 1}, {"sweeps": 2}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "mine.safetensors"
    ...     _ = train_multigrid(path, problems, members=2, generations=0, settings=few)
    ...     M = LearnedMultigrid(problems[0][1].A, weights=path)
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"output is {str(output)!r}; expected a name ending in .safetensors")
    check_output(output, make_folder=True)
    problems = training_problems() if problems is None else list(problems)
    if not problems:
        raise ValueError("problems is empty; expected at least one (name, Problem)")
    training = MultigridTraining(
        problems, members=members, generations=generations, settings=settings, rates=rates, seed=seed
    )
    history = fit(
        training,
        steps=training.steps,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        progress=progress,
        callback=callback,
        label="multigrid",
        fingerprint={
            "members": members,
            "generations": generations,
            "seed": seed,
            "settings": [str(s) for s in training.settings],
            "problems": [f"{name}: {p.name}" for name, p in problems],
        },
    )
    policy, notes = training.policy()
    searched = {str(t): _plain(training.grid_searched(i)) for i, t in enumerate(TOLERANCES)}
    headroom = {str(t): training.headroom(i) for i, t in enumerate(TOLERANCES)}
    save_weights(
        output,
        "multigrid",
        policy.arrays,
        config={"features": list(FEATURES), "members": len(policy)},
        training={
            "command": command,
            "seed": seed,
            **history.summary(),
            "predictors": notes,
            "problems": len(problems),
            "grid_searched": {**searched, "all": _plain(training.grid_searched())},
            "headroom": headroom,
        },
    )
    return history


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
