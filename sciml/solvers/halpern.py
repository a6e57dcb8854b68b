r"""Halpern iterations for monotone inclusions: deterministic, and with two kinds of variance reduction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import Array, dtype_name, norm2
from ..operators.rows import positive_constant
from .forb import forb_steps
from .inclusion import Inclusion, positive_step, run_inclusion
from .iteration import Callback
from .restart import Balance, Restart
from .result import SolveResult, Status
from .splitting import SPLITTINGS, choose_splitting

__all__ = ["halpern"]


def halpern(
    F: Any,
    u0: Array,
    *,
    G: Any = None,
    variance_reduction: str | None = None,
    splitting: str = "auto",
    step: float | None = None,
    primal_weight: float | str = "adaptive",
    reflection: float | None = None,
    restart: str | int | None = "adaptive",
    batch: int | None = None,
    inner_step: float | None = None,
    inner_epochs: float = 0.05,
    seed: int | None = 0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    r"""Solve ``0 ∈ F(u) + G(u)`` for a monotone `F` and a `G` with a cheap resolvent.

    The iterate is pulled towards an anchor, :math:`u_{k+1} = \lambda_k u_0 + (1 - \lambda_k) T(u_k)` with
    :math:`\lambda_k \sim 1/k`, which makes the residual of the *last* iterate fall like O(1/k); moving the
    anchor (restarts) makes the convergence linear on sharp problems.

    Parameters
    ----------
    F : finite sum
        For instance `matrix_game`, `constrained_qp`, `SaddlePoint`, `LeastSquares`, `AffineSum`.
    u0 : array of shape ``F.in_shape`` or flat
        Start and first anchor.
    G : object with ``resolvent(u, step)``, optional
        A set (its normal cone) or a proximal map; by default what `F` carries, else nothing.
    variance_reduction : None, "page" or "forb"
        None: deterministic, one `F` per iteration. ``"page"``: Algorithm 1 of the paper, for cocoercive
        `F`. ``"forb"``: Algorithm 2, Halpern outside and forward–reflected–backward inside, for every
        monotone Lipschitz `F`. Worth it where ``√n L_full/L`` is well above one.
    splitting : {"auto", "forward-backward", "primal-dual", "douglas-rachford"}
        The map ``T`` of the deterministic method; ``"auto"`` reads it from the structure of `F`.
    step : float, optional
        Step η. Defaults: ``1/L_full`` for forward–backward, ``1/(4L)`` for ``"page"``, ``√n/L`` for
        ``"forb"``, 1 (times the safe steps) for primal–dual; a number fixes the η of Douglas–Rachford.
    primal_weight : float or "adaptive"
        Balance of primal against dual steps, adaptive from 1 at restarts; for Douglas–Rachford η itself,
        where adaptive means one η for entries that move freely and one for entries held by a constraint.
    reflection : float, optional
        ρ in ``(1 + ρ) T − ρ``; by default the largest safe one, 0 in the variance-reduced methods.
    restart : "adaptive", int or None
        See `sciml.solvers.restart.Restart`.
    batch : int, optional
        Components per step of ``"page"``; ``⌈√n⌉`` by default.
    inner_step, inner_epochs : float, optional
        Of ``"forb"``: step γ of the inner method, and its ``⌊inner_epochs · n ln(k + 2)⌋`` steps.
    seed : int or None
        Of the random methods; the same seed gives the same run.
    rtol, atol : float
        Stop when ``‖F(u) + g‖₂ ≤ max(rtol ‖F(u₀) + g₀‖₂, atol)`` with ``g ∈ G(u)``. Both zero: run
        `maxiter` iterations, or until `max_epochs` are spent.
    maxiter : int, optional
        Default 100,000 (unlimited where `max_epochs` is given).
    max_epochs : float, optional
        Budget in epochs (`n` component evaluations each).
    callback : callable, optional
        ``callback(state)`` after each iteration with ``state.epochs``; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.

    Returns
    -------
    SolveResult
        `x` lies in the domain of `G`. ``info``: epochs, evaluations, restarts, resolvents,
        history_epochs, splitting or method, primal_weight.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, and for an `F` that two iterates prove not monotone.

    Notes
    -----
    Source: Cai, Alacaoglu and Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone
    inclusions", ICLR 2024 (arXiv:2310.02987). Reflection and restarts: Lu and Yang, restarted reflected
    Halpern PDHG (arXiv:2407.16144).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import halpern
    >>> from sciml.operators import LeastSquares, NonNegative
    >>> F = LeastSquares(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, -1.0]), G=NonNegative())
    >>> halpern(F, np.ones(2), rtol=1e-10).x.round(6)
    array([0.2, 0. ])
    """
    if variance_reduction not in (None, "page", "forb"):
        raise ValueError(f"variance_reduction is {variance_reduction!r}; expected None, 'page' or 'forb'")
    if splitting not in SPLITTINGS:
        raise ValueError(f"splitting is {splitting!r}; expected one of {', '.join(SPLITTINGS)}")
    step = None if step is None else positive_step(step, 1.0)
    inner_step = None if inner_step is None else positive_step(inner_step, 1.0, "inner_step")
    positive_constant(inner_epochs, "inner_epochs")
    if batch is not None and (not isinstance(batch, int | np.integer) or batch < 1):
        raise ValueError(f"batch is {batch!r}; expected a positive integer or None")
    if reflection is not None and not (isinstance(reflection, int | float) and 0 <= reflection <= 1):
        raise ValueError(f"reflection is {reflection!r}; expected a number in [0, 1] or None")
    adaptive = primal_weight == "adaptive"
    weight = 1.0 if adaptive else positive_constant(primal_weight, "primal_weight")
    rule = Restart(restart)
    balance = Balance(weight, adaptive)

    def iterate(problem: Inclusion) -> Status | None:
        if variance_reduction == "page":
            status = _page(problem, rule, step, batch)
        elif variance_reduction == "forb":
            status = _forb(problem, rule, step, inner_step, inner_epochs)
        else:
            status = _deterministic(problem, rule, balance, splitting, step, reflection)
        problem.info["restarts"] = rule.count
        return status

    name = "halpern" if variance_reduction is None else f"halpern + {variance_reduction}"
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
        seed=seed,
    )


def _deterministic(
    problem: Inclusion,
    rule: Restart,
    balance: Balance,
    splitting: str,
    step: float | None,
    reflection: float | None,
) -> Status | None:
    """``u ← λ u₀ + (1 − λ)((1 + ρ) T(u) − ρ u)``, ``λ = 1/(k + 2)``."""
    T = choose_splitting(problem, splitting, step, balance.weight, balance.adaptive)
    rho = T.reflection if reflection is None else reflection
    balance.weight = balance.best = balance.first = T.weight
    problem.info["splitting"] = type(T).__name__
    anchor = u = T.begin()
    k = 0
    rounding = 1e-7 if dtype_name(u) in ("float32", "complex64") else 1e-16
    while True:
        v, residual = T(u)
        problem.info["primal_weight"] = T.weight
        status = problem.advance(T.x) or problem.check(residual)
        if status is not None:
            return status
        if not math.isfinite(residual):
            return Status.NONFINITE
        if not problem.fixed and norm2(v - u) <= rounding * norm2(u):
            return problem.certify() or Status.STAGNATED
        if rule.decide(residual, force=T.outdated()):
            weight = balance.update(T.travelled(anchor, v), rule.rate())
            anchor = u = T.rebalance(weight, v)
            rule.begin()
            k = 0
            continue
        pull = 1.0 / (k + 2)
        u = pull * anchor + (1.0 - pull) * (v + rho * (v - u))
        k += 1


def _page(problem: Inclusion, rule: Restart, step: float | None, batch: int | None) -> Status | None:
    """Algorithm 1: a recursive (PAGE) estimate of `F`, recomputed with probability ``p_k``."""
    F, n = problem.F, problem.F.n
    eta = step or 1.0 / (4.0 * F.lipschitz)
    b = min(n, math.ceil(math.sqrt(n)) if batch is None else int(batch))
    root = math.sqrt(n)
    anchor = u = problem.u0
    previous = estimate = problem.Fu0
    k = 0
    while True:
        p = 1.0 if k <= 1 else 4.0 / (k + 4) if k - 1 <= root else 4.0 / (root + 5)
        if p == 1.0 or problem.rng.random() < p:
            if problem.iterations > 0:
                estimate = problem.full(u)
                status = problem.certify(estimate)
                if status is not None:
                    return status
                if rule.decide(problem.history[-1], k - rule.inner):
                    anchor, k = u, 0
                    rule.begin()
        else:
            estimate = estimate + problem.difference(F.sample(problem.rng, b), u, previous)
        pull = 2.0 / (k + 4)
        w = pull * anchor + (1.0 - pull) * u - eta * estimate
        previous, u = u, problem.resolvent(w, eta)
        problem.point = (w if problem.constrained else u, eta)
        status = problem.advance(u)
        if status is not None:
            return status
        k += 1


def _forb(
    problem: Inclusion, rule: Restart, step: float | None, inner_step: float | None, inner_epochs: float
) -> Status | None:
    """Algorithm 2: Halpern on the resolvent of ``F + G``, each computed by a few VR-FoRB steps."""
    n, L = problem.F.n, problem.F.lipschitz
    eta = step or math.sqrt(n) / L
    p = 1.0 / n if n > 1 else 0.5
    gamma = inner_step or math.sqrt(p * (1.0 - p)) / (eta * L + 1.0)
    anchor = u = problem.u0
    k = 0
    while True:
        count = max(1, int(inner_epochs * n * math.log(k + 2)))
        v, w = forb_steps(problem, u, eta, gamma, p, count, problem.Fu0 if problem.iterations == 0 else None)
        problem.point = (w if problem.constrained else v, gamma * eta)
        residual = norm2(u - v) / eta
        status = problem.advance(v) or problem.check(residual)
        if status is not None:
            return status
        if rule.decide(residual):
            anchor, k = v, 0
            u = v
            rule.begin()
            continue
        pull = 1.0 / (k + 2)
        u = pull * anchor + (1.0 - pull) * v
        k += 1
