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

from ...backends.namespace import Array, array_namespace, dtype_name, from_numpy, sparse_from_scipy
from .chebyshev import chebyshev_coefficients

if TYPE_CHECKING:
    from .multigrid import Multigrid

__all__ = ["ArrayCycle"]


@dataclass
class _Level:
    """``A`` (a callable), the inverse diagonal, the transfer to the next level and its smoother's recursion."""

    apply: Any
    inverse_diagonal: Array
    coefficients: list[tuple[float, float]]
    prolongation: Any = None
    restriction: Any = None


class ArrayCycle:
    """A V-cycle on flat arrays of the operator's backend.

    Parameters
    ----------
    M : Multigrid
        Whose hierarchy and settings are used.
    A : PoissonOperator
        Made for the backend and device in question.
    dtype : str
        Precision of the cycle.
    """

    def __init__(self, M: Multigrid, A: Any, dtype: str):
        backend, place = A.backend, A._device
        self._shape = A.in_shape
        self.levels: list[_Level] = []

        def put(values: np.ndarray) -> Array:
            return from_numpy(values.astype(dtype), backend, place)

        def matrix(values: scipy.sparse.csr_array) -> Any:
            return sparse_from_scipy(values.astype(dtype), backend, place)

        def stencil(x: Array) -> Array:
            xp = array_namespace(x)
            return xp.reshape(A._apply_sliced(xp.reshape(x, self._shape)), (-1,))

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
            level = _Level(held.__matmul__, put(inverse), coefficients)
            if P is not None:
                level.prolongation, level.restriction = matrix(P), matrix(P.T.tocsr())
            self.levels.append(level)
        inverse = M.coarsest.inverse
        self._coarsest = None if inverse is None else put(inverse / M._unit)

    def __call__(self, r: Array) -> Array:
        """One cycle from a zero guess on the flat residual `r`, in the precision of the cycle."""
        return self._cycle(0, r)

    def _cycle(self, depth: int, b: Array) -> Array:
        last = depth == len(self.levels) - 1
        if last and self._coarsest is not None:
            return self._coarsest @ b
        level = self.levels[depth]
        x = self._smooth(level, b * 0, b, zero=True)
        if not last:
            r = b - level.apply(x)
            x = x + level.prolongation @ self._cycle(depth + 1, level.restriction @ r)
        return self._smooth(level, x, b)

    @staticmethod
    def _smooth(level: _Level, x: Array, b: Array, zero: bool = False) -> Array:
        d = None
        for a, c in level.coefficients:
            correction = level.inverse_diagonal * (b if zero else b - level.apply(x))
            d = c * correction if d is None else a * d + c * correction
            x = x + d
            zero = False
        return x


def single_precision(r: Array) -> Array:
    """`r` in the float32 dtype of its library."""
    xp = array_namespace(r)
    return r if dtype_name(r) == "float32" else xp.astype(r, xp.float32)
