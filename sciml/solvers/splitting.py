r"""Non-expansive maps whose fixed points solve ``0 ∈ F(u) + G(u)``: what `halpern` iterates.

Each map ``T`` is averaged in a metric, ``(1 + ρ) T − ρ`` being non-expansive up to the `reflection` ρ it
states. One call returns ``T(u)`` and the fixed-point residual in the metric, and leaves the feasible point
it passed in ``x`` and the start of that point's certificate in ``problem.point``.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from ..backends.namespace import Array, is_array, norm2, vdot
from ..operators.saddle import SaddlePoint
from ..operators.sets import Product, Resolvent, WholeSpace
from .inclusion import Inclusion, full_constant, ones_like

__all__ = ["DouglasRachford", "ForwardBackward", "PrimalDual", "SplitMap", "choose_splitting"]

SPLITTINGS = ("auto", "forward-backward", "primal-dual", "douglas-rachford")


class SplitMap(Protocol):
    """A map, its largest safe reflection, and how to rebalance it."""

    reflection: float
    weight: float
    x: Array

    def begin(self) -> Array: ...

    def __call__(self, u: Array) -> tuple[Array, float]: ...

    def outdated(self) -> bool: ...

    def travelled(self, anchor: Array, u: Array) -> float: ...

    def rebalance(self, weight: float, u: Array) -> Array: ...


class ForwardBackward:
    r"""``T(u) = J_{ηG}(u − η F(u))`` for cocoercive `F`, with ``η = 1/L``; averaged for ``η < 2/L``."""

    weight = 1.0

    def __init__(self, problem: Inclusion, step: float | None):
        L = full_constant(problem.F)
        self.problem, self.step = problem, step or 1.0 / L
        self.reflection = max(0.0, 1.0 - 0.5 * self.step * L)

    def outdated(self) -> bool:
        return False

    def begin(self) -> Array:
        return self.problem.u0

    def __call__(self, u: Array) -> tuple[Array, float]:
        w = u - self.step * self.problem.full(u)
        self.x = v = self.problem.resolvent(w, self.step)
        self.problem.point = (w if self.problem.constrained else v, self.step)
        return v, norm2(v - u) / self.step

    def travelled(self, anchor: Array, u: Array) -> float:
        return 1.0

    def rebalance(self, weight: float, u: Array) -> Array:
        return u


class PrimalDual:
    r"""The primal–dual map of Condat and Vũ for a `SaddlePoint`, the method of Chambolle and Pock where
    `H` and `D` vanish.

    ``x⁺ = J_{τGx}(x − τ(Hx − c + Aᵀy))``, ``y⁺ = J_{σGy}(y − σ(Dy − d − A(2x⁺ − x)))`` costs one `F`. The
    steps ``1/τ = ‖A‖/ω + ‖H‖`` and ``1/σ = ω‖A‖ + ‖D‖`` make the map averaged whatever the primal weight ω.

    Source: Condat, J. Optim. Theory Appl. 158 (2013) 460-479; Vũ, Adv. Comput. Math. 38 (2013) 667-681.
    """

    def __init__(self, problem: Inclusion, step: float | None, weight: float):
        F: SaddlePoint = problem.F
        self.problem, self.F, self.scale = problem, F, 1.0 if step is None else step
        self.reflection = 1.0 if max(F.curvature) == 0.0 else 0.5
        self.Gx, self.Gy = _parts(problem.G, F.sizes)
        self.weight = weight
        self.rebalance(weight, problem.u0)

    def rebalance(self, weight: float, u: Array) -> Array:
        self.weight = weight
        H, D = self.F.curvature
        self.tau = self.scale / (self.F.coupling / weight + H)
        self.sigma = self.scale / (self.F.coupling * weight + D)
        x, y = self.F.split(u)
        self.steps = self.problem.xp.concat([ones_like(x, self.tau), ones_like(y, self.sigma)])
        return u

    def outdated(self) -> bool:
        return False

    def begin(self) -> Array:
        return self.problem.u0

    def __call__(self, u: Array) -> tuple[Array, float]:
        F, problem = self.F, self.problem
        x, y = F.split(u)
        sx, sy = F.smooth_part(x, y)
        wx = x - self.tau * (sx + F.A.rmatvec(y))
        x_new = self.Gx.resolvent(wx, self.tau)
        wy = y - self.sigma * (sy - F.A.matvec(2.0 * x_new - x))
        y_new = self.Gy.resolvent(wy, self.sigma)
        problem.evaluations += F.n  # one product with each block, as in one F
        problem.resolvents += 1
        dx, dy = norm2(x_new - x), norm2(y_new - y)
        # The metric's cross term would cost a product; without it the norm is equivalent.
        residual = math.sqrt(dx * dx / self.tau + dy * dy / self.sigma)
        xp = problem.xp
        self.x = v = xp.concat([x_new, y_new])
        problem.point = (xp.concat([wx, wy]) if problem.constrained else v, self.steps)
        return v, residual

    def travelled(self, anchor: Array, u: Array) -> float:
        """``‖Δx‖/‖Δy‖``."""
        dx, dy = self.F.split(u - anchor)
        length = norm2(dy)
        return norm2(dx) / length if length > 0 else math.inf


class DouglasRachford:
    r"""``T(z) = z + J_{ηG}(2v − z) − v`` with ``v = J_{ηF}(z)``: for `F` with a resolvent of its own, ``F.solve``.

    Reflected fully it is the Peaceman–Rachford map. Where `G` acts entry by entry, η is an array, a diagonal
    metric: ``1/μ`` on entries that move freely (there the method should solve with `F`) and ``1/L`` on
    those held by a constraint (there it should not move at all), with ``μ`` and ``L`` the ends of the spectrum of
    `F`. One η for both would need about ``√(L/μ)`` iterations; two need nearly the same number on every grid. The
    metric follows the constraints at restarts, a bounded number of times, and is fixed in between.

    Source: Lions and Mercier, SIAM J. Numer. Anal. 16 (1979) 964-979; Halpern form: Sun, Yuan, Zhang and
    Zhao, HPR-LP (arXiv:2408.12179). The two-valued metric is ours.
    """

    reflection = 1.0
    METRICS, SETTLED = 50, 2

    def __init__(self, problem: Inclusion, weight: float | None):
        self.problem, self.changes = problem, 0
        self.slow = self.fast = weight
        if weight is None:
            L = full_constant(problem.F)
            self.slow, self.fast = 1.0 / L, 1.0 / smallest_curvature(problem, L)
            weight = math.sqrt(self.slow * self.fast)
        self.weight, self.eta = weight, weight
        self.x, self.Fv = problem.u0, problem.Fu0
        self.w = problem.u0 - self.slow * problem.Fu0
        self.free, self.rest = self._free(), 0

    def _free(self) -> Array | None:
        """Entries the constraints leave alone; None where one η serves all."""
        if self.fast == self.slow or not hasattr(self.problem.G, "free"):
            return None
        return self.problem.G.free(self.w, self.eta)

    def begin(self) -> Array:
        """The first `z`: with the metric that a forward–backward step predicts, and F only where it is held."""
        u, eta = self.problem.u0, self.eta
        z = self.rebalance(self.weight, u)
        if self.eta is eta:
            return u
        return self.problem.xp.where(self.eta == self.slow, z, u)

    def __call__(self, z: Array) -> tuple[Array, float]:
        problem, eta = self.problem, self.eta
        v = problem.F.solve(z, eta)
        problem.evaluations += problem.F.n
        self.w = w = 2.0 * v - z
        self.x = u = problem.resolvent(w, eta)
        self.v, self.Fv = v, (z - v) / eta
        self._watch()
        problem.point = (w if problem.constrained else u, eta)
        d = u - v
        return z + d, math.sqrt(vdot(d, d / eta).real)

    def travelled(self, anchor: Array, u: Array) -> float:
        return 1.0

    def _watch(self) -> None:
        """Count the iterations for which the held entries have stayed the same."""
        before, self.free = self.free, self._free()
        xp = self.problem.xp
        same = before is not None and self.free is not None and bool(xp.all(before == self.free))
        self.rest = self.rest + 1 if same else 0

    def outdated(self) -> bool:
        """Whether the held entries have settled, but on others than the metric was made for."""
        if self.rest < self.SETTLED or self.changes >= self.METRICS or not is_array(self.eta):
            return False
        return bool(self.problem.xp.any(self.free != (self.eta == self.fast)))

    def rebalance(self, weight: float, u: Array) -> Array:
        """Follow the constraints; keep ``u`` and ``F(v)``, so that ``z = u + η F(v)`` of the new η."""
        xp, free = self.problem.xp, self.free
        if free is None or self.changes >= self.METRICS:
            return u
        eta = xp.where(free, ones_like(u, self.fast), ones_like(u, self.slow))
        if bool(xp.all(eta == self.eta)):
            return u
        self.eta, self.changes = eta, self.changes + 1
        return self.x + eta * self.Fv


def smallest_curvature(problem: Inclusion, L: float) -> float:
    """The low end of the spectrum of an affine `F`, from a few inverse iterations with ``F.solve``."""
    step, xp = 1e6 / L, problem.xp
    d = ones_like(problem.u0, 1.0)
    origin = problem.F.solve(xp.zeros_like(d), step)
    shrinkage = 1.0
    for _ in range(4):
        d = d / norm2(d)
        image = problem.F.solve(d, step) - origin
        problem.evaluations += problem.F.n
        shrinkage, d = norm2(image), image
    return min(L, max(1.0 / shrinkage - 1.0, 1e-3) / step)


def choose_splitting(
    problem: Inclusion, splitting: str, step: float | None, weight: float, adaptive: bool
) -> SplitMap:
    """The map for `splitting`; ``"auto"`` takes the one the structure of `F` allows."""
    F = problem.F
    if splitting == "auto":
        if hasattr(F, "solve"):
            splitting = "douglas-rachford"
        elif isinstance(F, SaddlePoint) and _separable(problem.G, F.sizes):
            splitting = "primal-dual"
        elif getattr(F, "cocoercive", False):
            splitting = "forward-backward"
        else:
            raise ValueError(
                "F is monotone but declares neither cocoercive, nor a resolvent (solve), nor saddle-point structure; "
                "expected one of them, or variance_reduction='forb', or the solver eag"
            )
    if splitting == "douglas-rachford":
        if not hasattr(F, "solve"):
            raise ValueError("splitting is 'douglas-rachford' but F has no solve(w, step)")
        return DouglasRachford(problem, step if step is not None or adaptive else weight)
    if splitting == "primal-dual":
        if not isinstance(F, SaddlePoint) or not _separable(problem.G, F.sizes):
            raise ValueError(
                "splitting is 'primal-dual'; expected F to be a SaddlePoint and G to separate x from y"
            )
        return PrimalDual(problem, step, weight)
    return ForwardBackward(problem, step)


def _separable(G: Any, sizes: tuple[int, int]) -> bool:
    return isinstance(G, WholeSpace) or (isinstance(G, Product) and sizes[0] in G.edges)


def _parts(G: Any, sizes: tuple[int, int]) -> tuple[Resolvent, Resolvent]:
    if isinstance(G, WholeSpace):
        return G, G
    cut = G.edges.index(sizes[0])
    lengths = [b - a for a, b in zip(G.edges, G.edges[1:], strict=False)]
    parts = list(zip(G.sets, lengths, strict=True))
    low, high = parts[:cut], parts[cut:]
    return (low[0][0] if cut == 1 else Product(low)), (high[0][0] if len(high) == 1 else Product(high))
