"""Contract checks for finite sums: components, constants, monotonicity, the resolvent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, norm2, vdot
from .report import Probes, finish, relative_difference, rounding

__all__ = ["check_finite_sum"]


def check_finite_sum(
    F: Any, *, like: Array | None = None, samples: int = 8, seed: int = 0, raise_on_failure: bool = True
) -> list[str]:
    """Check what solvers for inclusions rely on, on random probes.

    ``difference`` over all components is that of ``full``; random batches hold valid numbers and are
    reproducible; `F` is monotone, within its declared Lipschitz constants, and cocoercive if it says so; the
    resolvent of `G` is firmly non-expansive and idempotent for sets. Probes lie in the domain of `G`.

    Parameters
    ----------
    F : finite sum
        Such as `sciml.operators.FiniteSumBase` and its subclasses.
    like : array, optional
        Probes are made in the library and on the device of this array; NumPy by default.
    samples : int
        Pairs of probes.
    seed : int
        Of the probes.
    raise_on_failure : bool
        Raise `AssertionError` if a promise is broken.

    Returns
    -------
    list of str
        One sentence per broken promise.

    Notes
    -----
    Monotonicity on probes is necessary, not sufficient: a failure proves that `F` is not monotone, a pass
    does not prove that it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import LeastSquares
    >>> from sciml.testing import check_finite_sum
    >>> check_finite_sum(LeastSquares(np.eye(3), np.ones(3)))
    []
    """
    missing = [
        name
        for name in ("n", "lipschitz", "full", "difference", "sample", "in_shape")
        if not hasattr(F, name)
    ]
    if missing:
        return finish("the finite sum", [f"it has no {', '.join(missing)}"], raise_on_failure)
    probes = Probes(like, getattr(F, "dtype", np.dtype("float64")), seed)
    slack = rounding(probes.dtype, None)
    G = getattr(F, "G", None)
    sentences: list[str] = []

    def feasible() -> Array:
        u = probes.normal(tuple(F.in_shape))
        return u if G is None else G.resolvent(u, 1.0)

    tangent = getattr(G, "tangent", lambda d: d)
    full_constant = getattr(F, "lipschitz_full", F.lipschitz)
    q = getattr(F, "probability", None)
    q = np.full(F.n, 1.0 / F.n) if q is None else q
    worst = {"monotone": 0.0, "full": 0.0, "average": 0.0, "sum": 0.0, "firm": 0.0}
    for _ in range(samples):
        u, v = feasible(), feasible()
        d, change = u - v, F.full(u) - F.full(v)
        length = norm2(d)
        if length == 0.0:
            continue
        inner = vdot(change, d).real
        worst["monotone"] = min(worst["monotone"], inner / length**2 / full_constant)
        worst["full"] = max(worst["full"], norm2(tangent(change)) / length / full_constant)
        parts = [F.difference(np.array([i]), u, v) for i in range(min(F.n, 256))]
        if F.n <= 256:
            total = sum(q[i] * part for i, part in enumerate(parts))
            worst["sum"] = max(worst["sum"], relative_difference(total, change))
            square = sum(q[i] * norm2(part) ** 2 for i, part in enumerate(parts))
            cocoercive = getattr(F, "cocoercive", False)
            allowed = F.lipschitz * inner if cocoercive else (F.lipschitz * length) ** 2
            worst["average"] = max(worst["average"], square / allowed if allowed > 0 else np.inf)
        if G is not None:
            a, b = probes.normal(tuple(F.in_shape)), probes.normal(tuple(F.in_shape))
            p = G.resolvent(a, 0.5) - G.resolvent(b, 0.5)
            worst["firm"] = max(worst["firm"], vdot(p, p).real - vdot(p, a - b).real)
    if worst["monotone"] < -slack:
        sentences.append(
            f"F is not monotone: ⟨F(u) − F(v), u − v⟩ = {worst['monotone']:.3e} L ‖u − v‖² for some u, v"
        )
    if worst["full"] > 1 + slack:
        sentences.append(
            f"lipschitz_full = {full_constant:.4g} is too small by the factor {worst['full']:.4g}"
        )
    if worst["sum"] > slack:
        sentences.append(f"the mean of the components differs from F by {worst['sum']:.3e}, relatively")
    if worst["average"] > 1 + slack:
        kind = "average-cocoercive" if getattr(F, "cocoercive", False) else "Lipschitz on average"
        sentences.append(
            f"F is not {kind} with lipschitz = {F.lipschitz:.4g}: off by the factor {worst['average']:.4g}"
        )
    if worst["firm"] > slack:
        sentences.append(f"the resolvent of G is not firmly non-expansive (excess {worst['firm']:.3e})")
    sentences += _sampling(F)
    u = feasible()
    before = u * 1
    F.full(u)
    F.difference(np.array([0]), u, u)
    if not bool(array_namespace(u).all(u == before)):
        sentences.append("F modifies its input")
    return finish("the finite sum", sentences, raise_on_failure)


def _sampling(F: Any) -> list[str]:
    size = max(1, min(5, F.n))
    batch, again = (F.sample(np.random.default_rng(1), size) for _ in range(2))
    if not np.array_equal(batch, again):
        return ["sample is not reproducible from the generator it is given"]
    if len(batch) != size or batch.min() < 0 or batch.max() >= F.n:
        return [f"sample returned {batch.tolist()}; expected {size} numbers from 0 to {F.n - 1}"]
    return []
