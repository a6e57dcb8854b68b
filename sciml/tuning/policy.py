"""What every policy shares: arms, one proposal a round, checked costs, a state that can be saved."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from .states import FORMAT, alike, check_count, decode, encode, read_state, require

__all__ = ["Policy", "check_interval", "check_number", "omega_grid"]


class Policy:
    """Chooses one arm (a value of a solver's parameter) per round and learns from its cost.

    A subclass calls ``super().__init__`` and defines ``_choose(context) -> arm`` and
    ``_learn(cost, result)``; it names the attributes that make up what it has learned in `_learned`,
    and the settings a saved state must agree with in `_settings`. In `_learn`, ``self._pending`` is
    the index of the arm that was proposed.

    Parameters
    ----------
    arms : sequence
        The values to choose from: numbers, names, preconditioner classes, anything.
    seed : int
        Of the policy's own random numbers.

    Attributes
    ----------
    arms : tuple
    rounds : int
        Costs observed so far.
    plays, totals : array of shape ``(len(arms),)``
        How often each arm was played, and the sum of what it cost.

    Notes
    -----
    ``load`` continues exactly where ``save`` stopped, mid-round included. The file is JSON and holds
    numbers only; arms are compared by their labels, never restored from it.
    """

    _learned: tuple[str, ...] = ()
    _settings: tuple[str, ...] = ()

    def __init__(self, arms: Sequence[Any], *, seed: int = 0):
        self.arms = check_arms(arms)
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed is {seed!r}; expected an integer >= 0")
        self._rng = np.random.default_rng(int(seed))
        self.rounds = 0
        self.plays = np.zeros(len(self.arms), dtype=int)
        self.totals = np.zeros(len(self.arms))
        self._pending: Any = None
        self._context: Any = None

    def propose(self, context: float | None = None) -> Any:
        """The arm to play now.

        Parameters
        ----------
        context : float, optional
            What is known about the system before it is solved (a diagonal shift, a diffusivity).
            Policies that are not contextual ignore it.
        """
        context = self._check_context(context)
        self._context = context
        return self._choose(context)

    def observe(self, cost: float, result: Any = None) -> None:
        """Learn from what the proposed arm cost.

        Parameters
        ----------
        cost : float
            Positive and finite: iterations, seconds, matrix products.
        result : SolveResult, optional
            The solve itself. Policies that read its residual history learn faster; others ignore it.

        Raises
        ------
        ValueError
            For a cost that is not finite and positive, or for a second cost in one round.
        """
        if self._pending is None:
            raise ValueError("observe was called without a proposed arm; expected propose(context) before it")
        cost = check_cost(cost)
        self._learn(cost, result)
        self.rounds += 1
        self.plays[self._pending] += 1
        self.totals[self._pending] += cost
        self._pending = None

    def _choose(self, context: Any) -> Any:
        raise NotImplementedError

    def _learn(self, cost: float, result: Any) -> None:
        """Most baselines have nothing to learn."""

    def _check_context(self, context: Any) -> Any:
        return context

    # -- saving -------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what has been learned to `path` (JSON), atomically: a reader sees the old file or the new."""
        state = {"format": FORMAT, **self._state()}
        target = Path(path)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load(self, path: str | os.PathLike[str]) -> Policy:
        """Continue from a file written by `save` of a policy with the same settings; returns ``self``.

        Raises
        ------
        ValueError
            For a file that is no saved policy, or one of another class, other arms or other settings.
        """
        found, before = read_state(path), self._state()
        try:
            self._restore(found, path)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            self._restore(before, path)  # a file that turns out to be damaged leaves no mark
            if isinstance(error, ValueError) and str(error).startswith(str(path)):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{path} is a damaged file of a policy: {reason}") from None
        return self

    def _parts(self) -> Sequence[Policy]:
        """Policies this one is made of; they are saved with it."""
        return ()

    def _restored(self) -> None:
        """Rebuild what is derived from the learned attributes."""

    def _state(self) -> dict[str, Any]:
        return {
            "policy": type(self).__name__,
            "settings": self._fingerprint(),
            "rounds": self.rounds,
            "plays": encode(self.plays),
            "totals": encode(self.totals),
            "pending": self._pending,
            "context": encode(self._context),
            "generator": self._rng.bit_generator.state,
            "learned": {name: encode(getattr(self, name)) for name in self._learned},
            "parts": [part._state() for part in self._parts()],
        }

    def _restore(self, state: dict[str, Any], path: Any) -> None:
        require(self._state(), state, path)
        if state["policy"] != type(self).__name__:
            raise ValueError(f"{path} holds a {state['policy']}; expected a {type(self).__name__}")
        require(self._learned, state["learned"], path)
        for name, value in self._fingerprint().items():
            if state["settings"].get(name) != value:
                raise ValueError(
                    f"{path} was saved with {name} = {state['settings'].get(name)!r}; expected {value!r}"
                )
        self.rounds = check_count("rounds", state["rounds"])
        self._pending, self._context = state["pending"], decode(state["context"])
        if self._pending is not None and check_count("pending", self._pending) >= len(self.arms):
            raise ValueError(f"pending is {self._pending}; expected one of {len(self.arms)} arms")
        if self._pending is not None:
            self._context = self._check_context(self._context)
        for name in ("plays", "totals"):
            setattr(self, name, alike(name, decode(state[name]), getattr(self, name)))
        if (self.plays < 0).any() or self.plays.sum() != self.rounds:
            raise ValueError(f"plays is {self.plays}; expected {self.rounds} in all")
        learned = {name: decode(state["learned"][name]) for name in self._learned}
        self._check_learned(learned)
        for name, value in learned.items():
            setattr(self, name, value)
        for part, saved in zip(self._parts(), state["parts"], strict=True):
            part._restore(saved, path)
        self._rng.bit_generator.state = state["generator"]
        self._restored()

    def _check_learned(self, learned: dict[str, Any]) -> None:
        """Raise `ValueError` for learned attributes that cannot be those of this policy after its rounds."""
        for name, value in learned.items():
            alike(name, value, getattr(self, name))

    def _fingerprint(self) -> dict[str, Any]:
        settings = {name: encode(getattr(self, name)) for name in self._settings}
        return {"arms": [label(arm) for arm in self.arms], **settings}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self.arms)} arms, {self.rounds} rounds>"


