"""Variance-reduced extragradient: the stochastic baseline for monotone Lipschitz finite sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import Array, norm2
from .forb import compiled_form, draw
from .inclusion import Inclusion, positive_step, run_inclusion
from .iteration import Callback
from .result import SolveResult, Status

__all__ = ["vr_extragradient"]


def vr_extragradient(
    F: Any,
    u0: Array,
    *,
    G: Any = None,
    step: float | None = None,
    seed: int | None = 0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Loopless variance-reduced extragradient for ``0 ∈ F(u) + G(u)``; two components per step.

    An iteration here is the run from one snapshot to the next, about `n` steps; the residual is measured
    at snapshots, where the full `F` is known anyway.

    Parameters
    ----------
    F, u0, G, seed, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    step : float, optional
        Default ``0.99 √p/L`` with ``p = 1/n``.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Alacaoglu and Malitsky, COLT 2022 (arXiv:2102.08352), Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import vr_extragradient
    >>> from sciml.operators import AffineSum
    >>> F = AffineSum(np.array([[1.0, 1.0], [-1.0, 1.0]]), np.array([1.0, 0.0]))
    >>> vr_extragradient(F, np.zeros(2), rtol=1e-8).converged
    True
    """
    step = None if step is None else positive_step(step, 1.0)

    def iterate(problem: Inclusion) -> Status | None:
        n = problem.F.n
        p = 1.0 / n if n > 1 else 0.5
        gamma = step or 0.99 * math.sqrt(p) / problem.F.lipschitz
        z = w = problem.u0
        Fw = problem.Fu0
        while True:
            numbers, coins = draw(problem, 4 * n, p)
            z, argument, done, snapshot = _steps(problem, z, w, Fw, gamma, p, numbers, coins)
            problem.point = (argument if problem.constrained else z, gamma)
            status = problem.advance(z, done)
            if status is not None:
                return status
            if not snapshot:
                continue
            w, Fw = z, problem.full(z)
            # Steps are single components, so (argument − z)/γ is one noisy element of G(z); the
            # certificate takes a forward–backward step from the snapshot instead where G is there.
            residual = norm2(Fw) if not problem.constrained else _natural(problem, w, Fw)
            if not math.isfinite(residual):
                return Status.NONFINITE
            if not problem.constrained:
                status = problem.certify(Fw)
            else:
                eta = 1.0 / problem.F.lipschitz
                problem.point = (w - eta * Fw, eta)
                status = problem.check(residual)
            if status is not None:
                return status

    return run_inclusion(
        "vr-extragradient",
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
        seed=seed,
    )


def _natural(problem: Inclusion, w: Array, Fw: Array) -> float:
    eta = 1.0 / problem.F.lipschitz
    return norm2(w - problem.resolvent(w - eta * Fw, eta)) / eta


def _steps(
    problem: Inclusion,
    z: Array,
    w: Array,
    Fw: Array,
    gamma: float,
    p: float,
    numbers: np.ndarray,
    coins: np.ndarray,
) -> tuple[Array, Array, int, bool]:
    """Steps until a coin asks for a snapshot: iterate, argument of its resolvent, steps, whether one did."""
    form = compiled_form(problem)
    if form is not None:
        from ..backends.kernels.numba import inclusion

        kernel: Any = inclusion.vr_extragradient

        z, argument, done = kernel(
            *form, z, w, np.ascontiguousarray(Fw), gamma, p, problem.F.n, numbers, coins
        )
        problem.evaluations += 2 * done
        problem.resolvents += 2 * done
        return z, argument, done, bool(coins[done - 1])
    argument = z
    for done, (i, coin) in enumerate(zip(numbers, coins, strict=True), start=1):
        mean = (1.0 - p) * z + p * w
        half = problem.resolvent(mean - gamma * Fw, gamma)
        argument = mean - gamma * (Fw + problem.difference(np.array([i]), half, w))
        z = problem.resolvent(argument, gamma)
        if coin:
            return z, argument, done, True
    return z, argument, len(numbers), False
