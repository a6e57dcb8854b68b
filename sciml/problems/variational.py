r"""Ready-made monotone inclusions: obstacle problems, games, constrained QPs, bounded least squares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.namespace import Array, array_namespace, dtype_name, from_numpy, is_array, norm2, to_numpy
from ..operators.base import BaseOperator
from ..operators.finite_sum import AffineSum
from ..operators.least_squares import LeastSquares
from ..operators.saddle import SaddlePoint, constrained_qp
from ..operators.sets import Box, NonNegative
from ..operators.stencil import DIRICHLET, PoissonOperator
from ..preconditioners import PRECONDITIONERS
from ..solvers.cg import cg

__all__ = [
    "ShiftedSolve",
    "VariationalProblem",
    "bounded_least_squares",
    "membrane_over_ball",
    "obstacle_sum",
    "ouyang_xu_qp",
    "policeman_and_burglar",
    "refine",
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
    r"""Payoff ``A_ij = w_j (1 − exp(−0.8 |i − j|))`` of the policeman-and-burglar game.

    A burglar picks one of `n` houses worth ``w_j = |N(0, 1)|``; the policeman waits at house `i`. The
    result has shape ``(n, n)``.

    Source: Nemirovski, "Mini-course on convex programming algorithms" (2013), section on saddle points.
    """
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"n is {n!r}; expected an integer >= 2")
    # The legacy generator is what the published experiments drew from.
    worth = np.abs(np.random.RandomState(seed).randn(n))
    houses = np.arange(n)
    return worth[None, :] * (1.0 - np.exp(-0.8 * np.abs(houses[:, None] - houses[None, :])))


def ouyang_xu_qp(n: int = 200) -> SaddlePoint:
    """The hard constrained QP of Ouyang and Xu: the Lagrangian of `n` variables and `n` constraints.

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
    m: int,
    d: int,
    *,
    density: float | None = None,
    condition: float | None = None,
    upper: float = math.inf,
    seed: int = 0,
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
        A = scipy.sparse.random_array(
            (m, d), density=density, rng=rng, data_sampler=rng.standard_normal, format="csr"
        )
        A = scipy.sparse.csr_array(A / math.sqrt(m * density))
    if condition is not None:
        scales = rng.permutation(np.geomspace(1.0, 1.0 / condition, d))
        A = A * scales if density is None else scipy.sparse.csr_array(A.multiply(scales))
    b = A @ rng.standard_normal(d) + 0.1 * rng.standard_normal(m)
    return LeastSquares(A, b, G=NonNegative() if math.isinf(upper) else Box(0.0, upper))


class ShiftedSolve:
    r"""The resolvent of ``F(u) = A u − b``: ``(I + step A)⁻¹ (w + step b)`` by CG with multigrid.

    Solves ``(A + 1/step) v = w/step + b``. Each solve starts from the last one and lowers that residual by
    `reduction`; the starts get better as the outer method converges, and with them the absolute accuracy.
    Cells with a small step hardly move, so the preconditioner sees them as Dirichlet cells of an
    otherwise evenly shifted Poisson operator.

    Parameters
    ----------
    A : PoissonOperator
    b : array of ``A.in_shape``
    preconditioner : callable, optional
        Makes a preconditioner of a `PoissonOperator`; multigrid by default.
    reduction : float

    Attributes
    ----------
    setups, solves, iterations : int
        Preconditioners set up, systems solved and CG iterations so far.
    """

    def __init__(
        self,
        A: PoissonOperator,
        b: Array,
        *,
        preconditioner: Callable[[Any], Any] | None = None,
        reduction: float = 1e-2,
    ):
        self.A, self.b, self.reduction = A, b, reduction
        self.preconditioner = preconditioner or PRECONDITIONERS["multigrid"]
        self.setups = self.solves = self.iterations = 0
        self._step: Any = None
        self._x: Array | None = None

    def __call__(self, w: Array, step: Any) -> Array:
        if self._step is None or (self._step is not step and (self._step == step) is not True):
            self._step, self._operator = step, _Shifted(self.A, 1.0 / step)
            self._M = _WithFixedCells(self.preconditioner, self.A, 1.0 / step)
            self.setups += 1
        rhs = w / step + self.b
        x = self.A.project(w) if self._x is None else self._x
        gap = norm2(rhs - self._operator._apply(x))
        rounding = 1e-7 if dtype_name(w) == "float32" else 1e-15
        target = max(self.reduction * gap, rounding * norm2(rhs), 1e-300)
        result = cg(
            self._operator, rhs, x0=x, M=self._M, rtol=0.0, atol=target, maxiter=200, on_failure="ignore"
        )
        self._x, self.solves, self.iterations = result.x, self.solves + 1, self.iterations + result.iterations
        return result.x


