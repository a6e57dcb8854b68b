"""Smoothers of the distributed levels, as PETSc calls them: each runs its sweeps in one ``solve``.

Where the serial cycle relaxes colour by colour, these do the same with an exchange of ghost values between
colours, so the iterates are the serial ones whatever the number of ranks.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..backends.kernels.numba.half_sweep import half_sweep
from ..preconditioners.multigrid.chebyshev import chebyshev_coefficients
from .engine import load_mpi, load_petsc, world
from .hierarchy import Below
from .poisson import DistributedPoisson

__all__ = ["ChebyshevSmoother", "ColourParts", "ColourSmoother", "RedBlackSmoother", "Redundant"]

_DONE = 4  # KSP_CONVERGED_ITS


class RedBlackSmoother:
    """Red-black over-relaxation on the grid, matrix-free.

    Parameters
    ----------
    A : DistributedPoisson
    omega : float
    sweeps : int
    """

    def __init__(self, A: DistributedPoisson, omega: float, sweeps: int):
        self._A, self._sweeps = A, sweeps
        self._grid, self._stencil = A.local.kernel_grid, A.local.kernel_grid.stencil(np.float64)
        self._comb = np.zeros(self._grid.shape[2] + 2)
        self._comb[::2] = omega
        self._x, self._view, self._b = A.scratch
        origin = sum(A.halo.start) & 1  # colours are those of the whole grid
        self._colours = (origin, 1 ^ origin)

    def adjoint(self) -> RedBlackSmoother:
        """Black before red, with the same work arrays."""
        other = copy.copy(self)
        other._colours = self._colours[::-1]
        return other

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """Relax `x`, from zero where PETSc says so."""
        A, halo = self._A, self._A.halo
        self._b[: halo.cells].reshape(halo.shape)[halo.inner] = b.array_r.reshape(A.in_shape)
        current = not ksp.getInitialGuessNonzero()  # whether the ghost cells are those of x
        if current:
            self._x[:] = 0
        own = self._x[: halo.cells].reshape(halo.shape)[halo.inner]
        out = x.array.reshape(A.in_shape)
        planes = self._grid.shape[0]
        for _ in range(self._sweeps):
            for colour in self._colours:
                # PETSc's exchange within ghosted arrays would be shorter, but holds three more of them.
                if not current:
                    halo.dm.globalToLocal(x, self._view)
                half_sweep(0, planes, colour, self._x, self._b, self._stencil, self._comb)
                out[...] = own
                current = False
        ksp.setConvergedReason(_DONE)


class ColourParts:
    """The rows of a matrix by colour, each colour a matrix of its own.

    Parameters
    ----------
    A : petsc4py.PETSc.Mat
    colour : ndarray of int
        Of each of this rank's rows; rows of one colour do not couple.
    """

    def __init__(self, A: Any, colour: np.ndarray):
        petsc = load_petsc()
        first, _ = A.getOwnershipRange()
        start, stop = A.getOwnershipRangeColumn()
        columns = petsc.IS().createStride(stop - start, start, 1, comm=A.comm)
        diagonal = A.getDiagonal().array_r
        inverse = np.where(diagonal > 0, 1.0 / np.where(diagonal > 0, diagonal, 1.0), 0.0)
        self.parts = []
        for c in range(world(A.comm).allreduce(int(colour.max(initial=0)), op=load_mpi().MAX) + 1):
            rows = np.flatnonzero(colour == c)
            where = petsc.IS().createGeneral((rows + first).astype(petsc.IntType), comm=A.comm)
            part = A.createSubMatrix(where, columns)
            self.parts.append((rows, part, part.createVecLeft(), inverse[rows]))


class ColourSmoother:
    """Over-relaxation of a sparse level, one colour after the other.

    Parameters
    ----------
    colours : ColourParts
    omega : float
    sweeps : int
    backward : bool
        The last colour first, the adjoint of the sweep before the coarse correction.
    """

    def __init__(self, colours: ColourParts, omega: float, sweeps: int, backward: bool = False):
        self._parts = colours.parts[::-1] if backward else colours.parts
        self._omega, self._sweeps = omega, sweeps

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """Relax `x`, from zero where PETSc says so."""
        zero = not ksp.getInitialGuessNonzero()
        if zero:
            x.set(0)
        for _ in range(self._sweeps):
            for rows, part, product, inverse in self._parts:
                residual = b.array_r[rows]
                if not zero:
                    part.mult(x, product)
                    residual -= product.array_r
                zero = False
                x.array[rows] += self._omega * inverse * residual
        ksp.setConvergedReason(_DONE)


class ChebyshevSmoother:
    """A Chebyshev polynomial in ``D⁻¹A``, its own adjoint, for levels without few colours."""

    def __init__(self, A: Any, sweeps: int, upper: float | None = None):
        diagonal = A.getDiagonal()
        self._inverse = diagonal.duplicate()
        values = diagonal.array_r
        self._inverse.array[:] = np.where(values > 0, 1.0 / np.where(values > 0, values, 1.0), 0.0)
        self._A = A
        self._d, self._r = A.createVecs()
        if upper is None:
            indptr, _, data = A.getValuesCSR()
            sums = np.add.reduceat(np.abs(data), indptr[:-1]) if data.size else np.zeros(0)
            bound = float((sums * self._inverse.array_r).max(initial=1.0))  # Gershgorin
            upper = max(world(A.comm).allgather(bound))
        self._coefficients = chebyshev_coefficients(2 * sweeps, upper)

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """Improve `x`, from zero where PETSc says so."""
        zero = not ksp.getInitialGuessNonzero()
        if zero:
            x.set(0)
        d, r = self._d, self._r
        d.set(0)
        for a, c in self._coefficients:
            if zero:
                b.copy(r)
                zero = False
            else:
                self._A.mult(x, r)
                r.aypx(-1.0, b)
            r.pointwiseMult(r, self._inverse)
            d.scale(a)
            d.axpy(c, r)
            x.axpy(1.0, d)
        ksp.setConvergedReason(_DONE)


class Redundant:
    """The serial cycle on the levels every rank holds: one gathering, then no communication at all."""

    def __init__(self, below: Below, order: np.ndarray, b: Any):
        petsc = load_petsc()
        self._below, self._order = below, order
        self._scatter, self._whole = petsc.Scatter.toAll(b)
        self._first, self._last = b.getOwnershipRange()

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """One cycle from zero."""
        self._scatter.scatter(b, self._whole)
        right = self._whole.array_r[self._order]
        norm = float(np.linalg.norm(right))
        solution = np.zeros(right.size)
        if norm > 0:
            # Normalised, so that nothing is too small or too large for the cycle's single precision.
            solution[self._order] = self._below.cycle_from(right / norm) * (norm / self._below._unit)
        x.array[:] = solution[self._first : self._last]
        ksp.setConvergedReason(_DONE)
