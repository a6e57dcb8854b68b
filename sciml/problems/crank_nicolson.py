"""Crank–Nicolson for diffusion on a grid; the implicit step is solved by whatever solver it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..operators import as_operator
from ..solvers import SolveResult, solve

__all__ = ["CrankNicolson"]


class CrankNicolson:
    r"""A `TimeStepper` for :math:`u_t = -\kappa(t)\, A u + f(t)`, of second order and stable for any step.

    One step solves ``(A + c) u' = (c − A) u + (2/κ) f`` with ``c = 2/(κ Δt)`` and the middle of the step in
    κ and f, started from `u`. Where `A` is a `PoissonOperator`, so is ``A + c``: every solver and
    preconditioner for grids takes it.

    Parameters
    ----------
    A : operator or matrix
        Symmetric positive semidefinite, such as a `PoissonOperator`.
    dt : float
        Default time step of `forecast`.
    solver : solver, optional
        Called as ``solver(A, b, x0=u)``; `sciml.solve` with ``rtol=1e-8`` by default. It may learn from step
        to step, as `sciml.tuning.tuned` does.
    diffusivity : float or callable, optional
        κ, or ``κ(t)``; not negative.
    source : callable, optional
        ``f(t)``, an array like `u`.
    contextual : bool
        Pass ``context=κ Δt`` to the solver, for policies that look at the system.

    Attributes
    ----------
    last : SolveResult or None
        Of the latest step.

    Raises
    ------
    ValueError
        For a step or diffusivity that is not positive.
    SolverError
        From a step whose system was not solved.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator
    >>> from sciml.problems import CrankNicolson, forecast
    >>> A = PoissonOperator((16, 16), spacing=1 / 16)
    >>> x, y = A.coordinates()
    >>> u = forecast(CrankNicolson(A, 1e-3), np.sin(np.pi * x) * np.sin(np.pi * y), 50)
    >>> bool(abs(u.max() - np.exp(-2 * np.pi**2 * 0.05)) < 0.01)
    True
    """

    levels = 1

    def __init__(
        self,
        A: Any,
        dt: float,
        *,
        solver: Callable[..., SolveResult] | None = None,
        diffusivity: float | Callable[[float], float] = 1.0,
        source: Callable[[float], Array] | None = None,
        contextual: bool = False,
    ):
        self.A = as_operator(A)
        if self.A.in_shape != self.A.out_shape:
            raise ValueError(f"A maps {self.A.in_shape} to {self.A.out_shape}; expected equal shapes")
        self.dt = _positive("dt", dt)
        self.state_shape = self.A.in_shape
        self.solver = partial(solve, rtol=1e-8) if solver is None else solver
        self.diffusivity, self.source, self.contextual = diffusivity, source, contextual
        self.last: SolveResult | None = None
        self._shift, self._shifted = math.nan, self.A

    def step(self, u: Array, t: float, dt: float) -> Array:
        """The state a time `dt` after `t`."""
        middle = t + 0.5 * _positive("dt", dt)
        kappa = self.diffusivity(middle) if callable(self.diffusivity) else self.diffusivity
        if not (math.isfinite(kappa) and kappa >= 0):
            raise ValueError(f"diffusivity at t = {middle:g} is {kappa!r}; expected a number >= 0")
        forcing = None if self.source is None else self.source(middle)
        if kappa == 0:
            return u if forcing is None else u + dt * forcing
        c = 2.0 / (kappa * dt)
        if c != self._shift:
            plus = getattr(self.A, "shifted", None)
            self._shift, self._shifted = c, self.A + c if plus is None else plus(c)
        b = c * u - self.A._apply(u)
        if forcing is not None:
            b = b + (2.0 / kappa) * forcing
        context = {"context": kappa * dt} if self.contextual else {}
        self.last = self.solver(self._shifted, b, x0=u, **context).raise_if_failed()
        return self.last.x

    def __repr__(self) -> str:
        return f"<CrankNicolson dt={self.dt:g} of {self.A!r}>"


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, int | float | np.floating) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} is {value!r}; expected a positive number")
    return float(value)
