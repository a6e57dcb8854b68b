"""Discovery from noisy windows: stages and starts of the joint Gauss–Newton iteration."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...problems.forecast import BlowUpError
from .checks import warn_about_forecasts
from .cycle import filtered_pairs
from .evidence import evidence_path
from .library import Library
from .modes import resolved_cutoff
from .normal_equations import NormalEquations
from .selection import above_floor
from .shooting import Shooting
from .snapshots import DiscoveryWarning, Snapshots
from .sparse_fit import SparseFit

__all__ = ["WindowProblem"]

SUSPICIOUS = 6.0
"""Standard deviations by which a misfit may exceed what the noise explains."""


@dataclass(frozen=True)
class WindowProblem:
    """What the joint estimation of states and coefficients is asked.

    Attributes
    ----------
    model, library, observations
        As `discover` takes them.
    steps : int
        Model steps in a window.
    noise_std : float
        Above zero.
    cutoff : float or None
        Largest wavenumber; None for models without a grid.
    smallest : float
        Root mean square of the smallest effect that counts.
    select : callable
        ``select(equations, slack) -> SparseFit``.
    passes : int
    tell : callable
    """

    model: Any
    library: Library
    observations: Snapshots
    steps: int
    noise_std: float
    cutoff: float | None
    smallest: float
    select: Callable[[NormalEquations, float], SparseFit]
    passes: int
    tell: Callable[[str], None]

    @classmethod
    def of(
        cls, model: Any, library: Library, observations: Snapshots, noise_std: float, cutoff: float | None,
        **settings: Any,
    ) -> WindowProblem:  # fmt: skip
        """The problem with its cutoff chosen, and exact data given a noise level that does not matter."""
        grid = getattr(model, "grid", None)
        std = noise_std if noise_std > 0.0 else 1e-6 * float(np.std(observations.current))
        if grid is not None and cutoff is None:
            cutoff = resolved_cutoff(grid, observations.current, std)
        if grid is None and cutoff is not None:
            raise ValueError(f"cutoff is {cutoff!r}; expected None for a model without a grid")
        return cls(model, library, observations, observations.steps(model), std, cutoff, **settings)

    def solve(self) -> tuple[Shooting, SparseFit]:
        """The better of two starts: the model as it is, and the collocation that makes no forecast.

        The second is tried only where the first fails or leaves more than the noise explains.
        """
        first, trouble = None, None
        try:
            first = self._attempt(collocated=False)
            if excess(*first) <= SUSPICIOUS:
                return first
        except BlowUpError as error:
            trouble = error
        self.tell("second start")
        try:
            second = self._attempt(collocated=True)
        except BlowUpError:
            if first is None:
                raise trouble or BlowUpError("the model has no finite forecast") from None
            return first
        better = first is None or second[1].info["chi2 per row"] < first[1].info["chi2 per row"]
        return second if better else first  # type: ignore[return-value]

    def refined_by_filter(
        self, fit: SparseFit, members: int, inflation: float, half_width: float | None, seed: int
    ) -> tuple[Shooting, SparseFit]:
        """Windows that start from the analyses of a cycled filter instead of single observations."""
        self.tell("local ensemble filter")
        states, variance = filtered_pairs(
            self.model, self.library, fit.coefficients, self.observations, self.noise_std, members,
            inflation, half_width, seed,
        )  # fmt: skip
        data = Snapshots(states, self.observations.after, self.observations.window)
        shooting = replace(self, observations=data)._shooting(self.cutoff, variance)
        shooting.start(fit.coefficients)
        return shooting, shooting.solve(self._choice(shooting), passes=self.passes, tell=self.tell)

    def warn_about(self, shooting: Shooting, fit: SparseFit, exact: bool) -> None:
        """Warn where the misfit left is not what the noise explains."""
        if exact or excess(shooting, fit) <= SUSPICIOUS:
            return
        warnings.warn(
            f"the misfit left is {fit.info['chi2 per row']:.3g} times what noise of {self.noise_std:.3g} "
            "explains: the noise level is too low, terms are missing from the library, or the window of "
            f"{self.observations.window:g} is too long for this model",
            DiscoveryWarning,
            stacklevel=3,
        )

    # -- inside -----------------------------------------------------------------------------------
    def _attempt(self, collocated: bool) -> tuple[Shooting, SparseFit]:
        """Two stages on a grid: long waves first, whose response to a wrong model is closest to linear."""
        stages = [None] if self.cutoff is None else [0.6 * self.cutoff, self.cutoff]
        theta = np.zeros(len(self.library))
        for limit in stages:
            shooting = self._shooting(limit)
            if limit is stages[0]:
                shooting.require_independent_terms()
            if limit is stages[0] and collocated:
                theta = shooting.collocate(evidence_path, limit)
            elif limit is stages[0]:
                start, end = shooting.observed
                warn_about_forecasts(shooting.final_misfit(), end - start, self.noise_std)
            shooting.start(theta)
            passes = self.passes if limit is stages[-1] else 2
            fit = shooting.solve(self._choice(shooting), passes=passes, tell=self.tell)
            theta = shooting.theta
        return shooting, fit

    def _shooting(self, cutoff: float | None, variance: Any = None) -> Shooting:
        data = self.observations
        return Shooting(
            self.model, self.library, data.current, data.after, self.steps, self.noise_std, cutoff,
            state_variance=variance,
        )  # fmt: skip

    def _choice(self, shooting: Shooting) -> Callable[[NormalEquations, float], SparseFit]:
        lowest = self.smallest / shooting.term_sizes()
        return lambda equations, slack: above_floor(equations, self.select(equations, slack), lowest, 1.0)


def excess(shooting: Shooting, fit: SparseFit) -> float:
    """How far the misfit exceeds what the noise explains, in standard deviations."""
    return (fit.info["chi2 per row"] - 1.0) / math.sqrt(2.0 / shooting.rows)
