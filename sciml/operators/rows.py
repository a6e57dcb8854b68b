"""Rows of matrices by batches of numbers, norms, and checks of what finite sums are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

from ..backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    device,
    dtype_name,
    from_numpy,
    is_array,
    is_complex,
    norm2,
)
from .adapt import is_dense

__all__ = [
    "check_finite",
    "operator_norm",
    "positive_constant",
    "refuse_not_monotone",
    "row_norms2",
    "rows_of",
    "take",
]


class rows_of:  # noqa: N801 -- reads as a function: rows_of(matrix).combine(...)
    """Access to the rows of a dense array or a SciPy sparse matrix by a batch of numbers."""

    def __new__(cls, matrix: Any) -> Any:
        return super().__new__(cls) if scipy.sparse.issparse(matrix) or is_dense(matrix) else None

    def __init__(self, matrix: Any):
        self.matrix = matrix.tocsr() if scipy.sparse.issparse(matrix) else matrix

    def take(self, batch: np.ndarray) -> Any:
        """The rows numbered by `batch`."""
        if not is_dense(self.matrix):
            return self.matrix[batch]
        return take(self.matrix, batch)

    def combine(self, batch: np.ndarray, weights: Array) -> Array:
        """``Σ_{i in batch} weights[i] row_i``."""
        rows = self.take(batch)
        chosen = take(weights, batch)
        return rows.T @ chosen if not is_dense(rows) else chosen @ rows

    def normal(self, batch: np.ndarray, d: Array, weights: np.ndarray) -> Array:
        """``Σ_{i in batch} weights_i row_i* (row_i d)``."""
        rows = self.take(batch)
        xp = array_namespace(d)
        products = (rows @ d) * xp.asarray(weights, dtype=d.dtype, device=device(d))
        if is_dense(rows):
            return products @ (xp.conj(rows) if is_complex(rows) else rows)
        return rows.conj().T @ products


def take(x: Array, batch: np.ndarray) -> Array:
    """Entries (rows) of `x` by NumPy indices, which are moved to the device of `x`."""
    if isinstance(x, np.ndarray):
        return x[batch]
    xp = array_namespace(x)
    return xp.take(x, from_numpy(batch, backend_name(x), device=device(x)), axis=0)


def row_norms2(matrix: Any) -> np.ndarray:
    """Squared norms of the rows, on the host."""
    if scipy.sparse.issparse(matrix):
        return np.asarray(abs(matrix).power(2).sum(axis=1)).reshape(-1)
    if isinstance(matrix, np.ndarray):
        return np.einsum("ij,ij->i", matrix, matrix.conj()).real
    xp = array_namespace(matrix)
    sums = xp.sum(xp.abs(matrix) ** 2, axis=1)
    return np.array([float(s) for s in sums])


def operator_norm(
    apply: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    like: Array,
    *,
    tangent: Callable[[Array], Array] | None = None,
    rtol: float = 1e-3,
    maxiter: int = 200,
) -> float:
    """The largest singular value by power iteration, raised by one per cent so that steps stay safe.

    Parameters
    ----------
    apply, adjoint : callables
    like : array
        Gives shape, dtype, namespace and device of the domain.
    tangent : callable, optional
        Orthogonal projection to a subspace on which the norm is wanted.
    rtol : float
        Stop when two estimates differ by less, relatively.

    Raises
    ------
    ValueError
        If the operator returns values that are not finite, or vanishes.
    """
    xp = array_namespace(like)
    # The same start in every namespace; a fixed seed so that set-up is reproducible.
    draw = np.random.default_rng(0).standard_normal(tuple(like.shape))
    x = xp.astype(from_numpy(draw, backend_name(like), device=device(like)), like.dtype)
    x = x if tangent is None else tangent(x)
    estimate = 0.0
    for _ in range(maxiter):
        length = norm2(x)
        if not math.isfinite(length) or length == 0.0:
            break
        y = adjoint(apply(x / length))
        x = y if tangent is None else tangent(y)
        previous, estimate = estimate, math.sqrt(norm2(x))
        if abs(estimate - previous) <= rtol * estimate:
            break
    if not math.isfinite(estimate):
        raise ValueError("the operator returns values that are not finite; its norm cannot be estimated")
    if estimate == 0.0:
        raise ValueError(
            "the operator vanishes on the feasible directions; its Lipschitz constant would be zero"
        )
    return 1.01 * estimate


def positive_constant(value: Any, name: str) -> float:
    """`value` as a float, or a `ValueError` that names it."""
    if (
        not isinstance(value, int | float | np.floating | np.integer)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} is {value!r}; expected a positive finite number")
    return float(value)


def refuse_not_monotone(matrix: Any, name: str) -> None:
    """Raise `ValueError` if the symmetric part of a small NumPy or SciPy matrix is not semidefinite."""
    if scipy.sparse.issparse(matrix) and matrix.shape[0] <= 500:
        matrix = matrix.toarray()
    if not isinstance(matrix, np.ndarray) or not 0 < matrix.shape[0] <= 500:
        return
    scale = float(np.abs(matrix).max())
    if not math.isfinite(scale):
        raise ValueError(f"{name} holds a value that is not finite (NaN or infinity)")
    smallest = float(scipy.linalg.eigvalsh(matrix + matrix.conj().T, subset_by_index=[0, 0])[0]) / 2
    if smallest < -1e-6 * scale * (1e-4 if matrix.dtype.itemsize >= 8 else 1.0) * matrix.shape[0]:
        raise ValueError(
            f"the symmetric part of {name} has the eigenvalue {smallest:.3e}; F would not be monotone"
        )


def check_finite(x: Any, name: str) -> None:
    """Raise unless `x` is an array of finite floating or complex numbers."""
    if not is_array(x):
        raise TypeError(f"{name} is a {type(x).__name__}; expected an array")
    if not dtype_name(x).startswith(("float", "complex")):
        raise TypeError(f"{name} has dtype {dtype_name(x)}; expected a floating or complex dtype")
    if not math.isfinite(norm2(x)):
        raise ValueError(f"{name} holds a value that is not finite (NaN or infinity)")
