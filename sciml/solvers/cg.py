"""Conjugate gradients: preconditioned, complex Hermitian, flexible when the preconditioner asks for it."""

from __future__ import annotations

import math
from typing import Any

from ..backends.namespace import Array, norm2, vdot
from ..operators import PoissonOperator
from .iteration import Callback, System, iterate_until_verified, run
from .result import SolveResult, Status

__all__ = ["cg"]


def cg(
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
    flexible: bool | None = None,
) -> SolveResult:
    """Solve ``A x = b`` by preconditioned conjugate gradients.

    Parameters
    ----------
    A : operator or matrix
        Symmetric (complex: Hermitian) positive definite, or semidefinite with a compatible `b`.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator or matrix, optional
        Preconditioner, an approximation of the inverse of `A`, applied as ``M @ r``.
    rtol, atol : float
        Stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``. Both zero: run exactly `maxiter` iterations.
    maxiter : int, optional
        Default ``min(10 n + 50, 10000)``.
    callback : callable, optional
        ``callback(state)`` after every iteration, see `IterationState`; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.
    flexible : bool, optional
        Use the Polak–Ribière form of β, which tolerates a preconditioner that changes or is not
        linear. By default it is used exactly when `M` does not declare itself linear.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    Notes
    -----
    When the recurrence claims convergence, the residual is recomputed from ``b − A x``. If the claim
    does not hold, the iteration restarts from the true residual; if that no longer helps, the
    status is STAGNATED.

    References
    ----------
    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49 (1952) 409–436. Flexible form: Golub and Ye,
    SIAM J. Sci. Comput. 21 (1999) 1305–1320.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import cg
    >>> result = cg(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))
    >>> result.converged, result.iterations
    (True, 2)
    """

    def iterate(system: System) -> Status | None:
        nonlinear = system.M is not None and "linear" not in system.M.properties
        use_flexible = nonlinear if flexible is None else flexible
        updates = _updates(system, use_flexible)
        return iterate_until_verified(system, lambda r, norm: _sweep(system, updates, r, norm, use_flexible))

    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("cg", iterate, A, b, x0=x0, M=M, on_failure=on_failure, **rules)


class Updates:
    """The vector updates of one CG iteration, in the array API.

    `GridUpdates` is the fused form for Poisson grids; the iteration in `_sweep` is written once for both.
    """

    def __init__(self, system: System):
        self._system = system

    def begin(self, r: Array, norm: float) -> None:
        """Start, or start again, from the residual `r`."""
        self.r = r
        self._z: Any = None
        self._p: Any = None
        self._Ap: Any = None

    def precondition(self) -> float:
        """``z = M r``; returns ``⟨r, z⟩``."""
        self._z, rho = self._system.precondition_dot(self.r)
        return rho

    def product(self, v: Array) -> float:
        """``⟨z, v⟩``, which the flexible β needs."""
        return vdot(self._z, v).real

    def direction(self, beta: float) -> float:
        """``p = z + β p``; returns the curvature ``⟨p, A p⟩``."""
        self._p = self._z * 1 if self._p is None or beta == 0.0 else self._z + beta * self._p
        self._Ap = self._system.apply(self._p)
        return vdot(self._p, self._Ap).real

    def advance(self, alpha: float) -> float:
        """``x += α p``, ``r −= α A p``; returns ``‖r‖``."""
        self._system.x = self._system.x + alpha * self._p
        self._system.x_is_zero = False
        self.r = self.r - alpha * self._Ap
        return norm2(self.r)

    def settle(self) -> None:
        """Bring ``system.x`` up to date, where the iterate is kept elsewhere."""


def _updates(system: System, flexible: bool) -> Any:
    A = system.A
    if isinstance(A, PoissonOperator) and A.compiled_for(system.b) and not flexible:
        from .cg_grid import GridUpdates  # loads compiled kernels

        return GridUpdates(system)
    return Updates(system)


def _sweep(
    system: System, updates: Any, r: Array, norm: float, flexible: bool
) -> tuple[Status | None, float]:
    """Iterate from residual `r` until `System.record` or a breakdown ends it."""
    updates.begin(r, norm)
    rho_old: float | None = None
    r_old = None
    while True:
        if norm <= system.rounding:  # nothing left to do in a run of fixed length
            updates.settle()
            return (Status.FIXED if system.fixed else Status.CONVERGED), norm
        rho = updates.precondition()
        if not math.isfinite(rho):
            updates.settle()
            return Status.NONFINITE, norm
        if rho_old is None:
            beta = 0.0
        elif flexible:
            beta = (rho - updates.product(r_old)) / rho_old
        else:
            beta = rho / rho_old
        if flexible:
            r_old = updates.r * 1
        curvature = updates.direction(beta)
        if not curvature > 0.0 or not rho > 0.0:
            updates.settle()
            finite = math.isfinite(curvature)
            return (Status.BREAKDOWN if finite else Status.NONFINITE), norm
        rho_old = rho
        norm = updates.advance(rho / curvature)
        if system.callback is not None:
            updates.settle()
        status = system.record(norm)
        if status is not None:
            updates.settle()
            return status, norm
