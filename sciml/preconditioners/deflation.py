"""Deflation: a few vectors, such as low eigenvectors, on which `A` is inverted exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from ..backends.namespace import Array, backend_name, is_array, is_numpy
from ..operators import BaseOperator, as_operator
from .jacobi import Jacobi

__all__ = ["Deflation"]


class Deflation(BaseOperator):
    r"""A preconditioner made exact on the span of given vectors, in symmetric (balancing) form.

    With :math:`Q = W (W^T A W)^{-1} W^T` and :math:`P = I - A Q` it applies :math:`P^T M P + Q`, which is
    symmetric positive definite whenever `A` and `M` are: plain conjugate gradients then see the rest of the
    spectrum only. An application costs four products with the ``n × k`` matrices `W` and `AW`, which it
    stores.

    Parameters
    ----------
    A : operator or matrix
        Symmetric positive definite, on NumPy arrays.
    W : ndarray ``(n, k)``
        Linearly independent columns, usually approximate eigenvectors of the smallest eigenvalues; entries in
        cells that carry no unknown are set to zero.
    M : operator, optional
        The preconditioner that serves the rest of the spectrum; `Jacobi` by default.

    Raises
    ------
    TypeError, ValueError
        For vectors that do not fit, or are linearly dependent.

    References
    ----------
    Mandel, Balancing domain decomposition, Comm. Numer. Methods Engrg. 9 (1993) 233–241. Compared with other
    two-level preconditioners in Tang, Nabben, Vuik and Erlangga, J. Sci. Comput. 39 (2009) 340–370.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg
    >>> from sciml.preconditioners import Deflation
    >>> A, b = PoissonOperator((24, 24)), np.ones((24, 24))
    >>> wave = np.sin(np.pi * (np.arange(24) + 0.5) / 24)  # the lowest mode is a product of two
    >>> W = np.outer(wave, wave).reshape(-1, 1)
    >>> cg(A, b, M=Deflation(A, W)).iterations < cg(A, b).iterations
    True
    """

    label = "Deflation"

    def __init__(self, A: Any, W: Array, M: Any = None):
        A = as_operator(A)
        n = A.shape[0]
        if A.shape[1] != n:
            raise ValueError(f"A has shape {A.shape}; Deflation expects a square operator")
        if not is_numpy(W):
            kind = f"{backend_name(W)} array" if is_array(W) else type(W).__name__
            raise TypeError(f"W is a {kind}; Deflation expects a NumPy array")
        if W.ndim != 2 or W.shape[0] != n or not 1 <= W.shape[1] <= n:
            raise ValueError(f"W has shape {W.shape}; expected ({n}, k) with 1 <= k <= {n}")
        M = Jacobi(A) if M is None else as_operator(M)
        if M.shape != A.shape:
            raise ValueError(f"M has shape {M.shape}; expected the shape of A, {A.shape}")
        super().__init__(A.in_shape, A.in_shape, A.dtype, A.properties & M.properties)
        self.A, self.M = A, M
        unknown = getattr(A, "fluid", None)
        self._W = np.array(W, dtype=np.float64)
        if unknown is not None:
            self._W[~unknown.reshape(-1)] = 0.0
        self._AW = np.stack([A(w.reshape(A.in_shape)).reshape(-1) for w in self._W.T], axis=1)
        energy = self._W.T @ self._AW
        try:
            self._factor = scipy.linalg.cho_factor(0.5 * (energy + energy.T))
        except (scipy.linalg.LinAlgError, ValueError):
            raise ValueError(
                "Wᵀ A W is not positive definite; expected linearly independent columns in W, a positive "
                "definite A, and finite numbers"
            ) from None

    def _apply(self, x: Array) -> Array:
        r = x.reshape(-1)
        coarse = scipy.linalg.cho_solve(self._factor, self._W.T @ r, check_finite=False)
        left = r - (self._AW @ coarse).astype(r.dtype)
        z = self.M(left.reshape(self.M.in_shape)).reshape(-1)
        # Pᵀ z + Q r
        correction = scipy.linalg.cho_solve(self._factor, self._AW.T @ z, check_finite=False)
        return (z + (self._W @ (coarse - correction)).astype(r.dtype)).reshape(x.shape)

    def __repr__(self) -> str:
        return f"<Deflation of {self._W.shape[1]} vectors around {type(self.M).__name__} for {self.A!r}>"
