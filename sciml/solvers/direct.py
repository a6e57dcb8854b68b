"""Direct solves with iterative refinement: sparse LU, and fast transforms on boxes."""

from __future__ import annotations

from typing import Any

from ..backends.capabilities import require_array
from ..backends.namespace import Array
from ..preconditioners import FFT, LU
from .iteration import Callback
from .result import SolveResult
from .stationary import richardson

__all__ = ["fast_poisson", "splu"]


def splu(
    A: Any,
    b: Array,
    *,
    x0: Array | None = None,
    M: LU | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Solve ``A x = b`` by a sparse LU factorisation (SuperLU) and, where needed, iterative refinement.

    Parameters
    ----------
    A : PoissonOperator or matrix
        NumPy arrays; on a grid only the unknowns are factored.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; all columns of ``(n, k)`` use one factorisation.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : LU, optional
        Factors made before with ``sciml.preconditioners.LU(A)``, to solve many times with one factorisation.
    rtol, atol, callback, on_failure
        As in `sciml.cg`.
    maxiter : int, optional
        Solves with the factors, the first included.

    Returns
    -------
    SolveResult
        ``seconds`` does not include the factorisation, as for every preconditioner.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, and for a matrix with an exactly zero pivot.

    References
    ----------
    Demmel et al., SIAM J. Matrix Anal. Appl. 20 (1999) 720–755.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import splu
    >>> splu(np.array([[0.0, 2.0], [1.0, 1.0]]), np.array([2.0, 3.0])).x
    array([2., 1.])
    """
    require_array("splu", b)
    if M is not None and not isinstance(M, LU):
        raise TypeError(f"M is a {type(M).__name__}; splu expects the factors of A, an LU, or None")
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return richardson("splu", A, b, LU(A) if M is None else M, x0=x0, on_failure=on_failure, **rules)


def fast_poisson(
    A: Any,
    b: Array,
    *,
    x0: Array | None = None,
    M: FFT | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Solve ``A x = b`` on an empty box with constant coefficients by fast transforms.

    Parameters
    ----------
    A : PoissonOperator
        Without obstacles, with constant coefficient and shift, for NumPy arrays; any boundary conditions.
    b, x0, rtol, atol, maxiter, callback, on_failure
        As in `sciml.splu`.
    M : FFT, optional
        ``sciml.preconditioners.FFT(A)`` if it exists already.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, and where the transforms do not diagonalise `A`.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, fast_poisson
    >>> result = fast_poisson(PoissonOperator((30, 40)), np.ones((30, 40)), rtol=1e-10)
    >>> result.converged, result.iterations
    (True, 1)
    """
    require_array("fft", b)
    if M is not None and not isinstance(M, FFT):
        raise TypeError(f"M is a {type(M).__name__}; fast_poisson expects an FFT or None")
    transforms = FFT(A) if M is None else M
    if not transforms.exact:
        raise ValueError(
            "A has obstacles or variable coefficients; fast_poisson expects an empty box with constant "
            "coefficients (use cg with M=FFT(A))"
        )
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return richardson("fast_poisson", A, b, transforms, x0=x0, on_failure=on_failure, **rules)
