"""Joint estimation of states and model error from noisy pairs of snapshots: multiple shooting, Gauss–Newton.

Every pair starts at an unknown state `z`, observed with noise; the model, corrected by ``Σ θ_j φ_j``, carries
it over the window to the second observation, which is noisy too. Linearised about the present estimate,

    a = δz + e₀,    b = J δz + S δθ + e₁,

with ``a`` and ``b`` the misfits at both ends, ``J`` the tangent model and ``S`` the sensitivities to the
coefficients. Eliminating δz leaves a regression with a known covariance,

    b − J a = S δθ + (e₁ − J e₀),    cov = σ² I + J D Jᵀ,

whose whitened normal equations go to the sparse selection. After each pass the states are updated too, so
that the columns are evaluated on states that both observations have improved; regressing on the noisy states
themselves would shrink every coefficient towards zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...problems.forecast import BlowUpError, forecast
from ...problems.spectral import PeriodicGrid
from .correct import corrected
from .library import Library, require_independent
from .modes import FourierModes, StateModes
from .normal_equations import NormalEquations
from .sparse_fit import SparseFit

__all__ = ["Shooting"]

SLACK = 0.01
"""Fraction of the unexplained misfit that a term must explain to enter."""


@dataclass
class _Linearisation:
    """Misfits and derivatives of all pairs about one estimate."""

    final: np.ndarray  # b, (n, K)
    tangent: np.ndarray  # J, (n, K, K)
    sensitivity: np.ndarray  # S, (n, K, p)


class Shooting:
    """The joint problem for one model, one library and one set of pairs.

    Parameters
    ----------
    model : TimeStepper
    library : Library
    before, after : ndarray, shape (n, *space)
        Noisy fields at both ends of the windows, on the grid of the model.
    steps : int
        Model steps in a window.
    noise_std : float
        Of every node value.
    cutoff : float, optional
        Largest wavenumber that is estimated; needed where the model has a grid.
    coarse_steps : int
        Steps per window for derivatives (their errors only cost efficiency); the misfit uses all.
    state_variance : callable, optional
        ``state_variance(modes) -> ndarray``: error variance of `before` per coordinate, where it is not
        ``noise_std**2`` (analyses of a filter). Such states are posterior means: the truth scatters about
        them, not they about the truth, so they stay as they are and their variance only enters the weights.
    """

    def __init__(
        self,
        model: Any,
        library: Library,
        before: np.ndarray,
        after: np.ndarray,
        steps: int,
        noise_std: float,
        cutoff: float | None = None,
        coarse_steps: int = 10,
        state_variance: Callable[[Any], np.ndarray] | None = None,
    ):
        self.library, self.steps, self.noise_std = library, steps, noise_std
        grid: PeriodicGrid | None = getattr(model, "grid", None)
        self.modes: Any
        self._inner: Any
        if grid is None:
            self.modes = self._inner = StateModes(before.shape[1:])
            self.model = model
        else:
            assert cutoff is not None
            self.modes = FourierModes(grid, cutoff)
            small = _working_grid(grid, cutoff) if hasattr(model, "on") else grid
            self.model = model if small == grid else model.on(small)
            self._inner = self.modes.on(small)
        self.observed = self.modes.coordinates(before), self.modes.coordinates(after)
        self.dt = model.dt
        self.coarse_steps = self.coarse = max(1, min(coarse_steps, steps))
        # No prior for the states: with one, the joint mode would shrink them, and swell the coefficients.
        self.first_guess = self.observed[0]
        self.state_variance = (
            np.full(self.modes.size, noise_std**2) if state_variance is None else state_variance(self.modes)
        )
        self.states = self.first_guess.copy()
        self.theta = np.zeros(len(library))
        self.rows = self.observed[1].size
        self._states_stay = state_variance is not None
        self._tangent: tuple[np.ndarray, np.ndarray] | None = None

    # -- Gauss–Newton ---------------------------------------------------------------------------
    def solve(
        self,
        select: Callable[[NormalEquations, float], SparseFit],
        *,
        passes: int = 6,
        tolerance: float = 0.05,
        tell: Callable[[str], None] = lambda text: None,
    ) -> SparseFit:
        """Alternate selection and update until the support stays and no coefficient moves.

        Parameters
        ----------
        select : callable
            ``select(equations, slack) -> SparseFit`` for whitened equations with unit noise. `slack` is a
            decrease of the misfit that is not worth a term yet: a fraction of what the present estimate
            leaves unexplained, because far from the solution that holds errors of the linearisation too.
        passes : int
            At most.
        tolerance : float
            A change that ends the iteration, in standard errors.
        tell : callable
            Shows progress.

        Raises
        ------
        BlowUpError
            If forecasts of the model stay without finite values however short the step.
        """
        fit, support = None, np.zeros(len(self.library), dtype=bool)
        for iteration in range(passes):
            tell(f"pass {iteration + 1} of at most {passes}")
            lin = self.linearise()
            parts = self.parts(lin)
            equations = parts[0]
            for part in parts[1:]:
                equations = equations + part
            self._require_independent(equations, first=fit is None)
            fit = select(equations, SLACK * max(self._unexplained(lin), 0.0))
            change = np.abs(fit.coefficients - self.theta)
            settled = np.array_equal(fit.support, support) and np.all(
                change <= tolerance * np.maximum(fit.standard_errors, 1e-300)
            )
            support = fit.support
            self._update(lin, fit.coefficients)
            self.latest = parts
            if settled:
                break
        assert fit is not None
        fit.info["passes"] = iteration + 1
        fit.info["chi2 per row"] = self.chi2()
        return fit

    def _require_independent(self, equations: NormalEquations, first: bool) -> None:
        """At first a fault of the library is its user's; later it says that the estimate ran away."""
        try:
            require_independent(equations.gram, self.library.names, 1e-12)
        except ValueError as error:
            if first and not self.theta.any():
                raise
            raise BlowUpError(f"the corrected model ran away: {error}") from None

    def linearise(self) -> _Linearisation:
        """Misfits and derivatives about the present states and coefficients."""
        final = self.final_misfit()
        reached = self.observed[1] - final
        self.coarse = self.coarse_steps
        base = self._run(self.states, self.theta)
        if self.coarse < self.steps and not np.allclose(base, reached, atol=0.1 * self.noise_std, rtol=0.05):
            self.coarse = self.steps  # the coarse steps are not accurate, or not stable
            base = reached
        sizes, window = self.term_sizes(), self.steps * self.dt
        moved = np.inf if self._tangent is None else np.abs(self.theta - self._tangent[0]) @ sizes * window
        if moved > 0.1 * self.noise_std:
            self._tangent = self.theta.copy(), self._tangent_model(base)
        assert self._tangent is not None
        tangent = self._tangent[1]
        n, size = self.states.shape
        scale = float(np.std(self.states))
        sensitivity = np.empty((n, size, len(self.library)))
        for j in range(len(self.library)):
            epsilon = 1e-5 * scale / (window * max(sizes[j], 1e-12 * scale))
            moved_theta = self.theta.copy()
            moved_theta[j] += epsilon
            sensitivity[..., j] = (self._run(self.states, moved_theta) - base) / epsilon
        for j, name in enumerate(self.library.names):
            _finite(sensitivity[..., j], f"the response of the model to the term {name!r}")
        return _Linearisation(final, tangent, sensitivity)

    def _tangent_model(self, base: np.ndarray) -> np.ndarray:
        """``J`` by finite differences, in blocks that fit the cache.

        It only weights misfits against each other and distributes them, so one of slightly different
        coefficients serves as well: `linearise` keeps it until forecasts change by a tenth of the noise.
        """
        n, size = self.states.shape
        step = 1e-5 * float(np.std(self.states))
        tangent = np.empty((n, size, size))
        block = max(1, 40_000 // max(size * self._inner_nodes(), 1))
        for start in range(0, n, block):
            chosen = slice(start, start + block)
            ends = self._run(self.states[chosen, None, :] + step * np.eye(size), self.theta)
            tangent[chosen] = np.swapaxes((ends - base[chosen, None, :]) / step, 1, 2)
        _finite(tangent, "the tangent of the model")
        return tangent

    def parts(self, lin: _Linearisation) -> list[NormalEquations]:
        """Whitened normal equations of every pair for the coefficients themselves (not their change)."""
        start = self.first_guess - self.states
        target = lin.final - np.einsum("nij,nj->ni", lin.tangent, start) + lin.sensitivity @ self.theta
        factor = np.linalg.cholesky(self._covariance(lin.tangent))
        white = np.linalg.solve(factor, np.concatenate([lin.sensitivity, target[..., None]], axis=2))
        return [NormalEquations.of(rows[:, :-1], rows[:, -1], whitened=True) for rows in white]

    def start(self, theta: np.ndarray) -> None:
        """Begin from earlier coefficients, as far towards them as forecasts stay finite."""
        for _ in range(8):
            if np.all(np.isfinite(self._run(self.states, theta, exact=True))):
                self.theta = theta
                return
            theta = 0.5 * theta

    def require_independent_terms(self) -> None:
        """Raise `ValueError` where terms are dependent on the observed states, before any regression."""
        columns = self.library.evaluate(self._inner.field(self.states), self._inner.grid)
        rows = columns.reshape(len(columns), -1)
        require_independent(rows @ rows.T, self.library.names)

    def term_sizes(self) -> np.ndarray:
        """Root mean squares of the terms on the estimated states."""
        columns = self.library.evaluate(self._inner.field(self.states), self._inner.grid)
        sizes = np.sqrt(np.mean(columns.reshape(len(columns), -1) ** 2, axis=1))
        return np.maximum(sizes, 1e-300)

    def final_misfit(self) -> np.ndarray:
        """What the present estimate leaves at the ends of the windows, in coordinates.

        Raises
        ------
        BlowUpError
            If a forecast is not finite.
        """
        reached = self._run(self.states, self.theta, exact=True)
        bad = ~np.isfinite(reached).all(axis=1)
        if bad.any():
            raise BlowUpError(
                f"the forecast from snapshot pair {int(np.argmax(bad))} is not finite ({int(bad.sum())} of "
                f"{len(bad)} pairs); expected a model that runs over the window of {self.steps * self.dt:g}"
            )
        return self.observed[1] - reached

    def collocate(self, select: Callable[[NormalEquations], SparseFit], cutoff: float | None) -> np.ndarray:
        """Coefficients from the trapezoidal rule over the window: a start that makes no forecast.

        Where the model is so wrong that its forecasts are useless, its tendency, taken from one time step,
        and the terms, both on the observed fields at either end, still show roughly what is missing.
        """
        kept = np.ones(self.modes.size, bool) if cutoff is None else self.modes.wavenumbers <= cutoff
        total = None
        for coordinates in self.observed:
            fields = self._inner.field(np.where(kept, coordinates, 0.0))
            moved = forecast(self.model, fields, 1)
            _finite(moved, "one step of the model")
            tendency = self._inner.coordinates((moved - fields) / self.dt)
            terms = self._inner.coordinates(self.library.evaluate(fields, self._inner.grid))
            both = np.concatenate([tendency[None], terms])[..., kept]
            total = 0.5 * both if total is None else total + 0.5 * both
        assert total is not None
        change = ((self.observed[1] - self.observed[0]) / (self.steps * self.dt))[..., kept]
        rows = total.reshape(len(total), -1)
        return select(NormalEquations.of(rows[1:].T, change.ravel() - rows[0])).coefficients

    def chi2(self) -> float:
        """``χ²`` per row at the present estimate: one where noise level and model are right."""
        start = self.first_guess - self.states
        final = self.observed[1] - self._run(self.states, self.theta, exact=True)
        if not np.all(np.isfinite(final)):
            return math.inf
        if self._states_stay and self._tangent is not None:
            weighted = np.linalg.solve(self._covariance(self._tangent[1]), final[..., None])[..., 0]
            return float(np.sum(final * weighted) / self.rows)
        total = np.sum(start**2 / self.state_variance) + np.sum((final / self.noise_std) ** 2)
        return float(total / self.rows)

    # -- inside -----------------------------------------------------------------------------------
    def _unexplained(self, lin: _Linearisation) -> float:
        """Whitened misfit of the present estimate, less what noise alone would leave."""
        target = lin.final - np.einsum("nij,nj->ni", lin.tangent, self.first_guess - self.states)
        weighted = np.linalg.solve(self._covariance(lin.tangent), target[..., None])[..., 0]
        return float(np.sum(target * weighted)) - self.rows

    def _update(self, lin: _Linearisation, theta: np.ndarray) -> None:
        """Move to `theta` and the states that go with it, less far where the misfit would not shrink."""
        start = self.first_guess - self.states
        left = lin.final - lin.sensitivity @ (theta - self.theta)
        innovation = left - np.einsum("nij,nj->ni", lin.tangent, start)
        weighted = np.linalg.solve(self._covariance(lin.tangent), innovation[..., None])[..., 0]
        move = start + self.state_variance * np.einsum("nji,nj->ni", lin.tangent, weighted)
        if self._states_stay:
            move = np.zeros_like(move)
        before, old = self.chi2(), (self.states, self.theta)
        for fraction in (1.0, 0.5, 0.25, 0.125):
            self.states = old[0] + fraction * move
            self.theta = old[1] + fraction * (theta - old[1])
            if self.chi2() <= 1.02 * before:  # fewer terms may explain a little less
                return
        if np.isfinite(self.chi2()):
            return
        self.states, self.theta = old
        raise BlowUpError(
            "the corrected model blows up within the window; expected finite forecasts. Use a shorter "
            "window or a library without the terms that make the model ill-posed"
        )

    def _covariance(self, tangent: np.ndarray) -> np.ndarray:
        spread = tangent * np.sqrt(self.state_variance)
        covariance = spread @ np.swapaxes(spread, 1, 2)
        covariance[:, np.arange(covariance.shape[1]), np.arange(covariance.shape[1])] += self.noise_std**2
        return covariance

    def _run(self, states: np.ndarray, theta: np.ndarray, exact: bool = False) -> np.ndarray:
        """Coordinates at the end of the window."""
        used = np.flatnonzero(theta)
        model = corrected(self.model, [self.library.terms[j] for j in used], theta[used])
        steps = self.steps if exact else self.coarse
        fields = self._inner.field(states)
        return self._inner.coordinates(forecast(model, fields, steps, self.steps * self.dt / steps))

    def _inner_nodes(self) -> int:
        return self._inner.size if self._inner.grid is None else math.prod(self._inner.grid.shape)


def _working_grid(grid: PeriodicGrid, cutoff: float) -> PeriodicGrid:
    """The smallest fast grid on which products of three modes below `cutoff` are not aliased onto them."""
    shape = []
    for n, side in zip(grid.shape, grid.lengths, strict=True):
        modes = math.floor(cutoff * side / (2.0 * math.pi)) + 1
        shape.append(min(n, _fast_even(4 * modes + 2)))
    return PeriodicGrid(shape, grid.lengths)


def _fast_even(n: int) -> int:
    from scipy.fft import next_fast_len

    n = max(n, 8)
    while True:
        m = next_fast_len(n, real=True)
        if m % 2 == 0:
            return m
        n = m + 1


def _finite(values: np.ndarray, what: str) -> None:
    if not np.all(np.isfinite(values)):
        raise BlowUpError(f"{what} is not finite within the window; expected a shorter window or time step")