class _Shifted(BaseOperator):
    """``A + shift`` for a number or an array `shift`, without assembling anything."""

    def __init__(self, A: PoissonOperator, shift: Any):
        super().__init__(A.in_shape, A.out_shape, A.dtype, {"symmetric", "positive_definite"})
        self.A, self._shift = A, shift

    def _apply(self, x: Array) -> Array:
        return self.A._apply(x) + self._shift * x


class _WithFixedCells(BaseOperator):
    """A preconditioner for ``A + shift``: a nearby Poisson operator's, and the diagonal on fixed cells."""

    def __init__(self, preconditioner: Callable[[Any], Any], A: PoissonOperator, shift: Any):
        super().__init__(A.in_shape, A.out_shape, A.dtype, {"symmetric", "positive_definite"})
        cells, even = A.cells, shift
        self._fixed, self._inverse_diagonal = None, None
        if is_array(shift):
            values = to_numpy(shift)
            even = float(values.min())
            # A shift that rivals the stencil's own diagonal nearly fixes the cell.
            fixed = (values > 0.1 * float(A.diagonal_table.max())) & A.fluid
            if fixed.any() and (fixed != A.fluid).any():
                cells = np.where(fixed, np.uint8(DIRICHLET), A.cells)
                xp = array_namespace(shift)
                self._fixed = from_numpy(fixed, A.backend, device=A._device)
                self._inverse_diagonal = 1.0 / (xp.reshape(A.diagonal(), A.in_shape) + shift)
        self._M = preconditioner(
            PoissonOperator(
                A.in_shape,
                spacing=A.spacing,
                bc=A.bc,
                cells=cells,
                coefficient=A._face_coefficients,
                shift=A.shift + float(even),
                dtype=A.dtype,
                backend=A.backend,
                device=A._device,
            )
        )

    def _apply(self, x: Array) -> Array:
        z = self._M.matvec(x)
        if self._fixed is None:
            return z
        return array_namespace(x).where(self._fixed, self._inverse_diagonal * x, z)


def obstacle_sum(
    A: PoissonOperator, b: Array, *, lower: Any = -math.inf, upper: Any = math.inf, **settings: Any
) -> AffineSum:
    """``0 ∈ A u − b + N(u)`` with obstacles below and above; `settings` go to `ShiftedSolve`."""
    largest = 2.0 * float(array_namespace(A.diagonal()).max(A.diagonal()))
    return AffineSum(A, b, lipschitz_full=largest, G=Box(lower, upper), solve=ShiftedSolve(A, b, **settings))


def refine(u: np.ndarray) -> np.ndarray:
    """A cell-centred grid function on the grid with twice the cells per axis, by linear interpolation."""
    for axis in range(u.ndim):
        padded = np.pad(u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)], mode="edge")
        low, high = (np.take(padded, np.arange(s, s + u.shape[axis]), axis) for s in (0, 2))
        pair = np.stack([0.75 * u + 0.25 * low, 0.75 * u + 0.25 * high], axis + 1)
        u = pair.reshape(*u.shape[:axis], 2 * u.shape[axis], *u.shape[axis + 1 :])
    return u


def membrane_over_ball(n: int = 128, **settings: Any) -> VariationalProblem:
    r"""An elastic membrane over the unit ball: ``−Δu ≥ 0``, ``u ≥ ψ`` on ``(−2, 2)²``, solution known.

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
