"""Extragradient, and its anchored form EAG: the classical baselines for monotone Lipschitz maps."""

from __future__ import annotations

import math
from typing import Any

from ..backends.namespace import Array, norm2
from .inclusion import Inclusion, full_constant, positive_step, run_inclusion
from .iteration import Callback
from .restart import Restart
from .result import SolveResult, Status

__all__ = ["eag", "extragradient"]


def extragradient(
    F: Any,
    u0: Array,
    *,
    G: Any = None,
    step: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Korpelevich's extragradient method for ``0 ∈ F(u) + G(u)``; two `F` per iteration.

    Parameters
    ----------
    F, u0, G, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    step : float, optional
        Default ``0.9/L_full``.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Korpelevich, Matecon 12 (1976) 747-756. The last iterate converges without a rate better than
    O(1/√k) on its residual.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import extragradient
    >>> from sciml.operators import AffineSum
    >>> F = AffineSum(np.array([[0.1, 1.0], [-1.0, 0.1]]), np.array([1.0, 0.0]))
    >>> extragradient(F, np.zeros(2), rtol=1e-8).converged
    True
    """
    return _run(
        "extragradient",
        F,
        u0,
        G,
        step,
        0.9,
        False,
        None,
        rtol,
        atol,
        maxiter,
        max_epochs,
        callback,
        on_failure,
    )


def eag(
    F: Any,
    u0: Array,
    *,
    G: Any = None,
    step: float | None = None,
    restart: str | int | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Extra anchored gradient for ``0 ∈ F(u) + G(u)``: two `F` per iteration, last residual O(1/k).

    ``u½ = J(u + β(u₀ − u) − aF(u))``, ``u⁺ = J(u + β(u₀ − u) − aF(u½))``, ``β = 1/(k + 2)``.

    Parameters
    ----------
    F, u0, G, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    step : float, optional
        Default ``0.618/L_full``.
    restart : "adaptive", int or None
        See `sciml.solvers.restart.Restart`; None is the published method.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Yoon and Ryu, ICML 2021 (arXiv:2102.07922); with projections, Cai, Oikonomou and Zheng
    (arXiv:2206.05248).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import eag
    >>> from sciml.operators import AffineSum
    >>> F = AffineSum(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([1.0, 0.0]))
    >>> eag(F, np.zeros(2), rtol=1e-8, restart="adaptive").converged
    True
    """
    return _run(
        "eag", F, u0, G, step, 0.618, True, restart, rtol, atol, maxiter, max_epochs, callback, on_failure
    )


def _run(
    name: str,
    F: Any,
    u0: Array,
    G: Any,
    step: float | None,
    factor: float,
    anchored: bool,
    restart: Any,
    rtol: float,
    atol: float,
    maxiter: int | None,
    max_epochs: float | None,
    callback: Callback | None,
    on_failure: str,
) -> SolveResult:
    rule = Restart(restart)
    step = None if step is None else positive_step(step, 1.0)

    def iterate(problem: Inclusion) -> Status | None:
        a = step or factor / full_constant(problem.F)
        anchor = u = problem.u0
        Fu, k = problem.Fu0, 0
        while True:
            base = u + (anchor - u) / (k + 2) if anchored else u
            half = problem.resolvent(base - a * Fu, a)
            w = base - a * problem.full(half)
            u = problem.resolvent(w, a)
            problem.point = (w if problem.constrained else u, a)
            k += 1
            status = problem.advance(u)
            if status is not None:
                return status
            Fu = problem.full(u)  # the next iteration needs it, so the residual costs nothing
            residual = norm2(Fu + (w - u) / a) if problem.constrained else norm2(Fu)
            if not math.isfinite(residual):
                return Status.NONFINITE
            if not problem.fixed and (residual <= problem.tolerance or k % 50 == 0):
                status = problem.certify(Fu)
                if status is not None:
                    return status
            if rule.decide(residual):
                anchor, k = u, 0
                rule.begin()
                problem.info["restarts"] = rule.count

    return run_inclusion(
        name,
        iterate,
        F,
        u0,
        G=G,
        rtol=rtol,
        atol=atol,
        maxiter=maxiter,
        max_epochs=max_epochs,
        callback=callback,
        on_failure=on_failure,
    )
