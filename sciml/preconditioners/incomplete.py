"""Incomplete Cholesky factorisation without fill, plain and modified."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operators import PoissonOperator
from .triangular import TriangularPair, grid_data
from .unknowns import entries, is_hermitian, square_operator

__all__ = ["IncompleteCholesky"]

TAU = 0.97
"""Share of the dropped fill that MIC(0) moves to the diagonal."""

SIGMA = 0.25
"""A pivot below this share of its diagonal is replaced by the diagonal."""


class IncompleteCholesky(TriangularPair):
    """IC(0): Cholesky factors on the sparsity pattern of `A`; MIC(0): dropped fill moves to the diagonal.

    On a `PoissonOperator` the factor is one number per cell and everything is matrix-free; couplings across
    periodic sides are left out of it. On a matrix whose plain factorisation breaks down (possible unless it
    is an M-matrix), the diagonal is enlarged, ``A + α diag(A)``, by the smallest tried α that works.

    Parameters
    ----------
    A : PoissonOperator or matrix
        Real symmetric with a positive diagonal; NumPy arrays.
    modified : bool
        MIC(0), on a `PoissonOperator` only: the iterations of CG then grow more slowly with the grid.

    Attributes
    ----------
    shift : float
        The α that was needed; 0 in the regular case.

    Raises
    ------
    ValueError
        For a matrix that is not symmetric or has a diagonal entry that is not positive.
    TypeError
        For complex matrices, operators without entries, and other array libraries.

    References
    ----------
    Meijerink and van der Vorst, Math. Comp. 31 (1977) 148–162; Gustafsson, BIT 18 (1978) 142–156; the safety
    rules τ = 0.97 and σ = 0.25 of Bridson, Fluid Simulation for Computer Graphics (2nd ed., 2015), section 5.
    Shifts: Manteuffel, Math. Comp. 34 (1980) 473–497.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg
    >>> from sciml.preconditioners import IncompleteCholesky
    >>> A, b = PoissonOperator((64, 64)), np.ones((64, 64))
    >>> ic, mic = (cg(A, b, M=IncompleteCholesky(A, modified=m)) for m in (False, True))
    >>> mic.iterations < ic.iterations
    True
    """

    capability = "M:ic0"

    def __init__(self, A: Any, modified: bool = False):
        from ..backends.kernels.numba import incomplete

        A = square_operator(self.capability, A)
        self.modified, self.shift = bool(modified), 0.0
        self.label = "MIC(0)" if modified else "IC(0)"
        if isinstance(A, PoissonOperator):
            diagonal, faces = grid_data(A)
            e = np.empty_like(diagonal)
            weights = tuple(A.dtype.type(w) for w in A.weights3)
            incomplete.grid_pivots(diagonal, faces, weights, A.grid3, TAU if modified else 0.0, SIGMA, e)
            super().__init__(A, {"symmetric", "positive_definite"}, e, faces=faces)
            return
        if modified:
            raise TypeError(
                f"modified is True but A is a {type(A).__name__}; MIC(0) expects a PoissonOperator"
            )
        csr = entries("IncompleteCholesky", A)
        if csr.dtype.kind == "c":
            raise TypeError(
                f"A has dtype {csr.dtype}; IncompleteCholesky expects a real matrix (SSOR takes complex)"
            )
        if not is_hermitian(A, csr):
            raise ValueError("A is not symmetric; IncompleteCholesky expects a symmetric matrix")
        low = np.flatnonzero(~(csr.diagonal() > 0))
        if low.size:
            raise ValueError(
                f"A has the diagonal entry {csr.diagonal()[low[0]]} in row {low[0]}; "
                "IncompleteCholesky expects a positive diagonal"
            )
        # Symmetric to the last bit and in its pattern, which the kernels rely on.
        csr = (0.5 * (csr + csr.T)).tocsr().astype(csr.dtype)
        csr.sum_duplicates()
        factor, e = np.zeros_like(csr.data), np.empty(csr.shape[0], dtype=csr.dtype)
        while incomplete.factorise(csr.indptr, csr.indices, csr.data, self.shift, factor, e) < e.size:
            self.shift = max(1e-3, 2.0 * self.shift)
        incomplete.mirror(csr.indptr, csr.indices, factor)
        csr.data = factor
        super().__init__(A, {"symmetric", "positive_definite"}, e, csr=csr)

    def __repr__(self) -> str:
        shift = f", diagonal enlarged by {self.shift:g}" if self.shift else ""
        return f"<{self.label}{shift} for {self.A!r}>"
