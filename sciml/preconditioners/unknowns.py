"""What preconditioners built from matrix entries share: checks, and the unknowns among the cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.capabilities import require, require_array
from ..backends.namespace import Array
from ..operators import BaseOperator, PoissonOperator, as_operator

__all__ = ["EntryPreconditioner", "hermitian_defect", "is_hermitian"]


class EntryPreconditioner(BaseOperator):
    """A preconditioner set up from the entries of `A` on the CPU.

    A subclass defines ``_solve(r)``: on a matrix for vectors of its size; on a `PoissonOperator` for vectors
    of its unknowns only. Cells without an unknown carry the equation ``s x = b``, which is solved exactly; on
    a singular operator the null space is projected off both sides, which keeps the map symmetric.

    Attributes
    ----------
    A : BaseOperator
        What it was set up for.
    capability : str
        Its row in `sciml.backends.capabilities.CAPABILITIES`.
    """

    capability: str

    def __init__(self, A: Any, properties: Iterable[str]):
        super().__init__(A.in_shape, A.out_shape, A.dtype, properties)
        self.A = A
        self._grid = isinstance(A, PoissonOperator)
        self._all_unknown = not self._grid or A.unknowns.size == A.shape[0]

    def _solve(self, r: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not define _solve")

    def _apply(self, x: Array) -> Array:
        require_array(self.capability, x)
        singular = getattr(self.A, "singular", None)
        r = np.ascontiguousarray(x if singular is None else self.A.project(x)).reshape(-1)
        if self._all_unknown:
            z = self._solve(r)
        else:
            z = r / r.dtype.type(self.A.diagonal_table[255])
            z[self.A.unknowns] = self._solve(r[self.A.unknowns])
        z = z.reshape(x.shape)
        return z if singular is None else self.A.project(z)


def square_operator(capability: str, A: Any) -> Any:
    """`A` as a square operator in an array library that `capability` runs on, or a clear error."""
    operator = as_operator(A)
    if operator.shape[0] != operator.shape[1]:
        raise ValueError(f"A has shape {operator.shape}; expected a square operator")
    matrix = getattr(operator, "matrix", None)
    if type(matrix).__module__.startswith("cupyx"):
        require(capability, "cupy")
    require_array(capability, matrix)
    require(capability, getattr(operator, "backend", "numpy"))
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
