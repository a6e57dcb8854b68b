"""Refining the continuous parameters of a portfolio by evolution strategies (CMA-ES)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...preconditioners.learned_multigrid import LEVELS
from ...problems import Problem
from ..training import stream
from .cost import Rates
from .search import TOLERANCES, evaluate

__all__ = ["Evolution", "decode", "encode"]

PARAMETERS = ("omega 0", "omega 1", "omega 2", "omega 3", "scale 0", "scale 1", "damping")
"""What is refined. Over-relaxation per level, over-correction of the first and of deeper constant levels."""

_STEP = 0.15
"""Initial standard deviation, of logits and logarithms alike."""


def encode(settings: Mapping[str, Any]) -> np.ndarray:
    """Settings of `Multigrid` as an unconstrained vector."""
    omega = _repeat(settings.get("omega", (1.1, 1.3)))
    scale = _repeat(settings.get("coarse_scaling", 0.5))
    damping = _repeat(settings.get("damping", 2 / 3))[0]
    return np.concatenate([_logit(omega / 2), np.log(scale[:2]), [_logit(damping / 2)]])


def decode(vector: np.ndarray, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the continuous ones replaced by what `vector` stands for; always in range."""
    omega = np.clip(2 / (1 + np.exp(-vector[:4])), 0.05, 1.95)
    scale = np.exp(np.clip(vector[4:6], -3, 3))
    return {
        **settings,
        "omega": tuple(omega.tolist()),
        "coarse_scaling": (float(scale[0]), float(scale[1])),
        "damping": float(np.clip(2 / (1 + np.exp(-vector[6])), 0.01, 1.9)),
    }


def _repeat(value: Any) -> np.ndarray:
    values = np.atleast_1d(np.asarray(value, float))
    return values[np.minimum(np.arange(LEVELS), values.size - 1)]


def _logit(p: Any) -> Any:
    return np.log(p / (1 - p))


class Evolution:
    """A `Trainable`: step i is one generation of member ``i % members``.

    Each candidate is judged by the mean logarithm of its predicted time over a batch drawn from the
    (problem, tolerance) pairs that the member is responsible for; all candidates of a generation see the same
    batch.

    Parameters
    ----------
    members : sequence of dict
        Settings to start from.
    duties : sequence of list of (int, int)
        Pairs (problem, tolerance) of every member.
    problems : sequence of Problem
    rates : Rates
    population, batch : int
    seed : int
    """

    def __init__(
        self,
        members: Sequence[Mapping[str, Any]],
        duties: Sequence[Sequence[tuple[int, int]]],
        problems: Sequence[Problem],
        rates: Rates,
        *,
        population: int = 8,
        batch: int = 8,
        seed: int = 0,
    ):
        try:
            import cma  # noqa: F401
        except ImportError:
            raise ImportError(
                "refining multigrid parameters needs cma; install it with: pip install cma"
            ) from None
        self.members = [dict(m) for m in members]
        self.duties = [list(d) for d in duties]
        self.problems, self.rates = list(problems), rates
        self.population, self.batch, self.seed = population, batch, seed
        # The fitness of every candidate so far: with it a fresh strategy can be led to the same state.
        self._history: list[list[np.ndarray]] = [[] for _ in self.members]
        self._strategies = [self._start(k) for k in range(len(self.members))]

    def _start(self, member: int) -> Any:
        import cma

        random = np.random.RandomState(int(stream(self.seed, member, 3).integers(2**31)))
        options = {
            "popsize": self.population, "verbose": -9, "randn": random.randn, "seed": np.nan, "maxiter": 10**6
        }  # fmt: skip
        return cma.CMAEvolutionStrategy(encode(self.members[member]), _STEP, options)

    def step(self, index: int) -> dict[str, float]:
        member = index % len(self.members)
        duties = self.duties[member]
        if not duties:
            return {"loss": 0.0}
        rng = stream(self.seed, index)
        chosen = [duties[i] for i in rng.choice(len(duties), min(self.batch, len(duties)), replace=False)]
        strategy = self._strategies[member]
        candidates = strategy.ask()
        start = self._loss(encode(self.members[member]), member, chosen)
        fitness = np.array([self._loss(c, member, chosen) - start for c in candidates])
        strategy.tell(candidates, fitness.tolist())
        self._history[member].append(fitness)
        return {"loss": float(fitness.mean()), "best": float(fitness.min())}

    def _loss(self, vector: np.ndarray, member: int, pairs: Sequence[tuple[int, int]]) -> float:
        settings = decode(vector, self.members[member])
        seconds: dict[int, np.ndarray] = {}
        for problem, _ in pairs:
            if problem not in seconds:
                seconds[problem] = evaluate(self.problems[problem], settings, self.rates)
        return float(np.mean([np.log(seconds[problem][tolerance]) for problem, tolerance in pairs]))

    def refined(self) -> list[dict[str, Any]]:
        """Settings at the mean of every strategy."""
        return [
            decode(np.asarray(s.mean), m) if h else dict(m)
            for s, m, h in zip(self._strategies, self.members, self._history, strict=True)
        ]

    def state(self) -> Any:
        return {"fitness": [[np.asarray(f) for f in history] for history in self._history]}

    def load(self, state: Any) -> None:
        """Lead fresh strategies through the generations recorded in `state`."""
        if len(state["fitness"]) != len(self.members):
            raise ValueError(f"fitness of {len(state['fitness'])} members; expected {len(self.members)}")
        for member, history in enumerate(state["fitness"]):
            strategy = self._start(member)
            for fitness in history:
                if np.shape(fitness) != (self.population,):
                    raise ValueError(f"fitness has shape {np.shape(fitness)}; expected ({self.population},)")
                strategy.tell(strategy.ask(), np.asarray(fitness).tolist())
            self._strategies[member] = strategy
            self._history[member] = [np.asarray(f) for f in history]

    def weights(self) -> Any:
        return self.state()

    def load_weights(self, weights: Any) -> None:
        self.load(weights)


def all_duties(problems: int) -> list[tuple[int, int]]:
    """Every problem at every tolerance."""
    return [(p, t) for p in range(problems) for t in range(len(TOLERANCES))]
