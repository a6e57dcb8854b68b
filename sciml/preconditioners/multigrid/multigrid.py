"""Geometric multigrid as a preconditioner: one V- or W-cycle from a zero guess."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends.capabilities import require
from ...backends.grid import GRAIN_CELLS, Grid
from ...backends.kernels.numba import paired, transfer
from ...backends.namespace import backend_name, norm2, vdot
from ...backends.threads import parallel
from ...operators.base import BaseOperator
from ..unknowns import square_operator
from .aggregation import all_coarsened, block_factors
from .array_cycle import ArrayCycle
from .blocks import BlockLevel, first_coarse_level
from .cycle import CompiledCycle
from .hierarchy import Coarsest, SparseLevel, Transfer, coarsest_solve, next_level
from .parameters import CUT_UP, MAX_LEVELS

__all__ = ["Multigrid"]

STALLED = 0.8
"""A coarser level with more than this share of the unknowns is not worth its visit."""


class Multigrid(CompiledCycle, BaseOperator):
    """Symmetric positive definite multigrid cycle for a `PoissonOperator`, to be used as ``M`` in ``cg``.

    The finest level is matrix-free. Coarse cells are split by connectivity, so that thin walls and porous
    media take no more iterations than a box. Post-smoothing is the adjoint of pre-smoothing, which makes the
    cycle a symmetric positive definite linear map for every choice of the parameters below (``0 < omega <
    2``, scaling > 0). It runs in float32; residuals are normalised first, so the result scales exactly with
    its input's size.

    Parameters
    ----------
    A : PoissonOperator
        Provides ``grid3, weights3, periodic3, code, diagonal_table, faces`` (and ``diagonal3`` with faces).
    omega : float or sequence of float, optional
        Relaxation of the red-black smoother, one per level (the last repeats).
    sweeps : int or sequence of int
        Smoothing sweeps before and after the coarse correction, one per level (the last repeats). More on the
        small deep levels cost next to nothing and keep iterations from growing with size.
    cycle : {"V", "W"}
        W visits every level below the first coarse one, but the last, twice as often as the one above it.
    coarse_scaling : float or sequence of float
        Factor of the Galerkin operator of piecewise constant interpolation; 1/2 is Braess' over-correction.
        From the third coarse level on a W-cycle takes at least 0.55: with more over-correction two visits
        could be indefinite.
    smooth_from : int, "auto" or None
        First level whose prolongation is smoothed; None never smooths. Smoothing makes coarse matrices
        denser and set-up dearer, and pays where walls or jumps cut blocks into pieces: "auto" begins at
        level 2 where they do, or coefficients vary, and at level 3 elsewhere. From the first coarse level on
        it is smoothed, unless never, where an axis is too weakly coupled to be coarsened; four blocks along
        each of the others are joined there.
    damping : float or sequence of float
        Of the Jacobi step that smooths a prolongation, one per smoothed level (the last repeats).
    strength : float, optional
        Unknowns of a block are joined where their coupling is at least this share of the geometric mean of
        their diagonals; weaker ones are left out when a prolongation is smoothed. By default 0.005, and 0.05
        with variable coefficients, where it keeps both sides of a jump apart, or axes of unequal coupling.
    smoother : {"red-black", "chebyshev"}
        Chebyshev is taken by itself where an odd periodic axis rules out two colours on the grid.
    split : bool
        False joins all cells of a block: the textbook cycle, a baseline.
    interpolation : {"constant"}
        Interpolation from the first coarse level to the grid.
    coarsest_size : int
        Largest number of unknowns solved directly.

    Attributes
    ----------
    parameters : dict
        The arguments above, with which the same cycle is set up for another operator.

    Notes
    -----
    References: D. Braess, "Towards algebraic multigrid for elliptic problems of second order", Computing 55
    (1995) 379-393 (over-correction); P. Vaněk, J. Mandel, M. Brezina, "Algebraic multigrid by smoothed
    aggregation", Computing 56 (1996) 179-196.
    """

    def __init__(
        self,
        A: Any,
        *,
        omega: float | Sequence[float] | None = None,
        sweeps: int | Sequence[int] = (2, 2, 2, 4),
        cycle: str = "V",
        coarse_scaling: float | Sequence[float] = 0.5,
        smooth_from: int | str | None = "auto",
        damping: float | Sequence[float] = 2.0 / 3.0,
        strength: float | None = None,
        smoother: str = "red-black",
        split: bool = True,
        interpolation: str = "constant",
        coarsest_size: int = 200,
    ):
        if not hasattr(A, "grid3"):
            A = square_operator("M:multigrid", A)
            raise TypeError(
                f"Multigrid expects a PoissonOperator, but A is a {type(A).__name__} (AMG takes matrices)"
            )
        require("M:multigrid", getattr(A, "backend", "numpy"))
        start = time.perf_counter()
        self._set_parameters(
            {
                "omega": omega, "sweeps": sweeps, "cycle": cycle, "coarse_scaling": coarse_scaling,
                "smooth_from": smooth_from, "damping": damping, "strength": strength, "smoother": smoother,
                "split": split, "interpolation": interpolation, "coarsest_size": coarsest_size,
            }
        )  # fmt: skip
        super().__init__(A.in_shape, A.in_shape, np.float32, {"symmetric", "positive_definite"})
        self._outside = float(A.diagonal_table[-1])  # the equation of cells without an unknown
        self._build(A)
        self.smoother = smoother if self.grid.two_colourable else "chebyshev"
        self._local = threading.local()
        self._prepare()
        self.backend = getattr(A, "backend", "numpy")
        self._array_cycle = None if self.backend == "numpy" else ArrayCycle(self, A)
        self.setup_seconds = time.perf_counter() - start

    # ------------------------------------------------------------------------------------------ set-up

    def _build(self, A: Any) -> None:
        self.grid: Grid = getattr(A, "kernel_grid", None) or Grid.from_operator(A)
        self._unit = self.grid.unit
        natural = self.grid.stencil(np.float32, self._unit)
        shift = float(np.min(getattr(A, "shift", 0.0))) / self._unit
        self.transfers: list[Transfer] = []
        self.blocks: Any = None
        grid, weights = self.grid, self.grid.weights
        factors = block_factors(grid.shape, weights)
        self._fit(all_coarsened(factors, grid.shape), grid.faces is not None)
        self.coarsest = Coarsest(None)
        self.levels: list[BlockLevel | SparseLevel] = []
        if max(factors) == 1:
            self._stencil = grid.pair(natural)
            return
        # Constant weights are exact in float64; those of faces are shared with the cycle.
        exact = grid.stencil(np.float64, self._unit) if grid.faces is None else natural
        self.blocks, first = first_coarse_level(
            grid,
            exact,
            factors,
            split=self.split,
            coarse_scaling=self._coarse_scaling(0),
            shift=shift,
            strength=self.strength,
        )
        self._stencil = grid.pair(natural)
        level: BlockLevel | SparseLevel = first
        if first.unknowns <= self.coarsest_size or not first.two_colourable:
            # Solved directly, or smoothed with more than two colours: either way in CSR.
            matrix = first.sparse()
            matrix.colour(not first.coupled, grid.periodic)
            level = matrix
        self.levels = [level]
        self._coarsen(level, factors, weights, shift, grid.periodic)

    def _coarsen(self, level, factors, weights, shift: float, periodic) -> None:
        """The levels below `level`, the last one there is, and the direct solve on the coarsest."""
        while level.unknowns > self.coarsest_size and len(self.levels) < MAX_LEVELS:
            if shift > 0 and level.smoothing_suffices():
                break
            weights = tuple(w / f**2 for w, f in zip(weights, factors, strict=True))
            depth = len(self.levels)
            if self._auto and depth == 2 and level.pieces() < CUT_UP:
                self._smooth_from = 3
            factors, damping = self._coarser(depth, level.block_shape, weights)
            if max(factors) == 1:
                break
            settings = {
                "split": self.split,
                "coarse_scaling": self._coarse_scaling(depth),
                "strength": self.strength,
                "damping": damping,
            }
            made = next_level(level, factors, **settings)
            if made is not None and made[1].unknowns > STALLED * level.unknowns:
                # Weakly joined pieces (islands of a coefficient) hardly merge: try larger blocks.
                factors = (factors[0] ** 2, factors[1] ** 2, factors[2] ** 2)
                made = next_level(level, factors, **settings)
            if made is None or made[1].unknowns > STALLED * level.unknowns:
                break
            hop, coarse = made
            level = coarse
            level.colour(damping == 0.0, periodic)
            self.transfers.append(hop)
            self.levels.append(level)
        last = self.levels[-1]
        if isinstance(last, SparseLevel) and last.n <= 3 * self.coarsest_size:
            self.coarsest = coarsest_solve(last)

    def _prepare(self) -> None:
        if self.levels and isinstance(self.levels[0], BlockLevel):
            self._block_stencil = self.levels[0].stencil()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_local"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    # ------------------------------------------------------------------------------------------ use

    def apply_scaled(self, r: np.ndarray, norm: float | None = None) -> tuple[np.ndarray, float, float]:
        """One cycle for fused solvers, without a copy of its result.

        Parameters
        ----------
        r : array of float64
            Flat residual, at least as long as the grid.
        norm : float, optional
            Its Euclidean norm, when known.

        Returns
        -------
        z : array of float32
            Work vector (valid until the next call from this Python thread) with ``M r = factor * z``, in the
            paired layout: even cells of each row first.
        factor : float
        rz : float
            ``r · M r``.
        """
        cells = self.grid.cells
        if norm is None:
            # Dividing by the largest entry first keeps squares in range.
            peak = float(np.abs(r[:cells]).max(initial=0.0))
            norm = peak * norm2(r[:cells] / peak) if 0 < peak < np.inf else peak
        work = self._workspace()
        if not norm > 0 or not np.isfinite(norm):
            work.x[:] = 0 if norm == 0 else np.nan
            return work.x, 1.0, 0.0 if norm == 0 else np.nan
        scale = np.sqrt(self.grid.unknowns) / norm
        dots = work.dots
        z = self._run(r, scale, dots)
        factor = 1.0 / (scale * self._unit)
        return z, factor, float(dots.sum()) * factor / scale

    def apply_dot(self, r: np.ndarray) -> tuple[np.ndarray, float]:
        """``M r`` and the real part of ``⟨r, M r⟩``, in one pass where compiled kernels run."""
        if backend_name(r) != self.backend:
            raise TypeError(
                f"the vector is a {backend_name(r)} array; this Multigrid expects {self.backend} arrays"
            )
        if self._array_cycle is not None:
            z = self._array_cycle(r)
            return z, vdot(r, z).real
        if r.dtype.kind == "c":
            (z, real), (w, imaginary) = self.apply_dot(r.real), self.apply_dot(r.imag)
            return (z + 1j * w).astype(r.dtype, copy=False), real + imaginary
        flat = np.ascontiguousarray(r, np.float64).reshape(-1)
        work, factor, dot = self.apply_scaled(flat)
        z = np.empty(self.grid.cells)
        rows, n = self.grid.shape[0] * self.grid.shape[1], self.grid.shape[2]
        parallel(paired.unpair_rows, rows, work, z, n, grain=max(1, GRAIN_CELLS // n))
        z *= factor
        if self.grid.unknowns < self.grid.cells:
            blank = self.grid.q == self.grid.none
            z[blank] = flat[blank] / self._outside
            dot += float(flat[blank] @ z[blank])
        return z.reshape(r.shape).astype(r.dtype, copy=False), dot

    def _apply(self, r: np.ndarray) -> np.ndarray:
        return self.apply_dot(r)[0]

    # ------------------------------------------------------------------------------------------ information

    def level_matrices(self) -> list[tuple[Any, Any]]:
        """``(A, P)`` of every coarse level as SciPy CSR; P prolongs from the next level (None at the end)."""
        from scipy.sparse import csr_matrix

        out = []
        for index, level in enumerate(self.levels):
            if isinstance(level, BlockLevel):
                level = level.sparse()
            A = csr_matrix((level.data * self._unit, level.indices, level.indptr), shape=(level.n, level.n))
            P = None
            if index < len(self.transfers):
                P = self.transfers[index].sparse()
            out.append((A, P))
        return out

    def grid_prolongation(self) -> Any:
        """Piecewise constant P from the first coarse level to the grid, as SciPy CSR."""
        from scipy.sparse import csr_matrix

        owner = np.full(self.grid.cells, -1, np.int64)
        n = self.grid.shape[0]
        parallel(transfer.owners, n, owner, self.grid.stencil(np.float32), self.blocks, grain=self.grid.grain)
        rows = np.flatnonzero(owner >= 0)
        shape = (self.grid.cells, self.levels[0].n)
        return csr_matrix((np.ones(rows.size), (rows, owner[rows])), shape=shape)

    def bytes_per_cycle(self, fused: bool = True) -> int:
        """Bytes one cycle must move, every array counted once per pass that reads or writes it.

        Parameters
        ----------
        fused : bool
            False counts a pass for every sweep, and one for loading the residual, as if none were fused: what
            a cycle that runs sweep by sweep at the speed of memory would have to move.
        """
        cells, q = self.grid.cells, self._stencil[2].itemsize + (12 if self.grid.faces is not None else 0)
        load, zero, sweep, restriction = 8 + 4, 4 + q + 4, 4 + q + 4 + 4, 4 + q + 4
        sweeps = self._sweeps(0)
        fused = fused and self.smoother == "red-black" and not self.grid.periodic[0]
        if fused:
            total = cells * (load + q + 4 + restriction + sweep)
        else:
            total = cells * (load + zero + restriction + (2 * sweeps - 1) * sweep)
        visits = 1
        for index, level in enumerate(self.levels):
            if index == len(self.levels) - 1 and self.coarsest.inverse is not None:
                total += visits * self.coarsest.inverse.nbytes
                continue
            visits *= self.visits(index)
            passes = 2 * self._sweeps(index + 1)
            if isinstance(level, BlockLevel):
                matrix = 16 * level.q.size + 8 * level.extras[9].size
                passes = 2 if fused else passes
            else:
                matrix = level.nnz * 8 + level.n * 8
            total += visits * (passes * (matrix + 16 * level.n) + matrix + 12 * level.n)
            if index < len(self.transfers):
                total += visits * (self.transfers[index].nbytes + 12 * level.n)
        return int(total)

    @property
    def nbytes(self) -> int:
        """Bytes held by the hierarchy (without work vectors)."""
        total = self._stencil[2].nbytes + sum(f.nbytes for f in self._stencil[7] or ())
        if self.blocks is not None:
            total += sum(a.nbytes for a in self.blocks[2:])
        total += sum(level.nbytes for level in self.levels)
        total += sum(hop.nbytes for hop in self.transfers)
        if self.coarsest.inverse is not None:
            total += self.coarsest.inverse.nbytes
        return int(total)

    @property
    def operator_complexity(self) -> float:
        """Non-zeros of all levels over those of the 5/7-point matrix of the grid."""
        axes = sum(n > 1 for n in self.grid.shape)
        finest = (2 * axes + 1) * self.grid.unknowns
        return 1.0 + sum(level.nnz for level in self.levels) / max(1, finest)

    def __repr__(self) -> str:
        lines = [
            f"Multigrid {self.cycle}-cycle, {1 + len(self.levels)} levels, "
            f"set-up {self.setup_seconds:.3f} s, "
            f"{self.nbytes / 2**20:.1f} MiB, operator complexity {self.operator_complexity:.2f}",
            "level    unknowns   non-zeros  colours  smoother",
        ]
        colours = 2 if self.smoother == "red-black" else 1
        lines.append(
            f"{0:5d}{self.grid.unknowns:12d}  {'matrix-free':>10}{colours:9d}  "
            f"{self.smoother} x{self._sweeps(0)}"
        )
        for index, level in enumerate(self.levels):
            last = index == len(self.levels) - 1 and self.coarsest.inverse is not None
            name = "direct" if last else f"Gauss-Seidel x{self._sweeps(index + 1)}"
            lines.append(f"{index + 1:5d}{level.unknowns:12d}  {level.nnz:10d}{level.colours:9d}  {name}")
        return "\n".join(lines)
