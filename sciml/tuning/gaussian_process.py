"""A contextual learner that reads residual histories: Thompson sampling on a model of the log cost."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .policy import Policy, check_context, check_interval, check_number, is_number
from .regression import BayesianRegression, cosines, spectral_variances
from .states import check_count
from .young import jacobi_radius, observed_rate, sor_rate

__all__ = ["GaussianProcessCB"]

SCALES = ("relaxation", "linear", "log", "categories")
CONTEXT_TERMS, ARM_TERMS = 8, 12
MEMORY = 8192
"""Rounds that are remembered: solvers run for months, and neither memory nor a fit may grow with that."""

CONTEXT_LENGTH, ARM_LENGTH = 0.3, 1.0 / 6.0
"""Length scales of the cost surface, in units of the context's and the arms' interval."""

CONSISTENT = 0.15
"""Largest scatter of log(1 − β) between solves that supports Young's relation; it is 0.02 to 0.07 there."""

MARGIN = 0.3
"""Log evidence per round by which the flat prior must win: it has to predict costs a third more closely."""

NEW_CONTEXTS = 40
"""One in so many rounds may have a context outside the range seen before everything is fitted again."""

FIRST_BETA = 0.95
"""Prior median of the Jacobi radius."""


class GaussianProcessCB(Policy):
    r"""Learns the whole cost surface over parameter and context, from Young's formula where that holds.

    Parameters
    ----------
    arms : sequence
        Candidates, usually a fine grid of numbers in increasing order (the learner shares what it sees
        between neighbours, so a fine grid costs nothing). With ``scale="categories"`` anything.
    prior : {"young", None}
        Offer Young's formula for SOR as the prior mean. It is used only while it explains the
        observed costs better than a flat prior does, which is checked again and again.
    scale : {"relaxation", "linear", "log", "categories"}
        The axis on which costs vary smoothly with the arm: ``-log(2 - omega)``, the number, its
        logarithm, or no axis at all.
    context_range : (float, float), optional
        Interval the contexts must lie in; without it any finite number will do, or None throughout for
        sequences without a context.
    spread : float
        Scale of the posterior deviations in Thompson sampling: 1 is the textbook's, smaller explores less.
    seed : int

    Notes
    -----
    The logarithm of the cost of arm `a` in context `c` is modelled as

    .. math:: \log \text{cost} = m(a, β(c)) + g(a, c) + \text{noise}

    with a Gaussian process `g` in cosine features (Solin and Särkkä), so a round costs the same at any time.

    * *Young's prior.* A solve with omega below the optimum reveals the Jacobi radius β through the rate at
      which its residual fell: information that the bandits of the paper leave unused. A second regression
      learns :math:`\log(1 - β)` over the context; it is read half a deviation on the side of smaller
      omega, where a solve is informative. `m` is the logarithm of the sweeps that Young's rate predicts, and
      `g` then lives on the axis relative to the optimal omega of the context.
    * *Black box.* With a flat prior ``m = 0`` and `g` lives on the absolute axis.

    Whenever the history has grown by half, or contexts left the range seen before, everything is fitted
    again, to the last 8,192 rounds at most. Young's prior is kept while the estimates of β agree between
    solves and the costs do not have a clearly larger Bayesian evidence under the flat prior. Matrices that
    are not consistently ordered and solvers that are not SOR so end with the black box.
    Contexts enter through their rank and, less, their value, which resolves the values that really occur.

    Unlike `TsallisINF` it assumes that costs are a function of arm and context plus noise; it has no
    guarantee against costs chosen by an adversary.

    Examples
    --------
    >>> from sciml.tuning import GaussianProcessCB
    >>> policy = GaussianProcessCB([1.0, 1.2, 1.4, 1.6, 1.8], prior=None, seed=0)
    >>> for t in range(200):
    ...     c = (t % 20) / 20
    ...     omega = policy.propose(context=c)
    ...     policy.observe(10 + 40 * abs(omega - 1.2 - 0.4 * c))
    >>> [policy.arms[int(policy.predict(c).argmin())] for c in (0.0, 0.5, 0.95)]
    [1.2, 1.4, 1.6]
    """

    _learned = (
        "_played",
        "_contexts",
        "_costs",
        "_log_gaps",
        "_bounds",
        "_quantiles",
        "_next_fit",
        "_stale",
        "_outside",
        "_informed",
        "_states",
    )
    _settings = ("prior", "scale", "context_range", "spread")

    def __init__(
        self,
        arms: Sequence[Any],
        *,
        prior: str | None = "young",
        scale: str = "relaxation",
        context_range: tuple[float, float] | None = None,
        spread: float = 0.4,
        seed: int = 0,
    ):
        super().__init__(arms, seed=seed)
        if prior not in ("young", None):
            raise ValueError(f"prior is {prior!r}; expected 'young' or None")
        if scale not in SCALES:
            raise ValueError(f"scale is {scale!r}; expected one of {', '.join(SCALES)}")
        if prior == "young" and scale != "relaxation":
            raise ValueError(f"scale is {scale!r}; Young's formula (prior='young') expects 'relaxation'")
        self.prior, self.scale, self.spread = prior, scale, check_number("spread", spread, 0.0)
        self.context_range = None if context_range is None else check_interval("context_range", context_range)
        self._axis = _axis(self.arms, scale)
        self._length = float(self._axis[-1] - self._axis[0]) or 1.0
        # The history; all that is fitted can be rebuilt from it.
        self._played: list[int] = []
        self._contexts: list[float] = []
        self._costs: list[float] = []  # logarithms
        self._log_gaps: list[float] = []  # log(1 − β) where a solve determined it, else NaN
        self._bounds: list[float] = []  # its lower bound where a solve gave only that, else −inf
        self._quantiles = np.empty(0)
        self._next_fit, self._stale, self._outside = 2, 0, 0
        self._informed = prior == "young"
        gap = np.zeros(CONTEXT_TERMS)
        gap[0] = math.log(1.0 - FIRST_BETA)
        variances = spectral_variances(CONTEXT_TERMS, 0.4)
        variances[0] = 1.0
        self._radius = BayesianRegression(variances, 0.01, gap)
        self._surface = self._new_surface()

    # -- the model ----------------------------------------------------------------------------
    def _new_surface(self) -> BayesianRegression:
        if self.scale == "categories":
            of_arm = np.append(1e4, np.ones(len(self.arms)))
        else:
            # Relative to the optimum the features span twice the interval.
            of_arm = spectral_variances(ARM_TERMS, ARM_LENGTH / (2.0 if self._informed else 1.0))
        variances = np.multiply.outer(of_arm, spectral_variances(CONTEXT_TERMS, CONTEXT_LENGTH)).ravel()
        variances[0] = 1e4  # the level of the costs is not known beforehand
        return BayesianRegression(variances, 0.02)

    def _arm_features(self, axis: np.ndarray, optimum: Any) -> np.ndarray:
        """Features of arms at `axis`, relative to the `optimum` where Young's prior is used."""
        if self.scale == "categories":
            index = np.asarray(axis, dtype=int)
            features = np.zeros((*index.shape, 1 + len(self.arms)))
            features[..., 0] = 1.0
            np.put_along_axis(features, index[..., None] + 1, 1.0, axis=-1)
            return features
        if self._informed:  # twice the interval holds every distance to an optimum inside it
            return cosines(np.clip(0.5 + 0.5 * (axis - optimum) / self._length, -0.2, 1.2), ARM_TERMS)
        return cosines((axis - self._axis[0]) / self._length, ARM_TERMS)

    def _quantile(self, context: Any) -> Any:
        """Where contexts lie in [0, 1]: three parts rank among those seen, one part place in the range."""
        seen = self._quantiles
        if len(seen) < 2:
            return 0.5 * np.ones_like(context)
        places = 0.75 * np.linspace(0.0, 1.0, len(seen)) + 0.25 * (seen - seen[0]) / (seen[-1] - seen[0])
        return np.interp(context, seen, places)

    def _choose(self, context: float) -> Any:
        if self.scale == "categories" and self.rounds < len(self.arms):  # nothing is known: each once
            self._pending = self.rounds
            return self.arms[self._pending]
        if self._stale > self.rounds // 100:
            self._surface.refresh()
            self._radius.refresh()
            self._stale = 0
        values = self._values(
            context, self._surface.sample(self._rng, self.spread), self._radius, caution=0.5
        )
        self._pending = int(values.argmin())
        return self.arms[self._pending]

    def _values(
        self, context: float, coefficients: np.ndarray, radius: BayesianRegression, caution: float
    ) -> np.ndarray:
        """Log costs of all arms under given coefficients of the surface."""
        q = float(self._quantile(context))
        in_context = coefficients.reshape(-1, CONTEXT_TERMS) @ cosines(q, CONTEXT_TERMS)
        if not self._informed:
            return self._arm_features(self._axis, 0.0) @ in_context
        features = cosines(q, CONTEXT_TERMS)
        log_gap = float(radius.mean @ features) + caution * radius.deviation(features)
        mean, optimum = _young(np.array(self.arms), np.array(log_gap))
        return mean + self._arm_features(self._axis, optimum) @ in_context

    def predict(self, context: float | None = None) -> np.ndarray:
        """Expected cost (its posterior median) of every arm, shape ``(len(arms),)``."""
        # On copies: asking must not change what is proposed next.
        surface, radius = copy.copy(self._surface), copy.copy(self._radius)
        surface.refresh()
        radius.refresh()
        return np.exp(self._values(self._check_context(context), surface.mean, radius, caution=0.0))

    def _check_context(self, context: Any) -> float:
        if context is None and self.context_range is None and not any(self._contexts):
            return 0.0
        return check_context(context, self.context_range)

    # -- learning -----------------------------------------------------------------------------
    def _learn(self, cost: float, result: Any) -> None:
        log_gap, bound = self._read_history(result)
        self._played.append(self._pending)
        self._contexts.append(self._context)
        self._costs.append(math.log(cost))
        self._log_gaps.append(log_gap)
        self._bounds.append(bound)
        self._stale += 1
        if len(self._quantiles) and not self._quantiles[0] <= self._context <= self._quantiles[-1]:
            self._outside += 1
        # Contexts beyond those that the features resolve call for new features soon.
        if len(self._played) >= self._next_fit or self._outside > 1 + self._next_fit // NEW_CONTEXTS:
            self._forget()
            self._next_fit = min(int(1.5 * len(self._played)) + 1, MEMORY)
            self._fit()
        else:
            self._add_last()

    def _forget(self) -> None:
        """Leave the oldest third out of a history that has grown to its limit."""
        if len(self._played) >= MEMORY:
            for history in (self._played, self._contexts, self._costs, self._log_gaps, self._bounds):
                del history[: len(history) - 2 * MEMORY // 3]

    def _read_history(self, result: Any) -> tuple[float, float]:
        rate = observed_rate(getattr(result, "residual_history", ())) if self.prior == "young" else None
        if rate is None:
            return math.nan, -math.inf
        beta, determined = jacobi_radius(self.arms[self._pending], rate)
        log_gap = math.log(max(1.0 - beta, 1e-8))
        return (log_gap, -math.inf) if determined else (math.nan, log_gap)

    def _add_last(self) -> None:
        """Update the fits by the last round; the prior mean of earlier rounds stays what it was."""
        in_context = cosines(float(self._quantile(self._contexts[-1])), CONTEXT_TERMS)
        target, optimum, arm = self._costs[-1], np.array(0.0), self._played[-1]
        if self.prior == "young":
            predicted = float(self._radius.mean @ in_context)
            seen = _known_gap(np.array(self._log_gaps[-1]), np.array(self._bounds[-1]), np.array(predicted))
            if not np.isnan(seen):
                self._radius.add(in_context, float(seen))
            if self._informed:
                mean, optimum = _young(np.array(self.arms[arm]), np.array(predicted))
                target -= float(mean)
        of_arm = self._arm_features(np.asarray(self._axis[arm]), optimum)
        self._surface.add(np.multiply.outer(of_arm, in_context).ravel(), target)

    def _fit(self) -> None:
        """Fit everything to the whole history, and choose between Young's prior and the flat one."""
        self._outside = 0
        contexts, costs = np.array(self._contexts), np.array(self._costs)
        self._quantiles = np.unique(np.quantile(contexts, np.linspace(0.0, 1.0, min(17, len(contexts)))))
        in_context = cosines(self._quantile(contexts), CONTEXT_TERMS)
        played = np.array(self._played)
        evidence = {}
        if self.prior == "young":
            log_gaps = self._fit_radius(in_context)
            self._informed = True
            mean, optimum = _young(np.array(self.arms)[played], log_gaps)
            informed = self._new_surface()
            evidence["young"] = informed.fit(self._features(played, optimum, in_context), costs - mean)
        self._informed = False
        self._surface = self._new_surface()
        evidence["flat"] = self._surface.fit(self._features(played, 0.0, in_context), costs)
        consistent = self._radius.noise < CONSISTENT**2 and not np.all(np.isnan(self._log_gaps))
        if (
            self.prior == "young"
            and consistent
            and evidence["flat"] - evidence["young"] < MARGIN * len(costs)
        ):
            self._informed, self._surface = True, informed
        self._stale = 0

    def _features(self, played: np.ndarray, optimum: Any, in_context: np.ndarray) -> np.ndarray:
        of_arm = self._arm_features(self._axis[played], optimum)
        return (of_arm[:, :, None] * in_context[:, None, :]).reshape(len(played), -1)

    def _fit_radius(self, in_context: np.ndarray) -> np.ndarray:
        """Fit log(1 − β) over the contexts; a bound counts as an observation where the fit violates it."""
        log_gaps, bounds = np.array(self._log_gaps), np.array(self._bounds)
        for _ in range(4):
            seen = _known_gap(log_gaps, bounds, in_context @ self._radius.mean)
            known = ~np.isnan(seen)
            if not known.any():
                break
            self._radius.fit(in_context[known], seen[known])
        return in_context @ self._radius.mean

    # -- saving -------------------------------------------------------------------------------
    def _check_learned(self, learned: dict[str, Any]) -> None:
        n, growing = len(learned["_played"]), ("_contexts", "_costs", "_log_gaps", "_bounds")
        for name in growing:
            values = np.array(learned[name], dtype=float)
            unknown = np.isnan(values) if name == "_log_gaps" else np.isneginf(values) & (name == "_bounds")
            if values.shape != (n,) or not (np.isfinite(values) | unknown).all():
                raise ValueError(f"{name} is no list of {n} numbers")
        played = learned["_played"]
        if not isinstance(played, list) or (
            n != self.rounds and not MEMORY // 2 < n <= min(MEMORY, self.rounds)
        ):
            raise ValueError(f"_played is no list of the arms of {self.rounds} rounds")
        for arm in played:
            self.arms[check_count("_played", arm)]
        quantiles = learned["_quantiles"]
        if not (isinstance(quantiles, np.ndarray) and quantiles.dtype == float and quantiles.ndim == 1):
            raise ValueError("_quantiles is no list of numbers")
        if not (np.isfinite(quantiles).all() and (np.diff(quantiles) > 0).all()):
            raise ValueError("_quantiles does not rise")
        rest = {name: value for name, value in learned.items() if name not in growing}
        super()._check_learned({n: v for n, v in rest.items() if n not in ("_played", "_quantiles")})

    @property
    def _states(self) -> list:
        return [self._surface.state(), self._radius.state()]

    @_states.setter
    def _states(self, states: list) -> None:
        self._surface = self._new_surface()  # its prior depends on what is learned, too
        self._surface.restore(states[0])
        self._radius.restore(states[1])

    @property
    def uses_young(self) -> bool:
        """Whether Young's formula is the prior mean at present."""
        return self._informed


def _axis(arms: Sequence[Any], scale: str) -> np.ndarray:
    """Where the arms lie on the axis `scale`."""
    if scale == "categories":
        return np.arange(len(arms), dtype=float)
    if not all(is_number(arm) for arm in arms):
        raise TypeError(
            f"arms holds {arms[0]!r}, ...; scale {scale!r} expects numbers (or use scale='categories')"
        )
    values = np.array(arms, dtype=float)
    if np.any(np.diff(values) <= 0):
        raise ValueError("arms must increase strictly on a numeric scale")
    if scale == "linear":
        return values
    if scale == "log":
        if values[0] <= 0:
            raise ValueError(f"arms starts at {arms[0]!r}; scale 'log' expects positive numbers")
        return np.log(values)
    if values[0] <= 0.0 or values[-1] >= 2.0:
        raise ValueError(
            f"arms ranges over [{arms[0]}, {arms[-1]}]; scale 'relaxation' expects omega in (0, 2)"
        )
    return -np.log(2.0 - values)


def _young(omega: np.ndarray, log_gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the sweeps per factor e of the residual, and the optimal omega on the relaxation axis."""
    beta = np.clip(1.0 - np.exp(log_gap), 1e-3, 1.0 - 1e-9)
    rate = sor_rate(omega, beta)
    rate = rate + 0.05 * (1.0 - rate)  # the rate of the last sweeps, not yet the asymptotic one
    optimum = 1.0 + np.square(beta / (1.0 + np.sqrt(1.0 - np.square(beta))))
    return -np.log(-np.log(rate)), -np.log(2.0 - optimum)


def _known_gap(log_gaps: np.ndarray, bounds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Observed values; the bound where only that is known and the prediction violates it; else NaN."""
    return np.where(np.isnan(log_gaps) & (predicted < bounds), bounds, log_gaps)
