r"""Non-expansive maps whose fixed points solve ``0 ∈ F(u) + G(u)``: what `halpern` iterates.

Each map ``T`` is averaged in a metric, ``(1 + ρ) T − ρ`` being non-expansive up to the `reflection` ρ it
states. One call returns ``T(u)`` and the fixed-point residual in the metric, and leaves the feasible point
it passed in ``x`` and the start of that point's certificate in ``problem.point``.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from ..backends.namespace import Array, norm2
from ..operators.saddle import SaddlePoint
from ..operators.sets import Product, Resolvent, WholeSpace
from .douglas_rachford import DouglasRachford
from .inclusion import Inclusion, full_constant, ones_like

__all__ = ["ForwardBackward", "PrimalDual", "SplitMap", "choose_splitting"]

SPLITTINGS = ("auto", "forward-backward", "primal-dual", "douglas-rachford")


class SplitMap(Protocol):
    """A map, its largest safe reflection, and how to rebalance it."""

    reflection: float
    weight: float
    x: Array

    def begin(self) -> Array: ...

    def __call__(self, u: Array, /) -> tuple[Array, float]: ...

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
                "F is neither declared cocoercive, nor has it a resolvent (solve), nor is it a SaddlePoint; "
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
