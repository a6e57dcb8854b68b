r"""Ready-made monotone inclusions: obstacle problems, matrix games, constrained QPs, bounded least squares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.namespace import Array, array_namespace, is_array
from ..operators.finite_sum import AffineSum, LeastSquares
from ..operators.saddle import SaddlePoint, constrained_qp
from ..operators.sets import Box, NonNegative
from ..operators.stencil import PoissonOperator

__all__ = [
    "ShiftedSolve",
    "VariationalProblem",
    "bounded_least_squares",
    "membrane_over_ball",
    "obstacle_sum",
    "ouyang_xu_qp",
    "policeman_and_burglar",
]


@dataclass(frozen=True)
class VariationalProblem:
    """An inclusion with its start.

    Attributes
    ----------
    F : finite sum
        Carries its `G`.
    u0 : array
    exact : array or None
        The solution of the continuous problem on the grid, where one is known.
    name : str
    """

    F: Any
    u0: Array
    exact: Array | None
    name: str


def policeman_and_burglar(n: int = 500, *, seed: int = 1) -> np.ndarray:
    r"""Payoff ``A_ij = w_j (1 − exp(−0.8 |i − j|))`` of Nemirovski's policeman-and-burglar game, shape ``(n, n)``.

    A burglar picks one of `n` houses worth ``w_j = |N(0, 1)|``; the policeman waits at house `i`.

    Source: Nemirovski, "Mini-course on convex programming algorithms" (2013), section on saddle points.
    """
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"n is {n!r}; expected an integer >= 2")
    # The legacy generator is what the published experiments drew from.
    worth = np.abs(np.random.RandomState(seed).randn(n))  # noqa: NPY002
    houses = np.arange(n)
    return worth[None, :] * (1.0 - np.exp(-0.8 * np.abs(houses[:, None] - houses[None, :])))


def ouyang_xu_qp(n: int = 200) -> SaddlePoint:
    """The hard linearly constrained QP of Ouyang and Xu, as the Lagrangian of `n` variables and `n` constraints.

    Source: Ouyang and Xu, Math. Programming 185 (2021) 1-35; sizes and data as in arXiv:2310.02987.
    """
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"n is {n!r}; expected an integer >= 2")
    A = np.zeros((n, n))
    rows = np.arange(n)
    A[rows, n - 1 - rows] = 0.25
    A[rows[:-1], n - 2 - rows[:-1]] = -0.25
    h = np.zeros(n)
    h[-1] = 0.25
    return constrained_qp(2.0 * A.T @ A, h, A, np.full(n, 0.25))


def bounded_least_squares(
    m: int, d: int, *, density: float | None = None, condition: float | None = None, upper: float = math.inf, seed: int = 0
) -> LeastSquares:
    r"""Random :math:`\min \tfrac12\|A u - b\|^2` over ``0 ≤ u ≤ upper``, about half of the bounds active.

    Parameters
    ----------
    m, d : int
        Rows and columns of `A`.
    density : float, optional
        Fraction of non-zeros of a SciPy CSR matrix; dense by default.
    condition : float, optional
        Ratio of the largest to the smallest column scale, logarithmically spaced; equal scales by default.
    upper : float
    seed : int
    """
    rng = np.random.default_rng(seed)
    if density is None:
        A: Any = rng.standard_normal((m, d)) / math.sqrt(m)
    else:
        A = scipy.sparse.random_array((m, d), density=density, rng=rng, data_sampler=rng.standard_normal, format="csr")
        A = scipy.sparse.csr_array(A / math.sqrt(m * density))
    if condition is not None:
        scales = rng.permutation(np.geomspace(1.0, 1.0 / condition, d))
        A = A * scales if density is None else scipy.sparse.csr_array(A.multiply(scales))
    b = A @ rng.standard_normal(d) + 0.1 * rng.standard_normal(m)
    return LeastSquares(A, b, G=NonNegative() if math.isinf(upper) else Box(0.0, upper))


class ShiftedSolve:
    r"""The resolvent of ``F(u) = A u − b``: ``(I + step A)⁻¹ (w + step b)`` by conjugate gradients with multigrid.

    Works on ``(A + 1/step) v = w/step + b``, which for a Poisson operator is one with a shift, so the
    preconditioner is an ordinary one. Each solve starts from the last and lowers its residual by
    `reduction`; the starts get better as the outer method converges, and with them the absolute accuracy.

    Parameters
    ----------
    A : PoissonOperator
    b : array of ``A.in_shape``
    preconditioner : callable, optional
        Makes a preconditioner of an operator; `sciml.preconditioners.Multigrid` by default.
    reduction : float
    """

    def __init__(
        self, A: PoissonOperator, b: Array, *, preconditioner: Callable[[Any], Any] | None = None, reduction: float = 1e-2
    ):
        if preconditioner is None:
            from ..preconditioners import Multigrid as preconditioner
        self.A, self.b, self.preconditioner, self.reduction = A, b, preconditioner, reduction
        self._step: Any = None
        self._x: Array | None = None
        self.setups = self.iterations = 0

    def __call__(self, w: Array, step: Any) -> Array:
        from ..solvers.cg import cg

        if self._step is None or not _same(step, self._step):
            self._step = step
            self._shifted = _shifted(self.A, 1.0 / step)
            self._M = self.preconditioner(self._shifted)
            self.setups += 1
        result = cg(
            self._shifted, w / step + self.b, x0=self._x, M=self._M, rtol=0.0,
            atol=self._target(w, step), maxiter=100, on_failure="raise",
        )  # fmt: skip
        self._x, self.iterations = result.x, self.iterations + result.iterations
        return result.x

    def _target(self, w: Array, step: Any) -> float:
        from ..backends.namespace import norm2

        r = w / step + self.b
        if self._x is not None:
            r = r - self._shifted.matvec(self._x)
        rounding = 1e-6 if "32" in str(w.dtype) else 1e-14
        return max(self.reduction * norm2(r), rounding * norm2(self.b), 1e-300)


def obstacle_sum(A: PoissonOperator, b: Array, *, lower: Any = -math.inf, upper: Any = math.inf, **settings: Any) -> AffineSum:
    """``0 ∈ A u − b + N(u)`` with obstacles below and above, ready for `halpern`; `settings` go to `ShiftedSolve`."""
    largest = 2.0 * float(array_namespace(A.diagonal()).max(A.diagonal()))
    return AffineSum(A, b, lipschitz_full=largest, G=Box(lower, upper), solve=ShiftedSolve(A, b, **settings))


def membrane_over_ball(n: int = 128, **settings: Any) -> VariationalProblem:
    r"""An elastic membrane stretched over the unit ball: ``−Δu ≥ 0``, ``u ≥ ψ`` on ``(−2, 2)²``, exact solution known.

    The contact set is a disc of radius 0.698. Boundary values are those of the exact solution.

    Parameters
    ----------
    n : int
        Cells per side.
    **settings
        Of `ShiftedSolve`.

    Source: Bueler, "PETSc for Partial Differential Equations" (SIAM 2021), chapter 12.
    """
    h = 4.0 / n
    A = PoissonOperator((n, n), spacing=h)
    radius, factor, offset = 0.697965148223374, 0.680259411891719, 0.471519893402112

    def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = np.maximum(np.hypot(x - 2.0, y - 2.0), 1e-9)  # cell coordinates start at the corner
        return np.where(r <= radius, np.sqrt(np.maximum(1.0 - r**2, 0.0)), offset - factor * np.log(r))

    b = A.boundary_rhs(exact)
    x, y = A.coordinates()
    r = np.hypot(x - 2.0, y - 2.0)
    cut = 0.9  # beyond it the ball continues as its tangent cone, which the membrane never touches
    top = math.sqrt(1.0 - cut**2)
    obstacle = np.where(r <= cut, np.sqrt(np.maximum(1.0 - r**2, 0.0)), top - cut / top * (r - cut))
    F = obstacle_sum(A, b, lower=obstacle, **settings)
    return VariationalProblem(F, np.maximum(obstacle, 0.0), exact(x, y), f"membrane over a ball, {n} x {n}")


def _shifted(A: PoissonOperator, shift: Any) -> PoissonOperator:
    return PoissonOperator(
        A.in_shape, spacing=A.spacing, bc=A.bc, cells=A.cells, coefficient=A._face_coefficients, shift=A.shift + shift,
        dtype=A.dtype, backend=A.backend, device=A._device,
    )  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    return a == b if not is_array(a) and not is_array(b) else False
