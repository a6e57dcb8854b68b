"""What preconditioners built from matrix entries share: checks, and the unknowns among the cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.namespace import Array, is_array, require_numpy
from ..operators import BaseOperator, PoissonOperator, as_operator

__all__ = ["EntryPreconditioner", "hermitian_defect", "is_hermitian"]

ELSEWHERE = "Jacobi, which runs in every array library"


class EntryPreconditioner(BaseOperator):
    """A preconditioner set up from the entries of `A` on the CPU.

    A subclass defines ``_solve(r)``: on a matrix for vectors of its size; on a `PoissonOperator` for vectors
    of its unknowns only. Cells without an unknown carry the equation ``s x = b``, which is solved exactly; on
    a singular operator the null space is projected off both sides, which keeps the map symmetric.

    Attributes
    ----------
    A : BaseOperator
        What it was set up for.
    """

    def __init__(self, A: Any, properties: Iterable[str]):
        super().__init__(A.in_shape, A.out_shape, A.dtype, properties)
        self.A = A
        self._grid = isinstance(A, PoissonOperator)
        self._all_unknown = not self._grid or A.unknowns.size == A.shape[0]

    def _solve(self, r: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not define _solve")

    def _apply(self, x: Array) -> Array:
        require_numpy(type(self).__name__, x, ELSEWHERE, argument="the vector")
        singular = getattr(self.A, "singular", None)
        r = np.ascontiguousarray(x if singular is None else self.A.project(x)).reshape(-1)
        if self._all_unknown:
            z = self._solve(r)
        else:
            z = r / r.dtype.type(self.A.diagonal_table[255])
            z[self.A.unknowns] = self._solve(r[self.A.unknowns])
        z = z.reshape(x.shape)
        return z if singular is None else self.A.project(z)


def square_numpy_operator(name: str, A: Any) -> Any:
    """`A` as a square operator whose vectors are NumPy arrays, or a clear error."""
    operator = as_operator(A)
    if operator.shape[0] != operator.shape[1]:
        raise ValueError(f"A has shape {operator.shape}; {name} expects a square operator")
    backend = getattr(operator, "backend", "numpy")
    if backend != "numpy":
        raise TypeError(f"{name} runs on NumPy arrays only, but A was made for {backend}; use {ELSEWHERE}")
    matrix = getattr(operator, "matrix", None)
    if is_array(matrix):
        require_numpy(name, matrix, ELSEWHERE, argument="A")
    elif matrix is not None and not scipy.sparse.issparse(matrix):
        raise TypeError(f"{name} runs on NumPy and SciPy matrices only, but A is from cupyx; use {ELSEWHERE}")
    return operator


def entries(name: str, A: Any) -> scipy.sparse.csr_array:
    """The CSR matrix of `A`, of its unknowns only on a grid; rows sorted, every entry finite."""
    if isinstance(A, PoissonOperator):
        return A.tocsr(unknowns_only=True)
    if not hasattr(A, "tocsr"):
        raise TypeError(
            f"{name} needs the entries of A, but A is a {type(A).__name__}; "
            "expected a matrix or a PoissonOperator"
        )
    csr = A.tocsr()
    if not np.all(np.isfinite(csr.data)):
        raise ValueError("A holds an entry that is not finite (NaN or infinity); expected finite numbers")
    return csr


def hermitian_defect(csr: scipy.sparse.csr_array) -> float:
    """``max |A − Aᴴ| / max |A|`` over the entries."""
    if csr.nnz == 0:
        return 0.0
    difference = csr - csr.conj().T.tocsr()
    return float(np.max(np.abs(difference.data), initial=0.0) / np.max(np.abs(csr.data)))


def is_hermitian(A: Any, csr: scipy.sparse.csr_array) -> bool:
    """Whether `A` declares it, or its entries show it to rounding."""
    rounding = 1e-5 if csr.dtype.itemsize // (1 + (csr.dtype.kind == "c")) == 4 else 1e-12
    return "symmetric" in A.properties or hermitian_defect(csr) <= rounding
