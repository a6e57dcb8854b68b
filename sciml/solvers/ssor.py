"""Symmetric successive over-relaxation as a stand-alone solver."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array
from .iteration import Callback
from .result import SolveResult
from .sor import relaxation

__all__ = ["ssor"]


def ssor(
    A: Any,
    b: Array,
    *,
    x0: Array | None = None,
    M: None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
    omega: float = 1.0,
    order: str = "auto",
) -> SolveResult:
    """Solve ``A x = b`` by symmetric successive over-relaxation.

    One iteration is a forward and a backward sweep of `sciml.sor`, for Hermitian `A` the stationary
    iteration with ``M = ω/(2−ω) (D/ω + L) D⁻¹ (D/ω + L)ᴴ``; it costs two SOR iterations. As a
    preconditioner for `cg`, `sciml.preconditioners.SSOR` applies the same ``M⁻¹``.

    Parameters
    ----------
    A, b, x0, M, rtol, atol, maxiter, callback, on_failure, omega
        As in `sciml.sor`.
    order : {"auto", "natural", "red-black"}
        As in `sciml.sor`, but ``"auto"`` takes the natural order on NumPy arrays: in red-black order
        symmetric sweeps gain nothing from ``ω > 1``.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Axelsson, Iterative Solution Methods (Cambridge, 1994), section 6.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import ssor
    >>> ssor(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])).converged
    True
    """
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return relaxation("ssor", A, b, omega, order, True, M=M, x0=x0, on_failure=on_failure, **rules)
