"""Incompressible smoke that rises past moving obstacles: a time stepper around one pressure solve a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage

from ...operators import PoissonOperator
from ...solvers import cg
from .advection import SCHEMES, advect, advect_velocity
from .bodies import Body, solids
from .forces import add_buoyancy, add_confinement
from .mac import MacGrid, Velocity
from .projection import PressureProjection, Projected

__all__ = ["Smoke", "SmokeSimulation"]


@dataclass(frozen=True, eq=False)
class Smoke:
    """The state of a `SmokeSimulation`.

    Attributes
    ----------
    velocity : tuple of ndarray
        One component per axis, on the faces.
    smoke : ndarray
        Concentration in cells, zero in solids.
    pressure : ndarray
        Times ``Δt`` over density, zero in solids. The guess for the next solve, where cells that come free
        take the value of the nearest fluid cell.
    solid : ndarray of bool
        Where the obstacles are.
    projected : Projected or None
        The pressure solve that led here; None at the start.
    """

    velocity: Velocity
    smoke: np.ndarray
    pressure: np.ndarray
    solid: np.ndarray
    projected: Projected | None = None


class SmokeSimulation:
    r"""Inviscid smoke in a box with moving obstacles, on a MAC grid (`TimeStepper` whose state is a `Smoke`).

    .. math:: \partial_t u + u\cdot\nabla u = -\nabla p + \beta s\,e, \quad \nabla\cdot u = 0, \quad
              \partial_t s + u\cdot\nabla s = 0

    with `e` the upward direction, the last axis. A step advects smoke and velocity, refills the source, adds
    buoyancy and confinement, moves the obstacles, and projects. All of it runs on NumPy arrays in float64.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, two or three.
    spacing : float or tuple of float
        Cell size.
    bc : str or sequence
        ``"neumann"`` sides are walls and ``"dirichlet"`` sides are open, as in `PoissonOperator`; the default
        is a box open at its top.
    bodies : sequence of Body
        Obstacles.
    source : array of shape `shape`, optional
        Smoke is at least this in every step.
    buoyancy : float
        Upward acceleration of smoke of concentration 1.
    confinement : float
        Strength of vorticity confinement, which gives small eddies back what interpolation takes; 0 is off.
    scheme : {"maccormack", "semi-lagrangian"}
        How smoke and velocity are advected, see `advect`.
    dt : float
        Default time step of `step`.
    solver, preconditioner, rtol, warm_start, on_failure
        Of the pressure solve, see `PressureProjection`.

    Attributes
    ----------
    grid : MacGrid
    state_shape : tuple of int
        Shape of the smoke and the pressure.
    project : PressureProjection
        May be replaced by any callable that takes and returns the same.

    References
    ----------
    Fedkiw, Stam and Jensen, Visual simulation of smoke, SIGGRAPH 2001. Bridson, Fluid Simulation for Computer
    Graphics (2nd ed., 2015).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.fluids import Body, SmokeSimulation, ball
    >>> source = np.zeros((24, 48))
    >>> source[10:14, 2:4] = 1.0
    >>> disc = Body(ball(0.12), position=lambda t: (0.5 + 0.2 * np.sin(t), 0.8))
    >>> model = SmokeSimulation((24, 48), spacing=1 / 24, source=source, bodies=[disc], dt=0.05)
    >>> state = model.initial()
    >>> for i in range(5):
    ...     state = model.step(state, i * model.dt)
    >>> state.projected.result.converged, bool(state.projected.relative_divergence <= 1e-3)
    (True, True)
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        spacing: Any = 1.0,
        bc: Any = "open-top",
        bodies: Sequence[Body] = (),
        source: np.ndarray | None = None,
        buoyancy: float = 1.0,
        confinement: float = 0.0,
        scheme: str = "maccormack",
        dt: float = 0.1,
        solver: Any = cg,
        preconditioner: Callable[[PoissonOperator], Any] | None = None,
        rtol: float = 1e-4,
        warm_start: bool = True,
        on_failure: str = "warn",
    ):
        self.grid = MacGrid.create(shape, spacing=spacing, bc=bc)
        self.state_shape = self.grid.shape
        if scheme not in SCHEMES:
            raise ValueError(f"scheme is {scheme!r}; expected one of {', '.join(SCHEMES)}")
        if source is not None and np.shape(source) != self.grid.shape:
            raise ValueError(f"source has shape {np.shape(source)}; expected {self.grid.shape}")
        for name, value in (("buoyancy", buoyancy), ("confinement", confinement)):
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value!r}; expected a finite number")
        self.dt = _positive_step(dt)
        self.bodies, self.source, self.scheme = tuple(bodies), source, scheme
        self.buoyancy, self.confinement = float(buoyancy), float(confinement)
        self.project = PressureProjection(
            self.grid, solver=solver, preconditioner=preconditioner, rtol=rtol, warm_start=warm_start,
            on_failure=on_failure,
        )  # fmt: skip

    def initial(self, t: float = 0.0) -> Smoke:
        """Fluid at rest at time `t`, with the smoke of the source; ``dataclasses.replace`` makes others."""
        solid = np.zeros(self.grid.shape, dtype=bool)
        for body in self.bodies:
            solid |= body.cells(self.grid, t)
        smoke = np.zeros(self.grid.shape) if self.source is None else np.array(self.source, dtype=float)
        smoke[solid] = 0.0
        return Smoke(self.grid.zeros(), smoke, np.zeros(self.grid.shape), solid)

    def step(self, u: Smoke, t: float, dt: float | None = None) -> Smoke:
        """The state at ``t + dt`` from the state `u` at `t`, which is left as it is."""
        dt = self.dt if dt is None else _positive_step(dt)
        grid = self.grid
        solid, solid_velocity = solids(grid, self.bodies, t, dt)
        smoke = advect(grid, extend(u.smoke, u.solid), u.velocity, dt, scheme=self.scheme)
        velocity = advect_velocity(grid, u.velocity, dt, scheme=self.scheme)
        if self.source is not None:
            np.maximum(smoke, self.source, out=smoke)
        smoke[solid] = 0.0
        add_buoyancy(velocity, extend(smoke, solid), dt * self.buoyancy)
        if self.confinement:
            add_confinement(grid, velocity, dt * self.confinement)
        guess = u.pressure
        if np.any(u.solid & ~solid):
            # A zero in the cells that come free would be a jump, and the guess worse than none at all.
            guess = extend(guess, u.solid)
        velocity, projected = self.project(velocity, solid, solid_velocity, guess)
        return Smoke(velocity, smoke, np.where(solid, 0.0, projected.result.x), solid, projected)


def extend(values: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """`values` with every solid cell filled from its nearest fluid cell, so that interpolation has all."""
    if not solid.any():
        return values
    # Only the bounding box of the solids and one cell more is looked at: obstacles are small.
    where = tuple(
        slice(max(span.start - 1, 0), span.stop + 1)
        for span in scipy.ndimage.find_objects(solid.astype(np.int8))[0]
    )
    inside = solid[where]
    if inside.all():
        return values
    nearest = scipy.ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    filled = values.copy()
    filled[where][inside] = values[where][tuple(index[inside] for index in nearest)]
    return filled


def _positive_step(dt: float) -> float:
    if not (math.isfinite(dt) and dt > 0):
        raise ValueError(f"dt is {dt!r}; expected a positive number")
    return float(dt)
