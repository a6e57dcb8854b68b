"""Multigrid whose parameters were learned: chosen per geometry and tolerance, applied by the same kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..weights import WeightFile, load_weights, shipped
from .multigrid import Multigrid
from .multigrid.features import FEATURES, geometry_features

__all__ = ["LearnedMultigrid", "Policy", "Predictor"]

LEVELS = 4
"""Entries per parameter of a member; the last one repeats on deeper levels."""

SHIPPED = "multigrid"

TOLERANCES = (1e-2, 1e-4, 1e-6)
"""What members are trained and predicted for; one in between is treated as the nearest of them."""

FEATURE_STRENGTH = 0.02
"""At which couplings join cells when features are read, whatever the parameters turn out to be."""


KINDS = ("easy", "hard")
"""Easy problems have constant coefficients and axes that are all coarsened; each kind has a predictor."""


def kind_of(features: np.ndarray) -> int:
    """Index in `KINDS`."""
    hard = [features[FEATURES.index(name)] > 0 for name in ("uncoarsened", "jumps")]
    return int(any(hard))


@dataclass(frozen=True)
class Predictor:
    """Chooses among the members of a portfolio, by a linear model of how long each takes.

    For each of `TOLERANCES` one member is the usual one: the best on average over the training problems.
    Another is chosen only where it promises to be faster by more than a margin, so that a choice that cannot
    tell members apart is as good as the best single setting.

    Parameters
    ----------
    coefficients : array (members, 2 features + 2)
        Of the predicted logarithm of the time, relative to the usual member, in the inputs of
        `inputs`.
    usual : array (tolerances,)
        The usual member at each of `TOLERANCES`.
    margin : float
        How much smaller than zero a prediction must be.
    """

    coefficients: np.ndarray
    usual: np.ndarray
    margin: float

    def predict(self, features: np.ndarray, rtol: float) -> np.ndarray:
        """Logarithm of the time of every member relative to the usual one."""
        return self.coefficients @ inputs(features, rtol)

    def choose(self, features: np.ndarray, rtol: float) -> int:
        """The member predicted to be fastest, if that is by more than the margin; else the usual one."""
        predicted = self.predict(features, rtol)
        best = int(np.argmin(predicted))
        if predicted[best] < -self.margin:
            return best
        nearest = np.argmin(np.abs(np.log(TOLERANCES) - math.log(rtol)))
        return int(self.usual[nearest])


class Policy:
    """A portfolio of parameter sets, and a `Predictor` for each of `KINDS` that chooses among them.

    Parameters
    ----------
    omega, coarse_scaling, damping, sweeps : array (members, levels)
    strength, smooth_from, cycle : array (members,)
        `smooth_from` -1 never smooths, -2 is "auto"; `cycle` 0 is V, 1 is W.
    coefficients : array (kinds, members, 2 features + 2)
    usual : array (kinds, tolerances)
    margin : array (kinds,)
        Of the predictors.

    Raises
    ------
    ValueError
        Naming the first array with a wrong shape or a value out of range.
    """

    def __init__(self, **arrays: np.ndarray):
        members = np.size(arrays.get("strength", 0.0))
        self.arrays = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
        for name, shape in expected_shapes(members).items():
            if name not in self.arrays:
                raise ValueError(f"a multigrid policy lacks {name!r}")
            if self.arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {self.arrays[name].shape}; expected {shape}")
        for name, (low, high) in _RANGES.items():
            value = self.arrays[name]
            wrong = ~((value >= low) & (value <= high))
            if wrong.any():
                raise ValueError(f"{name} holds {value[wrong].flat[0]!r}; expected {low} to {high}")
        if (self.arrays["usual"] >= members).any():
            raise ValueError(f"usual holds {self.arrays['usual'].max()!r}; expected one of {members} members")

    def __len__(self) -> int:
        return self.arrays["strength"].size

    def settings(self, member: int) -> dict[str, Any]:
        """Arguments of `Multigrid` of one member."""
        a = self.arrays
        smooth = int(a["smooth_from"][member])
        return {
            "omega": tuple(a["omega"][member]),
            "sweeps": tuple(int(v) for v in a["sweeps"][member]),
            "coarse_scaling": tuple(a["coarse_scaling"][member]),
            "damping": tuple(a["damping"][member]),
            "strength": float(a["strength"][member]) or None,
            "smooth_from": {-1: None, -2: "auto"}.get(smooth, smooth),
            "cycle": "W" if a["cycle"][member] else "V",
        }

    def predictor(self, kind: int) -> Predictor:
        """The predictor of one of `KINDS`."""
        a = self.arrays
        return Predictor(a["coefficients"][kind], a["usual"][kind], float(a["margin"][kind]))

    def choose(self, features: np.ndarray, rtol: float) -> int:
        """What the predictor of this kind of problem chooses."""
        return self.predictor(kind_of(features)).choose(features, rtol)


_RANGES: dict[str, tuple[float, float]] = {
    "omega": (0.05, 1.95),
    "coarse_scaling": (1e-3, 1e3),
    "damping": (0.01, 1.9),
    "sweeps": (1, 64),
    "strength": (0.0, 0.9),
    "smooth_from": (-2, 30),
    "cycle": (0, 1),
    "coefficients": (-1e6, 1e6),
    "usual": (0, 1000),
    "margin": (0.0, 10.0),
}


def inputs(features: np.ndarray, rtol: float) -> np.ndarray:
    """What the predictor is linear in: one, the features, digits of the tolerance, and their products."""
    digits = -math.log10(rtol) / 6.0
    base = np.concatenate([[1.0], features])
    return np.concatenate([base, digits * base])


def expected_shapes(members: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a policy."""
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("omega", "coarse_scaling", "damping", "sweeps"), (members, LEVELS)
    )
    shapes |= dict.fromkeys(("strength", "smooth_from", "cycle"), (members,))
    kinds = len(KINDS)
    shapes |= {"usual": (kinds, len(TOLERANCES)), "margin": (kinds,)}
    return shapes | {"coefficients": (kinds, members, 2 * len(FEATURES) + 2)}


