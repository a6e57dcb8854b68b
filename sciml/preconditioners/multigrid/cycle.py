"""The multigrid cycle by compiled kernels: smoothing, transfer and the recursion over levels."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ...backends.grid import GRAIN_CELLS, Grid
from ...backends.kernels.numba import csr, paired, smoothers, transfer
from ...backends.namespace import vdot
from ...backends.threads import parallel
from .blocks import BlockLevel
from .chebyshev import chebyshev_coefficients
from .hierarchy import GRAIN_PASS, Coarsest, SparseLevel, Transfer
from .parameters import Parameters

__all__ = ["CompiledCycle", "Vectors", "Workspace"]


class CompiledCycle(Parameters):
    """One V- or W-cycle on a hierarchy that a subclass has set up."""

    grid: Grid
    smoother: str
    levels: list[BlockLevel | SparseLevel]
    transfers: list[Transfer]
    coarsest: Coarsest
    blocks: Any
    _stencil: tuple[Any, ...]
    _block_stencil: tuple[Any, ...]
    _local: threading.local

    def _workspace(self) -> Workspace:
        """Vectors of the calling Python thread, so that several may use one preconditioner."""
        work = getattr(self._local, "work", None)
        if work is None:
            work = self._local.work = Workspace(self)
        return work

    def _relax(
        self, stencil, grain, sweeps, kind, colour, v, source, scale, omega, work, extras, dots
    ) -> None:
        """Red-black sweeps on the grid or the first coarse level, in one pass where that works."""
        planes, total = stencil[0][0], 2 * sweeps + (kind == smoothers.PROLONG)

        def run(stages: tuple[int, int], border: bool, grain: int) -> int:
            """Returns the number of slabs."""
            done = parallel(
                smoothers.relax, planes, stages, border, total, kind, colour, v.x, v.b, source, scale,
                stencil, np.float32(omega), work.blocks, work.e, extras, dots, grain=grain,
            )  # fmt: skip
            return len(done)

        if stencil[1][0]:
            # Planes that wrap around would wait for one another: a barrier after every stage instead.
            for stage in range(total):
                run((stage, stage + 1), False, grain)
        else:
            grain = max(grain, 2 * total)
            if run((0, total), False, grain) > 1:
                run((0, total), True, grain)

    def _chebyshev_grid(self, work) -> None:
        grid = self.grid
        for a, c in chebyshev_coefficients(2 * self._sweeps(0)):
            parallel(
                smoothers.chebyshev_step, grid.shape[0], work.x, work.y, work.d, np.float32(a), np.float32(c),
                work.b, self._stencil, grain=grid.grain,
            )  # fmt: skip
            work.x, work.y = work.y, work.x

    def _smooth_grid(self, kind: int, source, scale: float, work, dots) -> None:
        """Smooth on the grid: from a zero guess, or backward from what the coarse correction makes of x."""
        grid = self.grid
        if self.smoother == "red-black":
            self._relax(
                self._stencil, grid.grain, self._sweeps(0), kind, int(kind != smoothers.ZERO), work, source,
                scale, self._omega(0), work, None, dots,
            )  # fmt: skip
            return
        if kind == smoothers.ZERO:
            work.x[:] = 0
            rows, n = grid.shape[0] * grid.shape[1], grid.shape[2]
            parallel(paired.pair_rows, rows, source, scale, work.b, n, grain=max(1, GRAIN_CELLS // n))
        elif kind == smoothers.PROLONG:
            parallel(
                smoothers.prolong, grid.shape[0], work.x, work.e, self._stencil, work.blocks, grain=grid.grain
            )
        self._chebyshev_grid(work)
        if dots.size:
            dots[0] = vdot(work.x[: grid.cells], work.b)

    def _run(self, r: np.ndarray, scale: float, dots: np.ndarray) -> np.ndarray:
        """One cycle on ``scale r``; returns the work vector z (paired, with its appended row of zeros)."""
        work = self._workspace()
        grid = self.grid
        self._smooth_grid(smoothers.ZERO, r, scale, work, work.nothing)
        if self.levels:
            parallel(
                transfer.restrict_residual, work.blocks[1][0], work.x, work.b, self._stencil, work.blocks,
                work.levels[0].b, grain=max(1, grid.grain // 2),
            )  # fmt: skip
            self._coarse_cycle(0, work)
        dots[:] = 0
        self._smooth_grid(smoothers.PROLONG if self.levels else smoothers.PLAIN, r[:0], 1.0, work, dots)
        return work.x

    def _smooth_coarse(self, index: int, work, backward: bool, from_zero: bool) -> None:
        """Sweeps from a zero guess or from the x at hand; the backward ones are the adjoint of the others."""
        level, v = self.levels[index], work.levels[index]
        if isinstance(level, BlockLevel):
            self._smooth_blocks(level, v, work, backward, from_zero)
            return
        if from_zero:
            v.x[:] = 0
        omega = np.float32(self._omega(index + 1))
        A = (level.indptr, level.indices, level.data)
        sizes = np.diff(level.colour_start)
        for _ in range(self._sweeps(index + 1)):
            if sizes.max(initial=0) < 2 * GRAIN_PASS:
                csr.gauss_seidel(
                    0,
                    level.colour_start[-1],
                    backward,
                    level.order,
                    *A,
                    level.inverse_diagonal,
                    v.b,
                    v.x,
                    omega,
                )
                continue
            colours = range(sizes.size)
            for c in reversed(colours) if backward else colours:
                rows = level.order[level.colour_start[c] : level.colour_start[c + 1]]
                parallel(
                    csr.gauss_seidel, rows.size, backward, rows, *A, level.inverse_diagonal, v.b, v.x, omega,
                    grain=GRAIN_PASS,
                )  # fmt: skip

    def _smooth_blocks(self, level: BlockLevel, v, work, backward: bool, from_zero: bool) -> None:
        kind = smoothers.ZERO if from_zero else smoothers.PLAIN
        self._relax(
            self._block_stencil, level.grain, self._sweeps(1), kind, int(backward), v, work.nothing, 1.0,
            self._omega(1), work, level.extras, work.nothing,
        )  # fmt: skip

    def _residual_coarse(self, index: int, work) -> None:
        level, v = self.levels[index], work.levels[index]
        if isinstance(level, BlockLevel):
            planes = level.block_shape[0]
            parallel(paired.residual, planes, v.x, v.b, v.r, self._block_stencil, grain=level.grain)
            if level.extra_block.size:
                smoothers.extras_residual(0, planes, v.x, v.b, v.r, level.extras)
        else:
            A = (level.indptr, level.indices, level.data)
            parallel(csr.residual, level.n, *A, v.b, v.x, v.r, grain=GRAIN_PASS)

    def visits(self, index: int) -> int:
        """Of coarse level `index`, for every visit of the level above it."""
        return 2 if self.cycle == "W" and 0 < index < len(self.levels) - 1 else 1

    def _coarse_cycle(self, index: int, work) -> None:
        """Approximately solve ``A x = b`` on coarse level `index`, from x = 0; W goes on from the result."""
        v, last = work.levels[index], len(self.levels) - 1
        if index == last and self.coarsest.inverse is not None:
            csr.dense_product(self.coarsest.inverse, v.b, v.x)
            return
        for visit in range(self.visits(index)):
            self._smooth_coarse(index, work, backward=False, from_zero=visit == 0)
            if index < last:
                c, hop = work.levels[index + 1], self.transfers[index]
                self._residual_coarse(index, work)
                hop.restrict(v.r, c.b)
                self._coarse_cycle(index + 1, work)
                hop.prolong(c.x, v.x)
            self._smooth_coarse(index, work, backward=True, from_zero=False)


class Vectors:
    def __init__(self, n: int):
        self.b, self.x, self.r = (np.zeros(n, np.float32) for _ in range(3))


class Workspace:
    """Vectors a cycle works on; one set per Python thread."""

    def __init__(self, M: CompiledCycle):
        grid = M.grid
        padded = grid.cells + grid.shape[2]
        self.b, self.x = np.zeros(grid.cells, np.float32), np.zeros(padded, np.float32)
        if M.smoother == "chebyshev":
            self.y, self.d = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
        self.dots = np.zeros(grid.shape[0])
        self.nothing = np.zeros(0)
        self.levels = [Vectors(level.n) for level in M.levels]
        self.e = self.levels[0].x if self.levels else np.zeros(1, np.float32)
        empty = np.zeros(0, np.int64)
        self.blocks = M.blocks or ((1, 1, 1), (1, 1, 1), empty, empty, empty, empty)
