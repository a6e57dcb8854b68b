"""Time steppers: ETDRK4 and CNAB2 for semilinear equations in Fourier space, Runge–Kutta 4 for the rest.

All take terms added later (`with_terms`), which is how a discovered model error returns to the model, and all
take batches: leading axes of a state are independent runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from .equation import SpectralEquation
from .spectral import Fields, FourierMultiplier, PeriodicGrid, Symbol

__all__ = ["CNAB2", "ETDRK4", "RK4"]


class _SpectralStepper:
    """What ETDRK4 and CNAB2 share: an equation, a step, corrections."""

    levels = 1
    """Time levels a state holds: states have shape ``(levels, *grid)`` where it is above one."""

    def __init__(self, equation: SpectralEquation, dt: float):
        if not (isinstance(dt, int | float | np.floating) and math.isfinite(dt) and dt > 0):
            raise ValueError(f"dt is {dt!r}; expected a positive number")
        self.equation, self.dt, self.grid = equation, float(dt), equation.grid
        self.state_shape = self.grid.shape if self.levels == 1 else (self.levels, *self.grid.shape)
        self._tables: dict[float, Any] = {}

    def with_terms(self, terms: Sequence[Any], coefficients: Sequence[float]) -> Any:
        """The same method for the equation with ``Σ c_j φ_j(u)`` added."""
        return self._like(self.equation.with_terms(terms, coefficients))

    def on(self, grid: PeriodicGrid) -> Any:
        """The same method and step on another grid of the same box."""
        return self._like(self.equation.on(grid))

    def _like(self, equation: SpectralEquation) -> Any:
        return type(self)(equation, self.dt)

    def _table(self, dt: float) -> Any:
        if dt not in self._tables:
            self._tables[dt] = self._make_table(dt)
        return self._tables[dt]

    def _make_table(self, dt: float) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} dt={self.dt:g} of {self.equation!r}>"


class ETDRK4(_SpectralStepper):
    """Exponential time differencing, Runge–Kutta 4: the linear part exactly, the rest to fourth order.

    Parameters
    ----------
    equation : SpectralEquation
    dt : float
        Default time step of ``step``.

    References
    ----------
    Cox and Matthews, J. Comput. Phys. 176 (2002) 430–455; the contour integrals for its coefficients: Kassam
    and Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214–1233.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems import ETDRK4, kuramoto_sivashinsky, random_phases
    >>> equation = kuramoto_sivashinsky(64, 22.0)
    >>> u = random_phases(equation.grid, np.random.default_rng(0))
    >>> ETDRK4(equation, 0.1).step(u, 0.0, 0.1).shape
    (64,)
    """

    def _make_table(self, dt: float) -> tuple[Symbol, ...]:
        z = dt * self.equation.symbol
        circle = np.exp(1j * math.pi * (np.arange(1, 33) - 0.5) / 32)
        if z.dtype.kind == "c":  # half a circle suffices only where values come in conjugate pairs
            circle = np.exp(2j * math.pi * (np.arange(1, 33) - 0.5) / 32)
        r = z[..., None] + circle
        e = np.exp(r)
        means = [
            (np.exp(r / 2) - 1.0) / r,
            (-4.0 - r + e * (4.0 - 3.0 * r + r**2)) / r**3,
            (2.0 + r + e * (r - 2.0)) / r**3,
            (-4.0 - 3.0 * r - r**2 + e * (4.0 - r)) / r**3,
        ]
        averaged = [np.mean(m, axis=-1) for m in means]
        if z.dtype.kind != "c":
            averaged = [m.real for m in averaged]
        return tuple(Symbol(s) for s in (np.exp(z), np.exp(z / 2), *(dt * m for m in averaged)))

    def step(self, u: Array, t: float, dt: float) -> Array:
        """The state a time `dt` after `t`."""
        return self.grid.inverse(self._advance(self.grid.transform(u), self._table(dt)))

    def run(self, u: Array, steps: int, dt: float) -> Array:
        """`steps` steps without leaving Fourier space in between."""
        hat, table = self.grid.transform(u), self._table(dt)
        for _ in range(steps):
            hat = self._advance(hat, table)
        return self.grid.inverse(hat)

    def _advance(self, hat: Array, table: tuple[Symbol, ...]) -> Array:
        full, half, q, f1, f2, f3 = (s.like(hat) for s in table)
        nonlinear = self.equation.nonlinear
        at_start = nonlinear(hat)
        if at_start is None:
            return full * hat
        decayed = half * hat
        a = decayed + q * at_start
        at_a = nonlinear(a)
        at_b = nonlinear(decayed + q * at_a)
        at_c = nonlinear(half * a + q * (2.0 * at_b - at_start))
        return full * hat + f1 * at_start + 2.0 * f2 * (at_a + at_b) + f3 * at_c


class CNAB2(_SpectralStepper):
    """Crank–Nicolson for `L`, Adams–Bashforth 2 for `N`; a state holds two time levels.

    Parameters
    ----------
    equation : SpectralEquation
    dt : float
        Time step.
    solver : solver, optional
        Called as ``solver(A, b)`` for the implicit equation ``(I − dt/2 L) v = b``, e.g.
        ``functools.partial(sciml.gmres, rtol=1e-10)``. By default the operator, which is diagonal in Fourier
        space, is inverted by division.

    Notes
    -----
    States have shape ``(..., 2, *grid.shape)``, the older level first. `first_step` makes one from a single
    field by a predictor and a trapezoidal corrector, of second order as well.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems import CNAB2, forecast, kuramoto_sivashinsky, random_phases
    >>> model = CNAB2(kuramoto_sivashinsky(64, 22.0), 0.01)
    >>> u = random_phases(model.grid, np.random.default_rng(0))
    >>> model.state_shape, forecast(model, u, 10).shape
    ((2, 64), (64,))
    """

    levels = 2

    def __init__(self, equation: SpectralEquation, dt: float, solver: Any = None):
        super().__init__(equation, dt)
        self.solver = solver

    def _like(self, equation: SpectralEquation) -> CNAB2:
        return CNAB2(equation, self.dt, self.solver)

    def _make_table(self, dt: float) -> tuple[Symbol, Symbol, FourierMultiplier]:
        z = 0.5 * dt * self.equation.symbol
        return Symbol(1.0 + z), Symbol(1.0 / (1.0 - z)), FourierMultiplier(self.grid, 1.0 - z)

    def step(self, u: Array, t: float, dt: float) -> Array:
        """The two levels a time `dt` later; the levels given must be `dt` apart."""
        xp = array_namespace(u)
        older, current = self._level(u, 0), self._level(u, 1)
        new, _ = self._advance(self.grid.transform(current), self._nonlinear(older), self._table(dt), dt)
        return xp.stack([current, self.grid.inverse(new)], axis=-1 - self.grid.ndim)

    def first_step(self, u: Array, t: float, dt: float) -> Array:
        """The two-level state at ``t + dt`` from one field at `t`."""
        return array_namespace(u).stack(
            [u, self.grid.inverse(self._first(self.grid.transform(u), self._table(dt), dt)[0])],
            axis=-1 - self.grid.ndim,
        )

    def run(self, u: Array, steps: int, dt: float) -> Array:
        """`steps` steps without leaving Fourier space in between."""
        if steps == 0:
            return u
        table = self._table(dt)
        hat, old = self.grid.transform(self._level(u, 1)), self._nonlinear(self._level(u, 0))
        for _ in range(steps - 1):
            hat, old = self._advance(hat, old, table, dt)
        new, _ = self._advance(hat, old, table, dt)
        levels = [self.grid.inverse(hat), self.grid.inverse(new)]
        return array_namespace(u).stack(levels, axis=-1 - self.grid.ndim)

    def run_from_field(self, u: Array, steps: int, dt: float) -> Array:
        """The field `steps` steps after a single field; the first step is `first_step`."""
        if steps == 0:
            return u
        table = self._table(dt)
        hat, old = self._first(self.grid.transform(u), table, dt)
        for _ in range(steps - 1):
            hat, old = self._advance(hat, old, table, dt)
        return self.grid.inverse(hat)

    def response(self, before: Array, after: Array, dt: float) -> Array:
        """The change of one step's result per unit of `dt` due to a forcing that is known at both ends.

        ``(I − dt/2 L)^{-1} (φ(t) + φ(t + dt)) / 2``: what the implicit step makes of a term that the model
        lacks. Regressing on this instead of on the term itself removes the bias of the time step.
        """
        _, inverse, _ = self._table(dt)
        return self.grid.inverse(inverse.like(before) * self.grid.transform(0.5 * (before + after)))

    def _level(self, u: Array, which: int) -> Array:
        return u[(..., which, *(slice(None) for _ in self.grid.shape))]

    def _nonlinear(self, u: Array) -> Array:
        return self.equation.nonlinear(self.grid.transform(u))

    def _solve(self, rhs: Array, table: Any) -> Array:
        _, inverse, A = table
        if self.solver is None:
            return inverse.like(rhs) * rhs
        b = self.grid.inverse(rhs)
        if tuple(b.shape) == self.grid.shape:
            return self.grid.transform(self.solver(A, b).raise_if_failed().x)
        xp = array_namespace(b)
        rows = xp.reshape(b, (-1, *self.grid.shape))
        solved = [self.solver(A, rows[i, ...]).raise_if_failed().x for i in range(rows.shape[0])]
        return self.grid.transform(xp.reshape(xp.stack(solved), b.shape))

    def _advance(self, hat: Array, old: Any, table: Any, dt: float) -> tuple[Array, Any]:
        forward = table[0].like(hat)
        new = self.equation.nonlinear(hat)
        rhs = forward * hat
        if new is not None:
            rhs = rhs + dt * (1.5 * new - 0.5 * old)
        return self._solve(rhs, table), new

    def _first(self, hat: Array, table: Any, dt: float) -> tuple[Array, Array | None]:
        forward = table[0].like(hat)
        at_start = self.equation.nonlinear(hat)
        if at_start is None:
            return self._solve(forward * hat, table), None
        guess = self._solve(forward * hat + dt * at_start, table)
        at_end = self.equation.nonlinear(guess)
        return self._solve(forward * hat + (0.5 * dt) * (at_start + at_end), table), at_start


class RK4:
    """The classical Runge–Kutta method for ``u_t = f(u)``.

    Parameters
    ----------
    tendency : callable
        ``tendency(u) -> array``; the axes of a state are the last ones.
    state_shape : tuple of int
    dt : float
        Default time step.
    grid : PeriodicGrid, optional
        Where the state lives on one; terms can then use derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems import RK4, forecast
    >>> decay = RK4(lambda u: -u, (2,), 0.1)
    >>> bool(np.allclose(forecast(decay, np.ones(2), 10), np.exp(-1.0), atol=1e-6))
    True
    """

    levels = 1

    def __init__(
        self,
        tendency: Callable[[Array], Array],
        state_shape: Sequence[int],
        dt: float,
        grid: PeriodicGrid | None = None,
        name: str = "model",
    ):
        if not (isinstance(dt, int | float | np.floating) and math.isfinite(dt) and dt > 0):
            raise ValueError(f"dt is {dt!r}; expected a positive number")
        self.tendency, self.state_shape, self.dt = tendency, tuple(state_shape), float(dt)
        self.grid, self.name = grid, name

    def step(self, u: Array, t: float, dt: float) -> Array:
        """The state a time `dt` after `t`."""
        f = self.tendency
        k1 = f(u)
        k2 = f(u + (0.5 * dt) * k1)
        k3 = f(u + (0.5 * dt) * k2)
        return u + (dt / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + f(u + dt * k3))

    def run(self, u: Array, steps: int, dt: float) -> Array:
        """`steps` steps."""
        for _ in range(steps):
            u = self.step(u, 0.0, dt)
        return u

    def with_terms(self, terms: Sequence[Any], coefficients: Sequence[float]) -> RK4:
        """The method for the equation with ``Σ c_j φ_j(u)`` added."""
        base, pairs = self.tendency, list(zip(coefficients, terms, strict=True))

        def tendency(u: Array) -> Array:
            fields = Fields(u, self.grid)
            return base(u) + sum(c * term(fields) for c, term in pairs)

        return RK4(
            tendency if pairs else base, self.state_shape, self.dt, self.grid, f"{self.name}, corrected"
        )

    def __repr__(self) -> str:
        return f"<RK4 dt={self.dt:g} of {self.name}, state {self.state_shape}>"
