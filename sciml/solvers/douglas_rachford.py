r"""The Douglas–Rachford map for `halpern`, with a diagonal metric that follows the constraints."""

from __future__ import annotations

import math

from ..backends.namespace import Array, norm2, vdot
from .inclusion import Inclusion, full_constant, ones_like

__all__ = ["DouglasRachford"]


class DouglasRachford:
    r"""``T(z) = z + J_{ηG}(2v − z) − v`` with ``v = J_{ηF}(z)``, for `F` with a resolvent ``F.solve``.

    Reflected fully it is the Peaceman–Rachford map. Where `G` acts entry by entry, η is an array, a diagonal
    metric: ``1/μ`` on entries that move freely (there the method should solve with `F`) and ``1/L`` on
    those held by a constraint (there it should not move at all), with ``μ`` and ``L`` the ends of the
    spectrum of `F`. One η for all needs about ``√(L/μ)`` iterations; two need far fewer, and grow slowly with
    the grid.

    The metric follows the constraints at restarts. An entry that changes sides is trusted less from
    then on: its η moves half the way, in logarithms, to ``1/√(μL)``, the best common value. So no entry can
    make the metric change for ever, and between two changes the map is a fixed averaged one.

    Source: Lions and Mercier, SIAM J. Numer. Anal. 16 (1979) 964-979; Halpern form: Sun, Yuan, Zhang and
    Zhao, HPR-LP (arXiv:2408.12179). The metric is ours.
    """

    reflection = 1.0
    SETTLED = 2
    """Iterations without change after which held entries count as settled."""
    METRICS = 200
    """Most changes of the metric in one solve."""
    DISTRUST, RECOVERY = 0.7, 0.5

    def __init__(self, problem: Inclusion, weight: float | None):
        self.problem, self.changes = problem, 0
        self.contrast = 1.0
        if weight is None:
            L = full_constant(problem.F)
            mu = smallest_curvature(problem, L)
            weight, self.contrast = 1.0 / math.sqrt(mu * L), math.sqrt(L / mu)
        self.weight, self.eta = weight, weight
        self.x, self.Fv = problem.u0, problem.Fu0
        self.w = problem.u0 - (weight / self.contrast) * problem.Fu0
        self.free, self.rest = self._free(), 0
        self.metric_free: Array | None = None
        self.trust = ones_like(problem.u0, 1.0)

    def begin(self) -> Array:
        """The first `z`: in the metric a forward–backward step predicts, with `F` only where that holds."""
        u = self.problem.u0
        z = self.rebalance(self.weight, u)
        return u if self.metric_free is None else self.problem.xp.where(self.metric_free, u, z)

    def __call__(self, z: Array) -> tuple[Array, float]:
        problem, eta = self.problem, self.eta
        v = problem.F.solve(z, eta)
        problem.evaluations += problem.F.n
        self.w = w = 2.0 * v - z
        self.x = u = problem.resolvent(w, eta)
        self.Fv = (z - v) / eta
        self._watch()
        problem.point = (w if problem.constrained else u, eta)
        d = u - v
        return z + d, math.sqrt(vdot(d, d / eta).real)

    def _free(self) -> Array | None:
        """Entries the constraints leave alone; None where one η serves all."""
        if self.contrast == 1.0 or not hasattr(self.problem.G, "free"):
            return None
        return self.problem.G.free(self.w, self.eta)

    def _watch(self) -> None:
        """Count the iterations for which the held entries have stayed the same."""
        before, self.free = self.free, self._free()
        same = before is not None and self.free is not None and bool(self.problem.xp.all(before == self.free))
        self.rest = self.rest + 1 if same else 0

    def outdated(self) -> bool:
        """Whether the held entries have settled, but on others than the metric was made for."""
        if self.rest < self.SETTLED or self.changes >= self.METRICS or self.metric_free is None:
            return False
        return bool(self.problem.xp.any(self.free != self.metric_free))

    def travelled(self, anchor: Array, u: Array) -> float:
        return 1.0

    def rebalance(self, weight: float, u: Array) -> Array:
        """Follow the constraints; keep ``u`` and ``F(v)``, so that ``z = u + η F(v)`` of the new η."""
        xp, free = self.problem.xp, self.free
        if free is None or self.changes >= self.METRICS:
            return u
        if self.metric_free is not None:
            flipped = free != self.metric_free
            if not bool(xp.any(flipped)):
                return u
            self.trust = xp.where(flipped, self.DISTRUST * self.trust, self.trust**self.RECOVERY)
        self.metric_free, self.changes = free, self.changes + 1
        exponent = xp.where(free, self.trust, -self.trust)
        self.eta = self.weight * xp.exp(math.log(self.contrast) * exponent)
        return self.x + self.eta * self.Fv


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
