"""Conjugate gradients on a grid with fused updates: two passes over memory an iteration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .grid import Grid
from .kernels.numba import grid_cg, stencil
from .threads import parallel

__all__ = ["GridCG"]


class GridCG:
    """Work vectors and fused updates of one preconditioned CG solve; the caller owns the iteration.

    Parameters
    ----------
    A : PoissonOperator or Grid
    M : object with ``apply_scaled(r, norm) -> (z, factor, r·M r)``
        Such as `Multigrid`; None for plain CG.

    Attributes
    ----------
    x, r : array
        Iterate and residual, flat, ``cells`` entries (views of padded work vectors).
    residual_norm : float

    Examples
    --------
    >>> cg = GridCG(A, M)                        # doctest: +SKIP
    >>> cg.start(b)                              # doctest: +SKIP
    >>> while cg.residual_norm > tolerance:      # doctest: +SKIP
    ...     cg.iterate()
    """

    def __init__(self, A: Any, M: Any = None):
        self.grid = A if isinstance(A, Grid) else Grid.from_operator(A)
        self.M = M
        self._stencil = self.grid.stencil(np.float64)
        grid = self.grid
        self._x = np.zeros(grid.padded)
        self._r = np.zeros(grid.padded)
        self._p = np.zeros(grid.padded)
        self._sums = np.zeros(grid.shape[0])
        self._rz = math.nan
        self.residual_norm = math.nan

    @property
    def x(self) -> np.ndarray:
        return self._x[: self.grid.cells]

    @property
    def r(self) -> np.ndarray:
        return self._r[: self.grid.cells]

    def start(self, b: np.ndarray, x0: np.ndarray | None = None) -> None:
        """Set ``x = x0`` (zero by default, zero in cells without unknown) and ``r = b - A x``."""
        grid = self.grid
        blank = grid.q == grid.none
        self._x[:] = 0
        if x0 is not None:
            self.x[:] = np.where(blank, 0.0, np.asarray(x0).reshape(-1))
        self._rz = math.nan
        self.recompute(b)

    def recompute(self, b: np.ndarray) -> float:
        """Replace the recurrence by the true residual ``b - A x``; returns its norm."""
        grid = self.grid
        b = np.ascontiguousarray(b, np.float64).reshape(-1)
        sums = parallel(stencil.residual, grid.shape[0], self._x, b, self._r, self._stencil, grain=grid.grain)
        self.residual_norm = math.sqrt(sum(sums))
        return self.residual_norm

    def iterate(self) -> bool:
        """One CG step. Returns False on breakdown (a direction of non-positive or non-finite energy)."""
        grid, planes = self.grid, self.grid.shape[0]
        if self.M is None:
            z, factor, rz = self._r, 1.0, self.residual_norm**2
        else:
            z, factor, rz = self.M.apply_scaled(self._r, self.residual_norm)
        beta = 0.0 if math.isnan(self._rz) else rz / self._rz
        self._rz = rz
        for phase in (1, 2):
            parallel(
                grid_cg.direction, planes, phase, z, factor, beta, self._p, self._stencil, self._sums,
                grain=grid.grain,
            )  # fmt: skip
        energy = float(self._sums.sum())
        if not energy > 0 or not math.isfinite(energy) or not rz > 0:
            return False
        alpha = rz / energy
        parallel(
            grid_cg.step,
            planes,
            alpha,
            self._p,
            self._x,
            self._r,
            self._stencil,
            self._sums,
            grain=grid.grain,
        )
        self.residual_norm = math.sqrt(float(self._sums.sum()))
        return True

    def restart(self) -> None:
        """Forget the search direction, so that the next step is a steepest-descent step."""
        self._rz = math.nan
