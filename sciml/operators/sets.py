r"""Convex sets and functions through their resolvents :math:`(I + \eta G)^{-1}`.

For the normal cone of a set the resolvent is the projection, whatever the step; for a function it is
the proximal map. A *step* is a positive number or an array of the shape of `u` (constant on the parts
of a `Product`), so primal and dual parts can move at their own speed.

Each set also knows its *tangent* space, the linear span of differences of its points. Lipschitz
constants matter only there: a matrix game's rank-one part vanishes on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, device, dtype_name, is_array, norm2

__all__ = [
    "Affine",
    "Box",
    "L1Ball",
    "L1Norm",
    "L2Ball",
    "NonNegative",
    "Product",
    "Resolvent",
    "Simplex",
    "WholeSpace",
]


class Resolvent:
    """A maximal monotone map `G`, known by its resolvent. Also the whole space, ``G = 0``.

    Users' own objects need only ``resolvent(u, step)``; the other members have safe defaults here.
    """

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        r""":math:`(I + \text{step}\,G)^{-1}(u)`, an array like `u`."""
        return u

    def tangent(self, d: Array) -> Array:
        """Orthogonal projection of `d` onto the span of differences of feasible points."""
        return d

    def free(self, w: Array, step: Any) -> Array | None:
        """Boolean array: entries of `w` that the resolvent moves freely, where it acts entry by entry.

        None where entries are coupled (simplex, balls, affine sets).
        """
        return None

    def check(self, u: Array) -> None:
        """Raise `ValueError` unless the set fits arrays like `u`."""

    def compiled(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """What compiled kernels project with: lower and upper bounds, simplex ranges, simplex sums.

        None where a set has no such form; then the array-API text runs.
        """
        return None

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in vars(self).items() if np.ndim(v) == 0)
        return f"{type(self).__name__}({settings})"


class WholeSpace(Resolvent):
    """No constraint."""

    def free(self, w: Array, step: Any) -> Array:
        return w == w

    def compiled(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return _compiled_box(size, -np.inf, np.inf)


class Simplex(Resolvent):
    """``{u ≥ 0, Σ u = total}``, projected exactly by sorting.

    Source: Held, Wolfe and Crowder, Math. Programming 6 (1974) 62-88.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators.sets import Simplex
    >>> Simplex().resolvent(np.array([2.0, 1.5, 0.0]))
    array([0.75, 0.25, 0.  ])
    """

    def __init__(self, total: float = 1.0):
        self.total = _positive(total, "total", "an infeasible or degenerate simplex otherwise")

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        xp = array_namespace(u)
        n = u.shape[0]
        descending = xp.sort(u, descending=True)
        excess = xp.cumulative_sum(descending) - self.total
        ranks = xp.astype(xp.arange(1, n + 1, device=device(u)), u.dtype)
        # The support is the longest prefix whose entries stay positive after the common shift.
        support = xp.count_nonzero(descending * ranks > excess)
        last = xp.reshape(support, (1,)) - 1
        shift = xp.take(excess, last) / xp.take(ranks, last)
        return xp.clip(u - shift, min=0.0)

    def tangent(self, d: Array) -> Array:
        return d - array_namespace(d).mean(d)

    def compiled(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        lower, upper, _, _ = _compiled_box(size, -np.inf, np.inf)
        return lower, upper, np.array([[0, size]], dtype=np.int64), np.array([self.total])


class Box(Resolvent):
    """``{lower ≤ u ≤ upper}``; bounds are numbers or arrays like `u`, infinite where open.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators.sets import Box
    >>> Box(0.0, 1.0).resolvent(np.array([-1.0, 0.5, 2.0]))
    array([0. , 0.5, 1. ])
    """

    def __init__(self, lower: Any = -math.inf, upper: Any = math.inf):
        for name, bound in (("lower", lower), ("upper", upper)):
            if _any(bound != bound):
                raise ValueError(f"{name} holds NaN; expected numbers, infinite where there is no bound")
        if _any(lower > upper):
            raise ValueError("lower exceeds upper somewhere, so the box is empty; expected lower <= upper")
        self.lower, self.upper = lower, upper

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        xp = array_namespace(u)
        for bound, bounded in ((self.lower, xp.maximum), (self.upper, xp.minimum)):
            if is_array(bound):
                u = bounded(u, bound)
            elif math.isfinite(bound):
                u = bounded(u, xp.asarray(bound, dtype=u.dtype, device=device(u)))
        return u

    def free(self, w: Array, step: Any) -> Array:
        return (w > self.lower) & (w < self.upper)

    def check(self, u: Array) -> None:
        for name in ("lower", "upper"):
            bound = getattr(self, name)
            if is_array(bound) and tuple(bound.shape) != tuple(u.shape):
                raise ValueError(
                    f"{name} has shape {tuple(bound.shape)}; expected the shape of u0, {tuple(u.shape)}"
                )

    def compiled(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return _compiled_box(size, self.lower, self.upper)


class NonNegative(Box):
    """``{u ≥ 0}``."""

    def __init__(self) -> None:
        super().__init__(0.0, math.inf)


class Affine(Resolvent):
    r"""``{C u = d}``, projected by :math:`u - C^+ (C u - d)`.

    Parameters
    ----------
    C : array of shape ``(m, n)``
        Rows may be dependent as long as the system has a solution.
    d : array of shape ``(m,)``
    """

    def __init__(self, C: Array, d: Array):
        xp = array_namespace(C, d)
        if len(C.shape) != 2 or tuple(d.shape) != (C.shape[0],):
            raise ValueError(f"C has shape {tuple(C.shape)} and d {tuple(d.shape)}; expected (m, n) and (m,)")
        self.C, self.d = C, d
        self._pinv = xp.linalg.pinv(C)
        gap = norm2(C @ (self._pinv @ d) - d)
        rounding = 1e-4 if dtype_name(C) == "float32" else 1e-9
        if not gap <= rounding * max(norm2(d), 1e-300):
            raise ValueError(
                f"no u satisfies C u = d (least-squares residual {gap:.3e}), so the set is empty"
            )

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        return u - self._pinv @ (self.C @ u - self.d)

    def tangent(self, d: Array) -> Array:
        return d - self._pinv @ (self.C @ d)

    def check(self, u: Array) -> None:
        if tuple(u.shape) != (self.C.shape[1],):
            raise ValueError(f"u0 has shape {tuple(u.shape)}; expected ({self.C.shape[1]},) to match C")


class L2Ball(Resolvent):
    """``{‖u − center‖₂ ≤ radius}``."""

    def __init__(self, radius: float = 1.0, center: Any = 0.0):
        self.radius, self.center = _positive(radius, "radius", "the ball is empty otherwise"), center

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        length = norm2(u - self.center)
        return u if length <= self.radius else self.center + (u - self.center) * (self.radius / length)


class L1Ball(Resolvent):
    """``{‖u − center‖₁ ≤ radius}``, through the simplex of the magnitudes.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, ICML 2008, section 4.
    """

    def __init__(self, radius: float = 1.0, center: Any = 0.0):
        self.radius, self.center = _positive(radius, "radius", "the ball is empty otherwise"), center

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        xp = array_namespace(u)
        d = u - self.center
        magnitudes = xp.abs(d)
        if float(xp.sum(magnitudes)) <= self.radius:
            return u
        return self.center + xp.sign(d) * Simplex(self.radius).resolvent(magnitudes)


class L1Norm(Resolvent):
    """The subdifferential of ``weight ‖u‖₁``; its resolvent is soft thresholding."""

    def __init__(self, weight: float = 1.0):
        self.weight = _positive(weight, "weight", "leave the term out instead")

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        xp = array_namespace(u)
        return xp.sign(u) * xp.clip(xp.abs(u) - self.weight * step, min=0.0)

    def free(self, w: Array, step: Any) -> Array:
        return array_namespace(w).abs(w) > self.weight * step


class Product(Resolvent):
    """One set per consecutive part of a flat vector.

    Parameters
    ----------
    parts : sequence of (set, int)
        A set and the number of entries it constrains.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators.sets import NonNegative, Product, Simplex
    >>> Product([(Simplex(), 2), (NonNegative(), 1)]).resolvent(np.array([1.0, 1.0, -3.0]))
    array([0.5, 0.5, 0. ])
    """

    def __init__(self, parts: Sequence[tuple[Any, int]]):
        sizes = [size for _, size in parts]
        if not sizes or min(sizes) < 1:
            raise ValueError(f"parts have sizes {sizes}; expected at least one part, each of positive size")
        self.sets = [part for part, _ in parts]
        self.edges = [0, *np.cumsum(sizes).tolist()]

    def _each(self, u: Array) -> list[tuple[Any, slice]]:
        return [
            (part, slice(a, b)) for part, a, b in zip(self.sets, self.edges, self.edges[1:], strict=False)
        ]

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        return array_namespace(u).concat(
            [part.resolvent(u[s], step[s] if is_array(step) else step) for part, s in self._each(u)]
        )

    def tangent(self, d: Array) -> Array:
        return array_namespace(d).concat([part.tangent(d[s]) for part, s in self._each(d)])

    def free(self, w: Array, step: Any) -> Array | None:
        masks = [part.free(w[s], step[s] if is_array(step) else step) for part, s in self._each(w)]
        return None if any(mask is None for mask in masks) else array_namespace(w).concat(masks)

    def check(self, u: Array) -> None:
        if tuple(u.shape) != (self.edges[-1],):
            raise ValueError(
                f"u0 has shape {tuple(u.shape)}; expected ({self.edges[-1]},), the sizes of G's parts"
            )
        for part, s in self._each(u):
            part.check(u[s])

    def compiled(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        forms = [
            part.compiled(b - a) for part, a, b in zip(self.sets, self.edges, self.edges[1:], strict=False)
        ]
        if any(form is None for form in forms):
            return None
        lower, upper, ranges, totals = zip(*forms, strict=True)
        shifted = [r + a for r, a in zip(ranges, self.edges, strict=False)]
        return np.concatenate(lower), np.concatenate(upper), np.concatenate(shifted), np.concatenate(totals)

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.sets))})"


def _compiled_box(size: int, lower: Any, upper: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    bounds = [np.array(np.broadcast_to(np.asarray(b, dtype=float), (size,))) for b in (lower, upper)]
    return bounds[0], bounds[1], np.zeros((0, 2), dtype=np.int64), np.zeros(0)


def _positive(value: Any, name: str, why: str) -> float:
    if (
        not isinstance(value, int | float | np.floating | np.integer)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} is {value!r}; expected a positive finite number ({why})")
    return float(value)


def _any(condition: Any) -> bool:
    return bool(array_namespace(condition).any(condition)) if is_array(condition) else bool(condition)