class LearnedMultigrid(Multigrid):
    """`Multigrid` with learned parameters, chosen for the geometry at hand.

    At set-up a few planes of the grid are looked at, a learned predictor names the member of a learned
    portfolio (relaxation, sweeps, over-correction and interpolation per level) that should reach `rtol`
    soonest, and `Multigrid` is built with it. Whatever the weights hold, the cycle is linear and symmetric
    positive definite; applying it runs the kernels of `Multigrid` and needs no torch.

    Parameters
    ----------
    A : PoissonOperator
    weights : path, WeightFile or None
        What ``sciml train multigrid`` wrote; by default the weights that come with the package.
    rtol : float
        Tolerance the system will be solved to. A hint: looser ones favour cheaper set-up. It changes neither
        the stopping rule of the solver nor what the preconditioner is.
    **settings
        Parameters of `Multigrid` to be kept as given instead of learned.

    Attributes
    ----------
    member : int
        Which member of the portfolio was chosen.
    features : ndarray
        What it was chosen by (`sciml.preconditioners.multigrid.features.FEATURES`).

    Raises
    ------
    ValueError, FileNotFoundError
        For a weight file that is missing, damaged, foreign or does not fit, naming the first mismatch.

    Examples
    --------
    >>> from sciml import cg
    >>> from sciml.preconditioners import LearnedMultigrid
    >>> from sciml.problems import poisson
    >>> problem = poisson((32, 32, 32), obstacles="porous")
    >>> M = LearnedMultigrid(problem.A, rtol=1e-6)
    >>> cg(problem.A, problem.b, M=M, rtol=1e-6).converged
    True
    """

    def __init__(self, A: Any, weights: Any = None, *, rtol: float = 1e-6, **settings: Any):
        if not 0.0 < rtol < 1.0:
            raise ValueError(f"rtol is {rtol!r}; expected 0 < rtol < 1")
        policy = weights if isinstance(weights, Policy) else policy_of(weights)
        chosen: Mapping[str, Any] = {}
        if hasattr(A, "grid3"):  # Multigrid says what is wrong with anything else
            self.features = geometry_features(A, FEATURE_STRENGTH)
            self.member = policy.choose(self.features, rtol)
            chosen = policy.settings(self.member)
        super().__init__(A, **{**chosen, **settings})

    @classmethod
    def from_weights(cls, weights: WeightFile) -> partial[LearnedMultigrid]:
        """What builds the preconditioner of an operator with these weights: ``from_weights(w)(A)``."""
        return partial(cls, weights=policy_of(weights))


def policy_of(weights: Any = None) -> Policy:
    """The policy a weight file holds, checked; the shipped one by default."""
    if weights is None:
        return _shipped_policy()
    if not isinstance(weights, WeightFile):
        weights = load_weights(weights, kind="multigrid")
    if weights.config.get("features") != list(FEATURES):
        raise ValueError(
            f"{weights.source}: was trained on the features {weights.config.get('features')}; "
            f"expected {list(FEATURES)}"
        )
    members = weights.config.get("members")
    if isinstance(members, bool) or not isinstance(members, int) or members < 1:
        raise ValueError(f"{weights.source}: config has members = {members!r}; expected a positive integer")
    weights.require(expected_shapes(members), "float64")
    try:
        return Policy(**weights.tensors)
    except ValueError as error:
        raise ValueError(f"{weights.source}: {error}") from None


@lru_cache(maxsize=1)
def _shipped_policy() -> Policy:
    return policy_of(load_weights(shipped(SHIPPED), kind="multigrid"))
