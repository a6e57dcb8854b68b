"""Fused vector updates of conjugate gradients on Poisson grids: two passes over memory an iteration.

``A p`` is never stored: the pass that updates `x` and `r` computes it again, because reading one byte of
geometry a cell costs less than writing and reading back eight.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.kernels.numba import grid_cg, stencil
from ..backends.namespace import norm2
from ..backends.threads import parallel
from .iteration import System

__all__ = ["GridUpdates"]


class GridUpdates:
    """The updates of `sciml.solvers.cg.Updates` for a `PoissonOperator` on NumPy arrays.

    Work vectors carry one row of zeros behind the grid, which stands for everything beyond the box, and are
    zero in cells without an unknown, so that the stencil needs no mask.
    """

    def __init__(self, system: System):
        self._system = system
        self._grid = grid = system.A.kernel_grid
        dtype = system.b.dtype
        self._stencil = grid.stencil(dtype)
        x_is_zero = system.x_is_zero
        self._x = np.zeros(grid.padded, dtype) if x_is_zero else grid.enclose(system.x)[0]
        self._r, self._p = np.zeros(grid.padded, dtype), np.zeros(grid.padded, dtype)
        self._sums = np.zeros(grid.shape[0])
        self._fused = system.M is not None and system.M.in_shape == system.A.in_shape
        self._z: np.ndarray = self._r
        self._factor = 1.0
        self._paired = False
        # Cells without an unknown carry s x = b, which `settle` solves; until then they have a residual.
        self._outside: np.ndarray | None = None
        self._defect = 0.0
        if grid.unknowns < grid.cells:
            self._blank, s = grid.blank(), dtype.type(system.A.diagonal_table[-1])
            b = system.b.reshape(-1)[self._blank]
            self._defect = norm2(b if x_is_zero else b - s * system.x.reshape(-1)[self._blank])
            self._outside = b / s if np.any(b) else None
        if dtype == np.float64:
            system.recompute = self.recompute

    def begin(self, r: np.ndarray, norm: float) -> None:
        """Start, or start again, from the residual `r`."""
        if r.base is self._p:  # as `recompute` left it
            self._r, self._p = self._p, self._r
        else:
            self._grid.enclose(r, out=self._r)
        self._norm = norm2(self._r) if self._defect else norm
        self._defect = 0.0

    @property
    def r(self) -> np.ndarray:
        """The residual, shaped like the grid."""
        return self._view(self._r)

    def _view(self, padded: np.ndarray) -> np.ndarray:
        return padded[: self._grid.cells].reshape(self._system.A.in_shape)

    def precondition(self) -> float:
        """``z = M r``; returns ``⟨r, z⟩``."""
        system = self._system
        scaled = getattr(system.M, "apply_scaled", None) if self._fused else None
        if system.M is None:
            self._z, self._factor = self._r, 1.0
            return self._norm**2
        if scaled is not None:
            self._z, self._factor, rho = scaled(self._r, self._norm)
            self._paired = True
            return rho
        z, rho = system.precondition_dot(self.r)
        self._z, self._factor = z.reshape(-1), 1.0
        return rho

    def direction(self, beta: float) -> float:
        """``p = z + β p``; returns the curvature ``⟨p, A p⟩``."""
        self._system.matvecs += 1
        grid = self._grid
        for phase in (1, 2):
            z: tuple[Any, ...] = (self._z, self._paired, self._factor)
            arguments: tuple[Any, ...] = (*z, beta, self._p, self._stencil, self._sums)
            parallel(grid_cg.direction, grid.shape[0], phase, *arguments, grain=grid.grain)
        return float(self._sums.sum())

    def advance(self, alpha: float) -> float:
        """``x += α p``, ``r −= α A p``; returns ``‖r‖``."""
        grid = self._grid
        arguments: tuple[Any, ...] = (alpha, self._p, self._x, self._r, self._stencil, self._sums)
        parallel(grid_cg.step, grid.shape[0], *arguments, grain=grid.grain)
        self._norm = math.sqrt(float(self._sums.sum()))
        return self._norm

    def settle(self) -> None:
        """Show the iterate as ``system.x``."""
        self._system.x = self._view(self._x)
        self._system.x_is_zero = False
        if self._outside is not None:
            self._system.x = self._system.x.copy()
            self._system.x.reshape(-1)[self._blank] = self._outside

    def recompute(self) -> tuple[np.ndarray, float]:
        """``b − A x`` and its norm, from the iterate alone; written over `p`, which a restart discards."""
        grid, b = self._grid, np.ascontiguousarray(self._system.b).reshape(-1)
        sums = parallel(stencil.residual, grid.shape[0], self._x, b, self._p, self._stencil, grain=grid.grain)
        return self._view(self._p), math.hypot(math.sqrt(sum(sums)), self._defect)