def is_number(value: Any) -> bool:
    """Whether `value` is a real number (of Python or NumPy), truth values excepted."""
    return isinstance(value, Real) and not isinstance(value, bool)


def label(arm: Any) -> Any:
    """How an arm is called in files and messages: a number as itself, other things by name."""
    if is_number(arm):
        return float(arm)
    return str(getattr(arm, "label", None) or getattr(arm, "__name__", None) or arm)


def omega_grid(low: float = 1.0, high: float = 1.95, count: int = 20) -> tuple[float, ...]:
    """Equally spaced relaxation factors; the default is the grid of the paper's experiments.

    Raises
    ------
    ValueError
        Unless ``0 < low < high < 2`` and ``count >= 2``.

    Examples
    --------
    >>> from sciml.tuning import omega_grid
    >>> omega_grid(1.0, 1.9, 4)
    (1.0, 1.3, 1.6, 1.9)
    """
    if not 0.0 < low < high < 2.0:
        raise ValueError(f"omega ranges over ({low}, {high}); expected 0 < low < high < 2")
    if not isinstance(count, int | np.integer) or count < 2:
        raise ValueError(f"count is {count!r}; expected an integer >= 2")
    return tuple(float(round(w, 12)) for w in np.linspace(low, high, int(count)))


# -- argument checks --------------------------------------------------------------------------
def check_arms(arms: Any) -> tuple[Any, ...]:
    """The arms as a tuple, or an error that says what is wrong with them."""
    if isinstance(arms, str) or not isinstance(arms, Iterable):
        raise TypeError(f"arms is {arms!r}; expected a sequence of parameter values")
    checked = tuple(arms)
    if not checked:
        raise ValueError("arms is empty; expected at least one value to choose from")
    for arm in checked:
        if is_number(arm) and not math.isfinite(arm):
            raise ValueError(f"arms contains {arm!r}; expected finite numbers")
    return tuple(arm.item() if isinstance(arm, np.generic) else arm for arm in checked)


def check_cost(cost: Any) -> float:
    """A positive finite cost as a float."""
    if not is_number(cost) or not math.isfinite(cost) or cost <= 0:
        raise ValueError(
            f"cost is {cost!r}; expected a positive finite number (count a failed solve as its cap)"
        )
    return float(cost)


def loss_above(cost: float, floor: float) -> float:
    """``cost - floor``, or an error where the floor was promised too high."""
    if cost < floor:
        raise ValueError(f"cost is {cost!r}; expected at least the floor, {floor:g}")
    return cost - floor


def check_number(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """A number with ``low < value < high`` as a float."""
    if not is_number(value) or not low < value < high:
        raise ValueError(f"{name} is {value!r}; expected a number in ({low:g}, {high:g})")
    return float(value)


def check_interval(name: str, interval: Any) -> tuple[float, float]:
    """A pair of finite numbers, the lower first."""
    try:
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {interval!r}; expected a pair (low, high)") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name} is {interval!r}; expected finite low < high")
    return low, high


def check_context(context: Any, interval: tuple[float, float] | None) -> float:
    """A finite context within `interval` (rounding at its ends forgiven) as a float."""
    if context is None:
        raise ValueError("context is None; expected a number (call the tuned solver with context=...)")
    if not is_number(context) or not math.isfinite(context):
        raise ValueError(f"context is {context!r}; expected a finite number")
    if interval is None:
        return float(context)
    low, high = interval
    slack = 1e-9 * (high - low)
    if not low - slack <= context <= high + slack:
        raise ValueError(f"context is {context!r}; expected a number in [{low:g}, {high:g}]")
    return float(min(max(context, low), high))
