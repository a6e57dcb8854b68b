"""Application of ``M⁻¹ = (P + L) P⁻¹ (P + U)``, the form SSOR and incomplete Cholesky share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.capabilities import require_array
from ..backends.namespace import Array
from ..operators import BaseOperator, PoissonOperator

__all__ = ["TriangularPair", "grid_data"]


class TriangularPair(BaseOperator):
    """``scale (P + U)⁻¹ P (P + L)⁻¹``, compiled: on CSR triangles, or a stencil with one number per cell."""

    capability = "M:ssor"

    def __init__(
        self, A: Any, properties: Iterable[str], e: np.ndarray, *, csr: scipy.sparse.csr_array | None = None,
        faces: Any = None, scale: float = 1.0,
    ):  # fmt: skip
        semidefinite = getattr(A, "singular", None) is not None
        if semidefinite:
            properties = set(properties) - {"positive_definite"} | {"positive_semidefinite"}
        super().__init__(A.in_shape, A.out_shape, A.dtype, properties)
        self.A, self._e, self._csr, self._faces, self._scale = A, e, csr, faces, scale

    def _apply(self, x: Array) -> Array:
        from ..backends.kernels.numba import incomplete  # numba takes half a second to load

        require_array(self.capability, x)
        # On a singular operator the null space is projected off both sides, which keeps the map symmetric.
        singular = getattr(self.A, "singular", None)
        r = np.ascontiguousarray(x if singular is None else self.A.project(x)).reshape(-1)
        if self._csr is not None:
            z = np.empty(r.size, dtype=np.result_type(r, self._e))
            incomplete.solve(self._csr.indptr, self._csr.indices, self._csr.data, self._e, r, z, self._scale)
        else:
            shape = self.A.grid3
            z = np.zeros(r.size + shape[2], dtype=r.dtype)  # one extra row of zeros
            weights = tuple(self.dtype.type(w) for w in self.A.weights3)
            void = 1.0 / float(self.A.diagonal_table[255])
            incomplete.grid_solve(self._e, self._faces, weights, shape, r, z, self._scale, void)
            z = z[: r.size]
        z = z.reshape(x.shape)
        return z if singular is None else self.A.project(z)

    def _apply_adjoint(self, y: Array) -> Array:
        if "symmetric" in self.properties:
            return self._apply(y)
        assert self._csr is not None
        adjoint = TriangularPair(
            self.A, {"linear"}, np.conj(self._e), csr=self._csr.conj().T.tocsr(), scale=self._scale
        )
        return adjoint._apply(y)


def grid_data(A: PoissonOperator) -> tuple[np.ndarray, Any]:
    """Flat diagonal of `A`, zero in cells without an unknown, and flat face weights (None where constant)."""
    diagonal = A._diagonal_grid().reshape(-1).astype(A.dtype)
    diagonal[A.code.reshape(-1) == 255] = 0
    faces = None if A.faces is None else tuple(f.reshape(-1).astype(A.dtype, copy=False) for f in A.faces)
    return diagonal, faces
