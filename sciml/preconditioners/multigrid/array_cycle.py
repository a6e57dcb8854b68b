"""The multigrid cycle in the array API, for libraries without compiled kernels (torch, CuPy).

The hierarchy is the one set up on the CPU; its matrices are copied once to the library and device of the
operator. Everything is products with sparse matrices and vector updates, so the smoother is a Chebyshev
polynomial in ``D⁻¹A``: as pre- and post-smoother it is its own adjoint, and the cycle stays symmetric
positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from ...backends.namespace import Array, array_namespace, from_numpy, norm2, sparse_from_scipy
from .chebyshev import chebyshev_coefficients

if TYPE_CHECKING:
    from .multigrid import Multigrid

__all__ = ["ArrayCycle"]


@dataclass
class _Level:
    """``A`` (a callable), inverse diagonal, transfer to the next level, the smoother's recursion, visits."""

    apply: Any
    inverse_diagonal: Array
    coefficients: list[tuple[float, float]]
    prolongation: Any = None
    restriction: Any = None
    visits: int = 1


class ArrayCycle:
    """A cycle on flat arrays of the operator's backend.

    Parameters
    ----------
    M : Multigrid
        Whose hierarchy and settings are used.
    A : PoissonOperator
        Made for the backend and device in question.
    """

    def __init__(self, M: Multigrid, A: Any):
        backend, place = A.backend, A._device
        self._dtype = M.dtype.name
        self.levels: list[_Level] = []

        def put(values: np.ndarray) -> Array:
            return from_numpy(values, backend, dtype=self._dtype, device=place)

        def matrix(values: scipy.sparse.csr_array) -> Any:
            return sparse_from_scipy(values.astype(self._dtype), backend, device=place)

        def stencil(x: Array) -> Array:
            xp = array_namespace(x)
            return xp.reshape(A._apply_sliced(xp.reshape(x, A.in_shape)), (-1,))

        # The stencil is diagonally dominant: no eigenvalue of D⁻¹A exceeds two.
        degree = 2 * M._sweeps(0)
        diagonal = A._diagonal_grid().reshape(-1)
        self.levels.append(_Level(stencil, put(1.0 / diagonal), chebyshev_coefficients(degree, 2.0)))
        matrices = M.level_matrices()
        if matrices:
            blocks = M.grid_prolongation()
            self.levels[0].prolongation, self.levels[0].restriction = matrix(blocks), matrix(blocks.T.tocsr())
        for depth, (csr, P) in enumerate(matrices, start=1):
            diagonal = csr.diagonal()
            with np.errstate(divide="ignore"):
                inverse = np.where(diagonal > 0, 1.0 / diagonal, 0.0)
            bound = float((abs(csr) @ np.ones(csr.shape[0]) * inverse).max(initial=1.0))  # Gershgorin
            held = matrix(csr)
            coefficients = chebyshev_coefficients(2 * M._sweeps(depth), bound)
            level = _Level(held.__matmul__, put(inverse), coefficients, visits=M.visits(depth - 1))
            if P is not None:
                level.prolongation, level.restriction = matrix(P), matrix(P.T.tocsr())
            self.levels.append(level)
        coarsest = M.coarsest.inverse
        self._coarsest = None if coarsest is None else put(coarsest / M._unit)

    def __call__(self, r: Array) -> Array:
        """One cycle from a zero guess; the result has the shape and dtype of `r`."""
        xp = array_namespace(r)
        if xp.isdtype(r.dtype, "complex floating"):
            return self(xp.real(r)) + 1j * self(xp.imag(r))
        norm = norm2(r)
        if norm == 0:
            return r * 1
        # Normalised first, so that no residual is too small or too large for the cycle's precision.
        b = xp.astype(xp.reshape(r / norm, (-1,)), getattr(xp, self._dtype))
        z = xp.reshape(self._cycle(0, b), tuple(r.shape))
        return norm * xp.astype(z, r.dtype)

    def _cycle(self, depth: int, b: Array) -> Array:
        last = depth == len(self.levels) - 1
        if last and self._coarsest is not None:
            return self._coarsest @ b
        level, x = self.levels[depth], b * 0
        for visit in range(level.visits):
            x = self._smooth(level, x, b, zero=visit == 0)
            if not last:
                r = b - level.apply(x)
                x = x + level.prolongation @ self._cycle(depth + 1, level.restriction @ r)
            x = self._smooth(level, x, b)
        return x

    @staticmethod
    def _smooth(level: _Level, x: Array, b: Array, zero: bool = False) -> Array:
        d = None
        for a, c in level.coefficients:
            correction = level.inverse_diagonal * (b if zero else b - level.apply(x))
            d = c * correction if d is None else a * d + c * correction
            x = x + d
            zero = False
        return x
