"""Diagonal scaling."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array, array_namespace, is_complex
from ..operators import BaseOperator, as_operator

__all__ = ["Jacobi"]


class Jacobi(BaseOperator):
    """Division by the diagonal of `A`. Runs in every array library.

    Parameters
    ----------
    A : operator or matrix
        With a ``diagonal()`` free of zeros.

    Raises
    ------
    ValueError
        For a diagonal entry that is zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import cg
    >>> from sciml.preconditioners import Jacobi
    >>> A = np.diag([1.0, 10.0, 100.0])
    >>> cg(A, np.ones(3), M=Jacobi(A)).iterations
    1
    """

    def __init__(self, A: Any):
        A = as_operator(A)
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"A has shape {A.shape}; Jacobi expects a square operator")
        try:
            diagonal = A.diagonal()
        except NotImplementedError:
            raise TypeError(
                f"Jacobi needs the diagonal of A, but {type(A).__name__} does not know it; "
                "expected an operator with diagonal()"
            ) from None
        xp = array_namespace(diagonal)
        bad = ~xp.isfinite(diagonal) | (diagonal == 0)
        if bool(xp.any(bad)):
            row = int(xp.argmax(xp.astype(bad, xp.int8)))
            raise ValueError(
                f"A has the diagonal entry {diagonal[row]} in row {row}; Jacobi expects finite non-zeros"
            )
        properties = {"linear"}
        real = not is_complex(diagonal) or not bool(xp.any(xp.imag(diagonal) != 0))
        if real:
            diagonal = xp.real(diagonal) if is_complex(diagonal) else diagonal
            properties.add("symmetric")
            if bool(xp.all(diagonal > 0)):
                properties.add("positive_definite")
        super().__init__(A.in_shape, A.out_shape, A.dtype, properties)
        self._inverse = xp.reshape(1 / diagonal, A.in_shape)

    def _apply(self, x: Array) -> Array:
        array_namespace(x, self._inverse)  # refuses a mixture of libraries
        return self._inverse * x

    def _apply_adjoint(self, y: Array) -> Array:
        xp = array_namespace(y, self._inverse)
        return (xp.conj(self._inverse) if is_complex(self._inverse) else self._inverse) * y

    def diagonal(self) -> Array:
        return array_namespace(self._inverse).reshape(self._inverse, (-1,))
