"""Sparse LU factors as an operator: the exact inverse, to be used many times."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from .unknowns import EntryPreconditioner, entries, is_hermitian, square_operator

__all__ = ["LU"]


class LU(EntryPreconditioner):
    """The inverse of `A` by a sparse LU factorisation (SuperLU), factored once.

    Parameters
    ----------
    A : PoissonOperator or matrix
        NumPy arrays. On a singular `PoissonOperator` this is the pseudo-inverse.

    Attributes
    ----------
    smallest_pivot : float
        Smallest pivot relative to the largest entry of its column; near rounding for a numerically
        singular matrix.

    Raises
    ------
    ValueError
        If a pivot is exactly zero.

    References
    ----------
    Demmel et al., A supernodal approach to sparse partial pivoting, SIAM J. Matrix Anal. Appl. 20 (1999)
    720–755.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.preconditioners import LU
    >>> LU(np.array([[4.0, 1.0], [1.0, 3.0]])) @ np.array([5.0, 4.0])
    array([1., 1.])
    """

    capability = "M:lu"

    def __init__(self, A: Any):
        A = square_operator(self.capability, A)
        csr = entries("LU", A)
        properties = {"linear"}
        hermitian = is_hermitian(A, csr)
        if hermitian:
            properties |= {"symmetric", *(A.properties & {"positive_definite", "positive_semidefinite"})}
        super().__init__(A, properties)
        singular = getattr(A, "singular", None)
        if singular is not None:
            csr = _pinned(csr, singular.labels.reshape(-1)[A.unknowns])
        # The matrix is symmetric up to rounding or conjugation: an ordering for A + Aᵀ fills in far less.
        settings: dict[str, Any] = {}
        if hermitian and np.all(csr.diagonal().real > 0):
            settings = {
                "permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.01, "options": {"SymmetricMode": True},
            }  # fmt: skip
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", scipy.sparse.linalg.MatrixRankWarning)
                self._lu = scipy.sparse.linalg.splu(csr.tocsc(), **settings)
        except (RuntimeError, scipy.sparse.linalg.MatrixRankWarning) as error:
            if "singular" not in str(error):
                raise
            raise ValueError(
                "A is singular: its LU factorisation meets a zero pivot; expected a regular matrix"
            ) from None
        largest = abs(csr).max(axis=0).toarray().reshape(-1)
        pivots = np.abs(self._lu.U.diagonal())[self._lu.perm_c]
        self.smallest_pivot = float(np.min(pivots / largest))

    def _solve(self, r: np.ndarray) -> np.ndarray:
        if r.dtype.kind == "c" and self.dtype.kind != "c":
            return self._solve(r.real) + 1j * self._solve(r.imag)
        return self._lu.solve(r.astype(self.dtype, copy=False))

    def _apply_adjoint(self, y: np.ndarray) -> np.ndarray:
        if "symmetric" in self.properties:
            return self._apply(y)
        if y.dtype.kind == "c" and self.dtype.kind != "c":
            return self._apply_adjoint(y.real) + 1j * self._apply_adjoint(y.imag)
        return self._lu.solve(np.ascontiguousarray(y).astype(self.dtype, copy=False), trans="H")

    def __repr__(self) -> str:
        return f"<LU with {self._lu.nnz} entries in its factors, for {self.A!r}>"


def _pinned(csr: scipy.sparse.csr_array, labels: np.ndarray) -> scipy.sparse.csr_array:
    """Make every singular component regular by doubling the diagonal of its first unknown.

    For a right-hand side of zero mean the solution is one of the singular system: summing the equations of
    a component shows that the pinned unknown is zero.
    """
    _, first = np.unique(labels[labels > 0], return_index=True)
    pins = np.flatnonzero(labels > 0)[first]
    extra = np.zeros(csr.shape[0], dtype=csr.dtype)
    extra[pins] = csr.diagonal()[pins]
    return (csr + scipy.sparse.diags_array(extra)).tocsr()
