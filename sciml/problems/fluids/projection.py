"""The pressure solve that makes a velocity free of divergence, past obstacles that move."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.namespace import norm2
from ...operators import PoissonOperator
from ...solvers import SolveResult, cg
from .mac import MacGrid, Velocity

__all__ = ["PressureProjection", "Projected"]


@dataclass(frozen=True, eq=False)
class Projected:
    """One projection: what was solved and what came of it.

    Attributes
    ----------
    A, b, x0 : PoissonOperator, ndarray, ndarray or None
        The system ``A p = −div u`` and the guess it was solved from.
    result : SolveResult
        ``result.x`` is the pressure times ``Δt`` over density.
    operator_seconds, setup_seconds : float
        Building `A` and the preconditioner; zero where the geometry was that of the step before.
    divergence_before, divergence_after : float
        2-norms over fluid cells, recomputed from the velocity; before, with the motion of the solids.
    leak : float
        Largest correction of a solid's surface velocity, see `PressureProjection`; zero without enclosed
        pockets.
    """

    A: PoissonOperator
    b: np.ndarray
    x0: np.ndarray | None
    result: SolveResult
    operator_seconds: float
    setup_seconds: float
    divergence_before: float
    divergence_after: float
    leak: float

    @property
    def relative_divergence(self) -> float:
        """Divergence after over divergence before; zero where there was none."""
        return self.divergence_after / self.divergence_before if self.divergence_before > 0 else 0.0


class PressureProjection:
    r"""Remove the divergence of a velocity: :math:`u - \nabla p` with :math:`\Delta p = \nabla\cdot u`.

    Solid faces keep the velocity of their solid. The operator and the preconditioner are set up once for
    every new geometry. Gradient and divergence are those of `PoissonOperator`, so the divergence that is left
    is the residual of the solve and `rtol` bounds it.

    Fluid that solids have cut off from every open side can only keep its volume. Where their motion would
    squeeze it, no pressure helps; then the surface velocity of the solids around such a pocket is corrected
    by a constant normal velocity, the smallest that conserves the volume: the pocket leaks through its walls.

    Parameters
    ----------
    grid : MacGrid
    solver : Solver
        Called as ``solver(A, b, x0=..., M=..., rtol=..., on_failure=...)``; `M` is left out without a
        preconditioner, so a learned solver such as ``partial(dcd, network=...)`` fits.
    preconditioner : callable, optional
        ``preconditioner(A)`` gives `M`; called for every new geometry.
    rtol : float
        Divergence that may be left, relative to that before.
    warm_start : bool
        Start from the last pressure.
    on_failure : {"warn", "raise", "ignore"}
        What to do when a solve does not converge.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.preconditioners import IncompleteCholesky
    >>> from sciml.problems.fluids import MacGrid, PressureProjection
    >>> grid = MacGrid.create((16, 16))
    >>> project = PressureProjection(grid, preconditioner=IncompleteCholesky, rtol=1e-8)
    >>> u = tuple(np.random.default_rng(0).standard_normal(v.shape) for v in grid.zeros())
    >>> v, projected = project(u, np.zeros(grid.shape, bool), grid.zeros())
    >>> bool(np.linalg.norm(grid.divergence(v)) <= 1e-7 * projected.divergence_before)
    True
    """

    def __init__(
        self,
        grid: MacGrid,
        *,
        solver: Any = cg,
        preconditioner: Callable[[PoissonOperator], Any] | None = None,
        rtol: float = 1e-4,
        warm_start: bool = True,
        on_failure: str = "warn",
    ):
        for name, value in (("solver", solver), ("preconditioner", preconditioner)):
            if not callable(value) and not (name == "preconditioner" and value is None):
                raise TypeError(f"{name} is a {type(value).__name__}; expected a callable")
        self.grid, self.solver, self.preconditioner = grid, solver, preconditioner
        self.rtol, self.warm_start, self.on_failure = rtol, warm_start, on_failure
        self._geometry: tuple[np.ndarray, PoissonOperator, Any] | None = None

    def __call__(
        self, velocity: Velocity, solid: np.ndarray, solid_velocity: Velocity, guess: np.ndarray | None = None
    ) -> tuple[Velocity, Projected]:
        """A copy of `velocity` without divergence, and how it was made.

        Parameters
        ----------
        velocity : tuple of arrays
            On faces; what it holds on faces of solids and walls does not matter.
        solid : array of bool
            Solid cells.
        solid_velocity : tuple of arrays
            Read on the faces of solid cells.
        guess : array, optional
            The last pressure, used with ``warm_start``.
        """
        grid = self.grid
        operator_seconds, setup_seconds = self._set_up(solid)
        assert self._geometry is not None
        _, A, M = self._geometry
        u = tuple(component.copy() for component in grid.check_velocity(velocity))
        for axis, component in enumerate(u):
            faces = grid.faces_of(solid, axis)
            component[faces] = solid_velocity[axis][faces]
        grid.close_walls(u)
        leak = balance_pockets(grid, A, u)
        b = np.where(solid, 0.0, -grid.divergence(u))
        x0 = np.where(solid, 0.0, guess) if self.warm_start and guess is not None else None
        options = {} if M is None else {"M": M}
        # What rounding leaves of the mean over a closed pocket must not look like an incompatible system.
        result = self.solver(A, A.project(b), x0=x0, rtol=self.rtol, on_failure=self.on_failure, **options)
        before = norm2(b)
        grid.subtract_gradient(u, result.x, ~solid)
        after = norm2(np.where(solid, 0.0, grid.divergence(u)))
        return u, Projected(A, b, x0, result, operator_seconds, setup_seconds, before, after, leak)

    def _set_up(self, solid: np.ndarray) -> tuple[float, float]:
        if self._geometry is not None and np.array_equal(self._geometry[0], solid):
            return 0.0, 0.0
        start = time.perf_counter()
        A = PoissonOperator(self.grid.shape, spacing=self.grid.spacing, bc=self.grid.bc, cells=solid)
        made = time.perf_counter()
        M = None if self.preconditioner is None else self.preconditioner(A)
        self._geometry = (solid.copy(), A, M)
        return made - start, time.perf_counter() - made


def balance_pockets(grid: MacGrid, A: PoissonOperator, velocity: Velocity) -> float:
    """Correct the solid faces around every enclosed pocket so that nothing flows into it, in place.

    Returns
    -------
    float
        The largest correction, a velocity.
    """
    if A.singular is None:
        return 0.0
    labels = A.singular.labels.reshape(grid.shape)
    volume = float(np.prod(grid.spacing))
    bins = A.singular.count + 1
    outflow = volume * np.bincount(labels.ravel(), grid.divergence(velocity).ravel(), bins)
    area, walls = np.zeros(bins), []
    for axis, h in enumerate(grid.spacing):
        low = np.delete(labels, -1, axis=axis)
        high = np.delete(labels, 0, axis=axis)
        # A pocket ends where its neighbour is solid; the box's own walls do not move and are left alone.
        pocket_below, pocket_above = (low > 0) & (high == 0), (low == 0) & (high > 0)
        area += volume / h * np.bincount(low[pocket_below], minlength=bins)
        area += volume / h * np.bincount(high[pocket_above], minlength=bins)
        walls.append((low, high, pocket_below, pocket_above))
    correction = np.divide(outflow, area, out=np.zeros(bins), where=area > 0)
    correction[0] = 0.0
    for axis, (low, high, pocket_below, pocket_above) in enumerate(walls):
        inner = velocity[axis][(slice(None),) * axis + (slice(1, -1),)]
        inner[pocket_below] -= correction[low[pocket_below]]
        inner[pocket_above] += correction[high[pocket_above]]
    return float(np.abs(correction).max())
