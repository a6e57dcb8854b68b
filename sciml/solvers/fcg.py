"""Flexible conjugate gradients: explicit orthogonalisation, for preconditioners that change."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, norm2, vdot
from .iteration import Callback, System, iterate_until_verified, run
from .result import SolveResult, Status

__all__ = ["fcg", "flexible"]


def fcg(
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
    memory: int = 1,
) -> SolveResult:
    """Solve ``A x = b`` by flexible conjugate gradients with truncated orthogonalisation, FCG(m).

    Each direction ``M r`` is made A-orthogonal to the last `memory` directions explicitly, and the step
    minimises the A-norm of the error along it. So the error never grows whatever `M` does: it may be
    non-linear, change between iterations, or be a trained network.

    Parameters
    ----------
    A : operator or matrix
        Symmetric (complex: Hermitian) positive definite, or semidefinite with a compatible `b`.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator or matrix, optional
        Preconditioner, linear or not, applied as ``M @ r``.
    rtol, atol : float
        Stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``. Both zero: run exactly `maxiter` iterations.
    maxiter : int, optional
        Default ``min(10 n + 50, 10000)``.
    callback : callable, optional
        ``callback(state)`` after every iteration, see `IterationState`; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.
    memory : int
        Directions kept, ``m ≥ 1``; each costs two vectors. With a linear symmetric `M`, one is all that
        exact arithmetic needs.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Notay, Flexible conjugate gradients, SIAM J. Sci. Comput. 22 (2000) 1444–1460, algorithm FCG(m) with
    ``m_i = min(i, m)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import fcg
    >>> result = fcg(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]), memory=2)
    >>> result.converged, result.iterations
    (True, 2)
    """
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("fcg", flexible(memory), A, b, x0=x0, M=M, on_failure=on_failure, **rules)


def flexible(memory: int, recompute: bool = False) -> Callable[[System], Status | None]:
    """The iteration of `fcg`, for `run`; with `recompute` the residual is ``b − A x`` in every iteration.

    Raises
    ------
    ValueError
        If `memory` is not an integer of at least 1.
    """
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise ValueError(f"memory is {memory!r}; expected an integer >= 1")

    def iterate(system: System) -> Status | None:
        return iterate_until_verified(system, lambda r, norm: _sweep(system, r, norm, memory, recompute))

    return iterate


def _sweep(
    system: System, r: Array, norm: float, memory: int, recompute: bool
) -> tuple[Status | None, float]:
    """Iterate from residual `r` until `System.record` or a breakdown ends it."""
    directions: deque[tuple[Array, Array, float]] = deque(maxlen=memory)
    while True:
        if norm <= system.rounding:  # nothing left to do in a run of fixed length
            return (Status.FIXED if system.fixed else Status.CONVERGED), norm
        z = system.precondition(r)
        p = z
        for q, A_q, energy in directions:
            p = p - (vdot(A_q, z) / energy) * q
        Ap = system.apply(p)
        curvature = vdot(p, Ap).real
        if not math.isfinite(curvature):
            return Status.NONFINITE, norm
        if not curvature > 0.0:
            return Status.BREAKDOWN, norm
        alpha = vdot(p, r) / curvature
        system.x = system.x + alpha * p
        system.x_is_zero = False
        r = system.residual() if recompute else r - alpha * Ap
        directions.append((p, Ap, curvature))
        norm = norm2(r)
        status = system.record(norm)
        if status is not None:
            return status, norm
