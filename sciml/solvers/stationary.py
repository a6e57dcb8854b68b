"""Stationary iteration with a preconditioner that is nearly the inverse: multigrid cycles on their own."""

from __future__ import annotations

from typing import Any

from ..backends.capabilities import require_array
from ..backends.namespace import Array, norm2
from ..operators import as_operator
from .iteration import Callback, System, iterate_until_verified, run
from .result import SolveResult, Status

__all__ = ["multigrid", "richardson"]

PATIENCE = 20
"""Iterations without a new smallest residual after which a stationary iteration has stagnated."""


def multigrid(
    A: Any,
    b: Array,
    *,
    x0: Array | None = None,
    M: Any = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
    **settings: Any,
) -> SolveResult:
    """Solve ``A x = b`` by multigrid cycles, ``x += M (b − A x)``.

    `cg` with the same `M` needs fewer cycles and is the better choice unless cycles themselves are studied.

    Parameters
    ----------
    A : PoissonOperator
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator, optional
        A `sciml.preconditioners.Multigrid` that was set up before; by default one is set up here.
    rtol, atol, maxiter, callback, on_failure
        As in `sciml.cg`.
    **settings
        Of `sciml.preconditioners.Multigrid`, when `M` is not given.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Trottenberg, Oosterlee and Schüller, Multigrid (Academic Press, 2001).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, multigrid
    >>> A, b = PoissonOperator((64, 64)), np.ones((64, 64))
    >>> multigrid(A, b).iterations < 20
    True
    """
    require_array("multigrid", b)
    if M is None:
        from ..preconditioners import make_preconditioner

        M = make_preconditioner("multigrid", A, **settings)
    elif settings:
        raise TypeError(f"settings {sorted(settings)} belong to the set-up of M, which was given")
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return richardson("multigrid", A, b, M, x0=x0, on_failure=on_failure, **rules)


def richardson(name: str, A: Any, b: Array, M: Any, **settings: Any) -> SolveResult:
    """``x += M (b − A x)`` as the solver `name`; iterative refinement, when `M` is a factorisation."""
    M = as_operator(M)

    def iterate(system: System) -> Status | None:
        if M.shape != system.A.shape:
            raise ValueError(f"M has shape {M.shape}; expected the shape of A, {system.A.shape}")
        system.M = M  # part of the solver here, not a preconditioner the user named
        return iterate_until_verified(system, lambda r, norm: _sweep(system, r, norm))

    return run(name, iterate, A, b, M=None, **settings)


def _sweep(system: System, r: Array, norm: float) -> tuple[Status | None, float]:
    best, best_at = norm, system.iterations
    while True:
        system.x = system.x + system.precondition(r)
        system.x_is_zero = False
        r = system.residual()
        norm = norm2(r)
        status = system.record(norm)
        if status is not None:
            return status, norm
        if norm < best:
            best, best_at = norm, system.iterations
        elif system.iterations - best_at >= PATIENCE and not system.fixed:
            return Status.STAGNATED, norm
