"""Projected SOR for obstacle problems and other linear complementarity problems between bounds."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from ..backends.namespace import Array, device, from_numpy, is_numpy, norm2
from ..operators.finite_sum import AffineSum
from ..operators.sets import Box
from ..operators.stencil import PoissonOperator
from .inclusion import Inclusion, run_inclusion
from .iteration import Callback
from .result import SolveResult, Status
from .sor import _colours, _odd_periodic_axes

__all__ = ["ProjectedSweeps", "certify_bounds", "projected_sor"]


def projected_sor(
    F: AffineSum,
    u0: Array,
    *,
    G: Any = None,
    omega: float = 1.0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Solve ``0 ∈ A u − b + N(u)`` between bounds by successive over-relaxation, clipped entry by entry.

    Parameters
    ----------
    F : AffineSum
        Of a symmetric positive definite `PoissonOperator` (red-black, in every namespace) or NumPy or SciPy
        matrix (natural order).
    u0, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    G : Box, optional
        The bounds; by default those of `F`.
    omega : float
        Relaxation factor, ``0 < ω < 2``.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Cryer, SIAM J. Control 9 (1971) 385-392.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import projected_sor
    >>> from sciml.operators import AffineSum, NonNegative
    >>> F = AffineSum(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([2.0, -1.0]), G=NonNegative())
    >>> projected_sor(F, np.ones(2)).x.round(6)
    array([1., 0.])
    """
    if not isinstance(omega, Real) or not 0.0 < omega < 2.0:
        raise ValueError(f"omega is {omega!r}; expected a number with 0 < omega < 2")

    def iterate(problem: Inclusion) -> Status | None:
        sweeps = ProjectedSweeps("projected_sor", problem, float(omega))
        u = problem.resolvent(problem.u0, 1.0)
        while True:
            u, estimate = sweeps(u)
            status = problem.advance(u)
            problem.point = (u, 1.0)
            if status is None and problem.due(estimate):
                status = certify_bounds(problem, u)
                problem.learn(estimate)
            if status is not None:
                if status is not Status.CONVERGED:
                    certify_bounds(problem, u)
                return status

    return run_inclusion(
        "projected SOR",
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
    )


def certify_bounds(problem: Inclusion, u: Array, F_u: Array | None = None) -> Status | None:
    """Certify `u` with the best ``g``: at a bound, as much of ``−F(u)`` as points out of the box."""
    G, xp = problem.G, problem.xp
    F_u = problem.full(u) if F_u is None else F_u
    outward = xp.where(u <= G.lower, xp.clip(F_u, min=0.0), xp.zeros_like(u)) + xp.where(
        u >= G.upper, xp.clip(F_u, max=0.0), xp.zeros_like(u)
    )
    problem.point = (u - outward, 1.0)
    return problem.certify(F_u)


class ProjectedSweeps:
    """Projected relaxation sweeps of one problem; a call returns the new iterate and a residual estimate."""

    def __init__(self, name: str, problem: Inclusion, omega: float):
        F, G = problem.F, problem.G
        if not isinstance(F, AffineSum) or not isinstance(G, Box):
            raise TypeError(
                f"{name} needs F to be an AffineSum and G a Box, not {type(F).__name__}, {type(G).__name__}"
            )
        self.problem, self.omega, self.A, self.b = problem, omega, F.K, F.q
        grid = isinstance(self.A, PoissonOperator)
        if not grid and not (is_numpy(problem.u0) and hasattr(self.A, "tocsr")):
            raise TypeError(
                f"{name} relaxes a PoissonOperator in any library or a NumPy or SciPy matrix; "
                f"F holds a {type(self.A).__name__}"
            )
        if not grid:
            self._prepare_rows(name)
        elif is_numpy(problem.u0) and problem.u0.dtype.kind == "f" and not _odd_periodic_axes(self.A):
            self._prepare_grid()
        else:
            self._prepare_colours()

    def __call__(self, u: Array) -> tuple[Array, float]:
        self.problem.evaluations += self.problem.F.n
        return self._sweep(u)

    def _bounds(self, dtype: Any) -> list[np.ndarray]:
        size = math.prod(self.problem.u0.shape)
        G = self.problem.G
        return [
            np.array(np.broadcast_to(np.asarray(v, dtype).reshape(-1), (size,))) for v in (G.lower, G.upper)
        ]

    def _prepare_rows(self, name: str) -> None:
        from ..backends.kernels.numba.projected import relax_rows_projected

        csr = self.A.tocsr()
        diagonal = csr.diagonal()
        if np.any(diagonal <= 0):
            raise ValueError(f"A has the diagonal entry {diagonal.min()}; {name} expects a positive diagonal")
        b, (lower, upper) = self.b.reshape(-1), self._bounds(csr.dtype)

        def sweep(u: np.ndarray) -> tuple[np.ndarray, float]:
            x = u.reshape(-1).copy()
            total = relax_rows_projected(
                csr.indptr, csr.indices, csr.data, diagonal, b, x, lower, upper, self.omega
            )
            return x.reshape(u.shape), math.sqrt(total)

        self._sweep = sweep

    def _prepare_grid(self) -> None:
        from ..backends.kernels.numba.projected import relax_colour_projected
        from ..backends.threads import parallel

        A, dtype = self.A, self.problem.u0.dtype
        padding = np.zeros(A.grid3[2], dtype=dtype)  # stands for every neighbour that does not exist
        void = ~A.fluid.reshape(-1)
        full_diagonal = A._diagonal_grid().reshape(-1).astype(dtype)
        diagonal = np.where(void, dtype.type(0), full_diagonal)
        b = np.ascontiguousarray(self.b).reshape(-1).astype(dtype, copy=False)
        lower, upper = self._bounds(dtype)
        in_void = np.clip(b[void] / full_diagonal[void], lower[void], upper[void])
        faces = None if A.faces is None else tuple(f.reshape(-1).astype(dtype) for f in A.faces)
        weights = tuple(dtype.type(w) for w in A.weights3)
        rows = A.grid3[0] * A.grid3[1]

        def sweep(u: np.ndarray) -> tuple[np.ndarray, float]:
            x = np.concatenate([u.reshape(-1), padding])
            x[: b.size][void] = 0
            arguments = (x, b, diagonal, lower, upper, faces, weights, A.grid3, A.periodic3)
            total = 0.0
            for colour in (0, 1):
                total += sum(
                    parallel(
                        relax_colour_projected, rows, *arguments, colour, dtype.type(self.omega), grain=64
                    )
                )
            x = x[: b.size]
            x[void] = in_void
            return x.reshape(u.shape), math.sqrt(total)

        self._sweep = sweep

    def _prepare_colours(self) -> None:
        A, problem = self.A, self.problem
        diagonal = A._diagonal_grid().reshape(A.in_shape)
        factors = [np.where(colour, self.omega / diagonal, 0.0) for colour in _colours(A)]
        factors[0] = np.where(A.fluid, factors[0], 1.0 / diagonal)
        moved = [
            from_numpy(
                f, A.backend, dtype=str(problem.u0.dtype).rsplit(".", 1)[-1], device=device(problem.u0)
            )
            for f in factors
        ]

        def sweep(u: Array) -> tuple[Array, float]:
            total = 0.0
            for factor in moved:
                new = problem.resolvent(u + factor * (self.b - A._apply(u)), 1.0)
                total += norm2(new - u) ** 2
                u = new
            return u, math.sqrt(total) * float(diagonal.max()) / self.omega

        self._sweep = sweep
