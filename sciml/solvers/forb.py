r"""The variance-reduced inner loops: forward–reflected–backward (Algorithm 3 of the paper) and extragradient.

Both draw their component numbers and snapshot coins first, so the array-API text and the compiled
kernel for dense affine maps see the same numbers and give the same iterates up to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array
from .inclusion import Inclusion

__all__ = ["compiled_form", "draw", "forb_steps"]


def draw(problem: Inclusion, count: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Component numbers and snapshot coins of `count` steps."""
    F = problem.F
    if hasattr(F, "draws"):
        numbers = F.draws(problem.rng, count)
    else:
        numbers = np.concatenate([F.sample(problem.rng, 1) for _ in range(count)])
    return numbers, problem.rng.random(count) < p


def compiled_form(problem: Inclusion) -> tuple[Any, ...] | None:
    """``(K, columns, q, blocks, lower, upper, ranges, totals)`` if kernels apply, made once per problem."""
    if "compiled" not in problem.__dict__:
        problem.__dict__["compiled"] = None
        if (
            isinstance(problem.u0, np.ndarray)
            and problem.u0.dtype == np.float64
            and hasattr(problem.F, "columns")
        ):
            columns = problem.F.columns()
            sets = problem.G.compiled(problem.u0.size) if hasattr(problem.G, "compiled") else None
            if columns is not None and sets is not None:
                K, q, blocks = columns
                problem.__dict__["compiled"] = (
                    np.ascontiguousarray(K),
                    np.ascontiguousarray(K.T),
                    np.ascontiguousarray(q),
                    blocks,
                    *sets,
                )
    return problem.__dict__["compiled"]


def forb_steps(
    problem: Inclusion, u: Array, eta: float, gamma: float, p: float, count: int, Fu: Array | None = None
) -> tuple[Array, Array]:
    r"""`count` VR-FoRB steps for ``v + η(F + G)(v) ∋ u``, from ``v = u``.

    ``v ← J_{γηG}((1 − p) v + p w − γ [B(w) + B_i(v) − B_i(w₋)])`` with ``B(v) = ηF(v) + v − u``; with
    probability `p` the snapshot `w` moves to `v`. Returns the last `v` and the argument of its resolvent.
    """
    Fw = problem.full(u) if Fu is None else Fu
    numbers, coins = draw(problem, count, p)
    form = compiled_form(problem)
    if form is not None:
        from ..backends.kernels.numba import inclusion

        kernel: Any = inclusion.forb

        v, z = kernel(*form, u, np.ascontiguousarray(Fw), eta, gamma, p, problem.F.n, numbers, coins)
        problem.evaluations += 2 * count + problem.F.n * int(np.count_nonzero(coins))
        problem.resolvents += count
        return v, z
    v = w = before = z = u
    Bw = eta * Fw
    for i, coin in zip(numbers, coins, strict=True):
        correction = eta * problem.difference(np.array([i]), v, before) + (v - before)
        z = (1.0 - p) * v + p * w - gamma * (Bw + correction)
        v = problem.resolvent(z, gamma * eta)
        before = w
        if coin:
            w = v
            Bw = eta * problem.full(w) + w - u
    return v, z
