"""SciPy's GMRES, MINRES and BiCGStab behind the signature, the stopping rule and the result of `sciml`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg

from ..backends.capabilities import require_array
from ..backends.namespace import Array, is_complex, norm2
from .iteration import Callback, System, iterate_until_verified, run
from .result import SolveResult, Status

__all__ = ["bicgstab", "gmres", "minres"]


def gmres(
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
    restart: int = 30,
) -> SolveResult:
    """Solve ``A x = b`` by restarted GMRES, for any regular `A` (SciPy's, preconditioned from the right).

    From the right, the residual GMRES minimises is that of ``A x = b`` itself, which the history shows for
    every inner iteration.

    Parameters
    ----------
    A : operator or matrix
        Real or complex; NumPy arrays.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator or matrix, optional
        Linear preconditioner, applied as ``M @ r``.
    rtol, atol : float
        Stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``. Both zero: run exactly `maxiter` iterations.
    maxiter : int, optional
        Inner iterations in total; default ``min(10 n + 50, 10000)``.
    callback : callable, optional
        ``callback(state)`` at the end of every cycle, where GMRES has an iterate; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.
    restart : int
        Inner iterations per cycle; as many vectors are stored.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856–869.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import gmres
    >>> gmres(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([1.0, 2.0])).x
    array([-2.,  1.])
    """
    require_array("gmres", b)
    if not isinstance(restart, int | np.integer) or restart < 1:
        raise ValueError(f"restart is {restart!r}; expected an integer >= 1")

    def iterate(system: System) -> Status | None:
        _require_linear("gmres", system.M)
        return iterate_until_verified(system, lambda r, norm: _gmres_cycles(system, r, norm, int(restart)))

    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("gmres", iterate, A, b, x0=x0, M=M, on_failure=on_failure, **rules)


def minres(
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
) -> SolveResult:
    """Solve ``A x = b`` by MINRES, for symmetric `A`, definite or not (SciPy's).

    SciPy's own stopping test is another than ours, so the residual is computed after every iteration, at
    the price of one more product with `A`.

    Parameters
    ----------
    A : operator or matrix
        Real symmetric; NumPy arrays.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator or matrix, optional
        Symmetric positive definite preconditioner, applied as ``M @ r``.
    rtol, atol, maxiter, callback, on_failure
        As in `sciml.cg`.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Paige and Saunders, SIAM J. Numer. Anal. 12 (1975) 617–629.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import minres
    >>> minres(np.diag([1.0, -2.0, 3.0]), np.ones(3), rtol=1e-10).converged
    True
    """
    require_array("minres", b)

    def iterate(system: System) -> Status | None:
        if is_complex(system.b):
            raise TypeError(
                "minres takes real systems only, but A or b is complex; use gmres, or cg where A is definite"
            )
        _require_linear("minres", system.M)
        return iterate_until_verified(
            system, lambda r, norm: _watched(system, scipy.sparse.linalg.minres, r, norm)
        )

    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("minres", iterate, A, b, x0=x0, M=M, on_failure=on_failure, **rules)


def bicgstab(
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
) -> SolveResult:
    """Solve ``A x = b`` by BiCGStab, for any regular `A` in little memory (SciPy's).

    The residual is computed after every iteration, at the price of a third product with `A`.

    Parameters
    ----------
    A : operator or matrix
        Real or complex; NumPy arrays.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : operator or matrix, optional
        Linear preconditioner, applied as ``M @ r``.
    rtol, atol, maxiter, callback, on_failure
        As in `sciml.cg`.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    van der Vorst, SIAM J. Sci. Stat. Comput. 13 (1992) 631–644.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import bicgstab
    >>> bicgstab(np.array([[4.0, 1.0], [0.0, 3.0]]), np.array([1.0, 2.0])).converged
    True
    """
    require_array("bicgstab", b)

    def iterate(system: System) -> Status | None:
        _require_linear("bicgstab", system.M)
        return iterate_until_verified(
            system, lambda r, norm: _watched(system, scipy.sparse.linalg.bicgstab, r, norm)
        )

    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("bicgstab", iterate, A, b, x0=x0, M=M, on_failure=on_failure, **rules)


def _gmres_cycles(system: System, r: np.ndarray, norm: float, restart: int) -> tuple[Status | None, float]:
    """Cycles of GMRES for the correction ``A M y = r``, each judged by the residual of its iterate."""
    shape = system.b.shape
    product = _linear_operator(system, lambda y: system.apply(system.precondition(y)))
    while norm > 0.0:
        relative: list[float] = []
        length = min(restart, r.size, system.maxiter - system.iterations)
        target = 0.0 if system.fixed else system.tolerance / norm
        y, _ = scipy.sparse.linalg.gmres(
            product, r.reshape(-1) / norm, restart=length, maxiter=1, atol=0.0, callback=relative.append,
            callback_type="pr_norm", **{_rtol_name(scipy.sparse.linalg.gmres): target},
        )  # fmt: skip
        system.x = system.x + system.precondition((norm * y).astype(r.dtype).reshape(shape))
        system.x_is_zero = False
        r = system.residual()
        before, norm = norm, norm2(r)
        system.history.extend(before * value / system.scale for value in relative[:-1])
        status = system.record(norm)
        if status is not None:
            return status, norm
        if not norm < before * (1.0 - 1e-12):  # the next cycle would repeat this one
            return (Status.FIXED if system.fixed else Status.STAGNATED), norm
    return (Status.FIXED if system.fixed else Status.CONVERGED), norm


class _Finished(Exception):  # noqa: N818  (a signal, not an error)
    """Ends a SciPy solver from its callback."""


def _watched(
    system: System, solver: Callable[..., Any], r: np.ndarray, norm: float
) -> tuple[Status | None, float]:
    """Run a SciPy solver on ``A d = r / ‖r‖``, under our rule through its callback; restart."""
    if norm == 0.0:
        return (Status.FIXED if system.fixed else Status.CONVERGED), norm
    shape, dtype = system.b.shape, system.b.dtype
    product = _linear_operator(system, system.apply)
    M = None if system.M is None else _linear_operator(system, system.precondition)
    status: Status | None = None
    while True:
        start, before = system.x, norm

        def see(d: np.ndarray, start: np.ndarray = start, unit: float = before) -> None:
            nonlocal r, norm, status
            system.x = start + (unit * d).astype(dtype).reshape(shape)
            system.x_is_zero = False
            r = system.residual()
            norm = norm2(r)
            status = system.record(norm)
            if status is not None:
                raise _Finished

        settings: dict[str, Any] = {_rtol_name(solver): 0.0, "maxiter": system.maxiter - system.iterations}
        if "atol" in inspect.signature(solver).parameters:
            settings["atol"] = 0.0
        try:
            solver(product, r.reshape(-1) / before, M=M, callback=see, **settings)
        except _Finished:
            return status, norm
        except ValueError as error:
            if "indefinite preconditioner" not in str(error) and "symmetric" not in str(error):
                raise
            return Status.BREAKDOWN, norm
        if not norm < 0.5 * before:  # SciPy gave up by itself, and starting anew would not help
            return (Status.FIXED if system.fixed else Status.STAGNATED), norm


def _linear_operator(system: System, apply: Callable[[np.ndarray], np.ndarray]) -> Any:
    shape, n = system.b.shape, system.b.size
    return scipy.sparse.linalg.LinearOperator(
        (n, n), matvec=lambda x: apply(x.reshape(shape)).reshape(-1), dtype=system.b.dtype
    )


def _rtol_name(solver: Callable[..., Any]) -> str:
    """SciPy renamed ``tol`` to ``rtol`` in 1.12 (MINRES in 1.14)."""
    return "rtol" if "rtol" in inspect.signature(solver).parameters else "tol"


def _require_linear(name: str, M: Any) -> None:
    if M is not None and "linear" not in M.properties:
        raise TypeError(
            f"M does not declare itself linear; {name} needs a linear preconditioner (fcg and cg do not)"
        )
