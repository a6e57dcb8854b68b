"""Line-smoothed multigrid: the classical answer to anisotropy, a baseline for `learned_multigrid.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve_banded
from scipy.sparse.linalg import splu

from sciml.operators.base import BaseOperator

__all__ = ["LineMultigrid"]


class LineMultigrid(BaseOperator):
    """A V(1,1) cycle with full coarsening, smoothed by damped line Jacobi along every axis in turn.

    Pre-smoothing goes through the axes forwards and post-smoothing backwards, so the cycle is symmetric.
    Blocks of 2 cells per axis are joined; coarse operators are half the Galerkin ones. The lines of a level
    are one banded system, so the code is short and its seconds are those of SciPy.
    """

    def __init__(self, A: Any, damping: float = 0.7):
        super().__init__(A.in_shape, A.in_shape, np.float64, {"symmetric", "positive_definite"})
        self.damping = damping
        matrix, shape = sp.csr_array(A.tocsr()), tuple(A.in_shape)
        self.levels: list[tuple[Any, list[Any], Any]] = []
        while matrix.shape[0] > 300 and max(shape) > 2:
            coarse_shape = tuple(-(-n // 2) for n in shape)
            where = np.meshgrid(*(np.arange(n) // 2 for n in shape), indexing="ij")
            owner = np.ravel_multi_index([w.ravel() for w in where], coarse_shape)
            size = (owner.size, int(np.prod(coarse_shape)))
            P = sp.csr_array((np.ones(owner.size), (np.arange(owner.size), owner)), shape=size)
            self.levels.append((matrix, [_Lines(matrix, shape, axis) for axis in range(len(shape))], P))
            matrix, shape = sp.csr_array(0.5 * (P.T @ matrix @ P)), coarse_shape
        self.coarsest = splu(sp.csc_matrix(matrix))

    def _apply(self, r: np.ndarray) -> np.ndarray:
        return self._cycle(0, np.asarray(r, float).reshape(-1)).reshape(r.shape).astype(r.dtype)

    def _cycle(self, depth: int, b: np.ndarray) -> np.ndarray:
        if depth == len(self.levels):
            return self.coarsest.solve(b)
        matrix, smoothers, P = self.levels[depth]
        x = np.zeros_like(b)
        for lines in smoothers:
            x += self.damping * lines.solve(b - matrix @ x)
        x += P @ self._cycle(depth + 1, P.T @ (b - matrix @ x))
        for lines in reversed(smoothers):
            x += self.damping * lines.solve(b - matrix @ x)
        return x


class _Lines:
    """The tridiagonal part of a matrix along one axis, over all lines at once."""

    def __init__(self, matrix: Any, shape: tuple[int, ...], axis: int):
        number = np.moveaxis(np.arange(matrix.shape[0]).reshape(shape), axis, -1)
        self.order = number.reshape(-1)
        permuted = matrix[self.order][:, self.order]
        upper = permuted.diagonal(1).copy()
        upper[shape[axis] - 1 :: shape[axis]] = 0.0  # from the end of a line to the next
        self.bands = np.zeros((3, self.order.size))
        self.bands[0, 1:], self.bands[2, :-1] = upper, upper
        self.bands[1] = permuted.diagonal()

    def solve(self, r: np.ndarray) -> np.ndarray:
        x = np.empty_like(r)
        x[self.order] = solve_banded((1, 1), self.bands, r[self.order])
        return x
