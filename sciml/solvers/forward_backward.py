"""Forward–backward splitting (projected gradient), plain or accelerated: the baseline for cocoercive maps."""

from __future__ import annotations

import math
from typing import Any

from ..backends.namespace import Array, norm2, vdot
from .inclusion import Inclusion, full_constant, positive_step, run_inclusion
from .iteration import Callback
from .result import SolveResult, Status

__all__ = ["forward_backward"]


def forward_backward(
    F: Any,
    u0: Array,
    *,
    G: Any = None,
    step: float | None = None,
    accelerated: bool = False,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """``u⁺ = J_{ηG}(u − ηF(u))`` for a cocoercive `F`; one `F` per iteration.

    Parameters
    ----------
    F, u0, G, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    step : float, optional
        Default ``1/L_full``.
    accelerated : bool
        Nesterov's extrapolation with the gradient restart of O'Donoghue and Candès. Only for gradients of
        convex functions.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009) 183-202; restart: O'Donoghue and Candès,
    Found. Comput. Math. 15 (2015) 715-732.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import forward_backward
    >>> from sciml.operators import LeastSquares, NonNegative
    >>> F = LeastSquares(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, -1.0]), G=NonNegative())
    >>> forward_backward(F, np.ones(2), rtol=1e-10).x.round(6)
    array([0.2, 0. ])
    """
    step = None if step is None else positive_step(step, 1.0)

    def iterate(problem: Inclusion) -> Status | None:
        eta = step or 1.0 / full_constant(problem.F)
        u = point = problem.u0
        t = 1.0
        while True:
            w = point - eta * (problem.Fu0 if problem.iterations == 0 else problem.full(point))
            new = problem.resolvent(w, eta)
            problem.point = (w if problem.constrained else new, eta)
            residual = norm2(new - point) / eta
            status = problem.advance(new) or problem.check(residual)
            if status is not None:
                return status
            if not math.isfinite(residual):
                return Status.NONFINITE
            if accelerated and vdot(point - new, new - u).real <= 0:
                t_new = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t))
                point, t = new + ((t - 1.0) / t_new) * (new - u), t_new
            else:
                point, t = new, 1.0
            u = new

    return run_inclusion(
        "forward-backward" if not accelerated else "accelerated forward-backward",
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
