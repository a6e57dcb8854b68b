"""Symmetric successive over-relaxation as a preconditioner."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from ..operators import PoissonOperator
from .triangular import TriangularPair, grid_data
from .unknowns import entries, is_hermitian, square_operator

__all__ = ["SSOR"]


class SSOR(TriangularPair):
    r"""One symmetric sweep of SOR from zero: :math:`M^{-1} = \frac{1}{ω(2-ω)} (D + ωL) D^{-1} (D + ωU)`.

    Hermitian positive definite whenever `A` is Hermitian with a positive diagonal. Runs compiled, on NumPy
    arrays: matrix-free on a `PoissonOperator` (couplings across periodic sides are left out), on the CSR
    matrix otherwise.

    Parameters
    ----------
    A : PoissonOperator or matrix
    omega : float
        Relaxation factor, ``0 < ω < 2``.

    Raises
    ------
    ValueError
        For `omega` out of range or a zero on the diagonal.
    TypeError
        Where `A` has no entries to read, or lives in another array library.

    References
    ----------
    Saad, Iterative Methods for Sparse Linear Systems (2nd ed., SIAM, 2003), section 10.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg
    >>> from sciml.preconditioners import SSOR
    >>> A, b = PoissonOperator((64, 64)), np.ones((64, 64))
    >>> plain, ssor = cg(A, b), cg(A, b, M=SSOR(A, omega=1.8))
    >>> ssor.iterations < 0.4 * plain.iterations
    True
    """

    def __init__(self, A: Any, omega: float = 1.0):
        if not isinstance(omega, Real) or not 0.0 < omega < 2.0:
            raise ValueError(f"omega is {omega!r}; expected a number with 0 < omega < 2")
        A = square_operator(self.capability, A)
        self.omega: float = float(omega)
        if isinstance(A, PoissonOperator):
            diagonal, faces = grid_data(A)
            with np.errstate(divide="ignore"):
                e = np.where(diagonal != 0, A.dtype.type(omega) / diagonal, 0)
            super().__init__(A, {"symmetric", "positive_definite"}, e, faces=faces, scale=2.0 - self.omega)
            return
        csr = entries("SSOR", A)
        diagonal = csr.diagonal()
        zeros = np.flatnonzero(diagonal == 0)
        if zeros.size:
            raise ValueError(f"A has a zero on its diagonal (row {zeros[0]}); SSOR expects none")
        properties = {"linear"}
        if is_hermitian(A, csr):
            properties.add("symmetric")
            if np.all(diagonal.real > 0):
                properties.add("positive_definite")
        super().__init__(A, properties, self.omega / diagonal, csr=csr, scale=2.0 - self.omega)

    def __repr__(self) -> str:
        return f"<SSOR omega={self.omega:g} for {self.A!r}>"
