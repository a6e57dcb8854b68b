"""SOR that adapts omega within a solve, from the ratios of its own residuals (Hageman and Young)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..solvers.iteration import Callback, System, iterate_until_verified, run
from ..solvers.result import SolveResult, Status
from ..solvers.sor import _Natural
from .policy import check_number
from .young import young_omega

__all__ = ["adaptive_sor"]

DAMPING = 0.75
"""F of Hageman and Young: omega changes when the rate is below this share of what its theory promises."""

LARGEST = 1.995


def adaptive_sor(
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
) -> SolveResult:
    """Solve ``A x = b`` by SOR in natural order, raising omega as the solve reveals the spectral radius.

    Parameters
    ----------
    A, b, x0, M, rtol, atol, maxiter, callback, on_failure
        As for `sciml.sor` in natural order (NumPy).
    omega : float
        Where to start, ``0 < omega < 2``.

    Returns
    -------
    SolveResult
        ``info["omegas"]`` lists ``(iteration, omega)`` of every change.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    Notes
    -----
    The classical competitor of learning omega across solves: it needs no history, but pays for the
    estimate in every solve. While omega is below its optimum the ratio `R` of successive residual norms
    tends to the spectral radius, from which Young's relation gives β and the next omega. A change is made
    once the ratio has settled, and only if ``R > (omega − 1)^F``, that is, if the solve converges clearly
    slower than an optimal omega would let it. The ratios approach the radius from below, so omega is
    not overshot (which could not be detected). Ratios of residuals stand for the book's ratios of
    differences of iterates; both tend to the same limit.

    References
    ----------
    Hageman and Young, Applied Iterative Methods (Academic Press, 1981), chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, sor
    >>> from sciml.tuning import adaptive_sor
    >>> A, b = PoissonOperator((24, 24)).tocsr(), np.ones(576)
    >>> adaptive_sor(A, b).iterations < 0.4 * sor(A, b).iterations
    True
    """
    omega = check_number("omega", omega, 0.0, 2.0)
    if M is not None:
        raise TypeError(f"M is a {type(M).__name__}; adaptive_sor takes no preconditioner, expected None")

    def iterate(system: System) -> Status | None:
        return iterate_until_verified(system, _Adaptive(system, omega))

    return run(
        "adaptive sor",
        iterate,
        A,
        b,
        x0=x0,
        M=None,
        rtol=rtol,
        atol=atol,
        maxiter=maxiter,
        callback=callback,
        on_failure=on_failure,
    )


class _Adaptive(_Natural):
    """Sweeps in natural order, a few at a time; between them omega may rise."""

    def __init__(self, system: System, omega: float):
        super().__init__("adaptive sor", system, omega, symmetric=False)
        self.omega, self.changed = omega, 0
        system.info["omegas"] = [(0, omega)]

    def __call__(self, r: np.ndarray, norm: float) -> tuple[Status | None, float]:
        system = self.system
        system.x = np.ascontiguousarray(system.x)
        system.x_is_zero = False
        x, r = system.x.reshape(-1), np.array(r).reshape(-1)  # the kernel updates r in place
        tolerance = -1.0 if system.fixed else system.tolerance
        status = None
        while status is None:
            count = min(_patience(self.omega), system.maxiter - system.iterations)
            norms = np.empty(count if system.callback is None else 1)
            done = self.kernel(*self.columns, self.factor, x, r, self.symmetric, tolerance, norms)
            system.history.extend((norms[: done - 1] / system.scale).tolist())
            norm = float(norms[done - 1])
            status = system.record(norm)
            self._adapt()
        return status, norm

    def _adapt(self) -> None:
        """Raise omega if the residual norms since the last change call for it."""
        window = 2 * _patience(self.omega)
        if self.system.iterations - self.changed < window:
            return
        better = _improved(self.omega, np.array(self.system.history[-window - 1 :]))
        if better is not None:
            self.factor *= better / self.omega
            self.omega, self.changed = better, self.system.iterations
            self.system.info["omegas"].append((self.changed, better))


def _patience(omega: float) -> int:
    """Sweeps over which a ratio is averaged: longer near 2, where what omega − 1 governs dies out slowly."""
    return 3 + math.ceil(1.0 / (2.0 - omega))


def _improved(omega: float, norms: np.ndarray) -> float | None:
    """The omega that the last residual norms suggest, or None where they give no reason to change."""
    half = len(norms) // 2
    if not (norms[-1] > 0 and norms[0] > 0):
        return None
    before = (norms[half] / norms[0]) ** (1.0 / half)
    ratio = (norms[-1] / norms[half]) ** (1.0 / half)
    settled = abs(ratio - before) < 0.1 * abs(1.0 - ratio)
    if not settled or ratio >= 1.0 or ratio <= max(omega - 1.0, 0.0) ** DAMPING:
        return None
    beta = (ratio + omega - 1.0) / (omega * math.sqrt(ratio))
    if not beta < 1.0:
        return None
    better = min(young_omega(beta), LARGEST)
    return better if better > omega else None
