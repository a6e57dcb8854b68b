"""Truncated non-smooth Newton multigrid for obstacle problems on grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array, from_numpy, norm2, to_numpy, vdot
from ..backends.namespace import device as device_of
from ..operators.finite_sum import AffineSum
from ..operators.stencil import DIRICHLET, PoissonOperator
from ..preconditioners import PRECONDITIONERS
from .cg import cg
from .inclusion import Inclusion, run_inclusion
from .iteration import Callback
from .projected_sor import ProjectedSweeps, certify_bounds
from .result import SolveResult, Status

__all__ = ["projected_multigrid"]


def projected_multigrid(
    F: AffineSum,
    u0: Array,
    *,
    G: Any = None,
    sweeps: int = 2,
    preconditioner: str = "multigrid",
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    max_epochs: float | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
) -> SolveResult:
    """Solve ``0 ∈ A u − b + N(u)`` between bounds on a grid: projected sweeps, multigrid off the contact set.

    Each iteration relaxes with projected Gauss–Seidel sweeps, solves for a correction on the cells
    strictly between the bounds (multigrid-preconditioned CG to a tenth, to a hundredth once the contact set
    rests), clips it and takes the length along it that minimises the energy. The energy never
    rises, so the method converges from every start.

    Parameters
    ----------
    F : AffineSum
        Of a symmetric positive definite `PoissonOperator`.
    u0, rtol, atol, maxiter, max_epochs, callback, on_failure
        As in `sciml.halpern`.
    G : Box, optional
        The bounds; by default those of `F`.
    sweeps : int
        Projected Gauss–Seidel sweeps per iteration.
    preconditioner : str
        A name in `sciml.preconditioners.PRECONDITIONERS`.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Gräser and Kornhuber, J. Comput. Math. 27 (2009) 1-44, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, projected_multigrid
    >>> from sciml.operators import AffineSum, Box
    >>> A = PoissonOperator((16, 16), spacing=1 / 16)
    >>> F = AffineSum(A, np.full((16, 16), 10.0), G=Box(upper=0.3))
    >>> result = projected_multigrid(F, np.zeros((16, 16)), rtol=1e-8)
    >>> result.converged, float(result.x.max())
    (True, 0.3)
    """
    if not isinstance(sweeps, int) or sweeps < 1:
        raise ValueError(f"sweeps is {sweeps!r}; expected a positive integer")
    if preconditioner not in PRECONDITIONERS:
        raise ValueError(
            f"preconditioner is {preconditioner!r}; expected one of {', '.join(PRECONDITIONERS)}"
        )

    def iterate(problem: Inclusion) -> Status | None:
        smooth = ProjectedSweeps("projected_multigrid", problem, 1.0)
        if not isinstance(problem.F.K, PoissonOperator):
            raise TypeError(f"F holds a {type(problem.F.K).__name__}; expected a PoissonOperator")
        G, A, xp = problem.G, problem.F.K, problem.xp
        u = problem.resolvent(problem.u0, 1.0)
        contact: np.ndarray | None = None
        system: PoissonOperator | None = A
        M: Any = None
        problem.info["contact_sets"] = 0
        while True:
            for _ in range(sweeps):
                u, _ = smooth(u)
            F_u = problem.full(u)
            status = certify_bounds(problem, u, F_u) or problem.advance(u)
            if status is not None:
                return status
            free = (u > G.lower) & (u < G.upper)
            now = ~to_numpy(free) & A.fluid
            settled = contact is not None and np.array_equal(now, contact)
            if not settled:
                contact, system = now, _off_contact(A, now)
                M = None if system is None else PRECONDITIONERS[preconditioner](system)
                problem.info["contact_sets"] += 1
            if system is None or contact is None:
                continue
            mask = from_numpy(~contact & A.fluid, A.backend, device=device_of(u))
            right = xp.where(mask, -F_u, xp.zeros_like(F_u))
            result = cg(system, right, M=M, rtol=1e-2 if settled else 0.1, maxiter=100, on_failure="ignore")
            problem.evaluations += result.matvecs * problem.F.n
            step = problem.resolvent(u + result.x, 1.0) - u
            if norm2(step) == 0.0:
                continue
            curvature = vdot(step, A._apply(step)).real
            problem.evaluations += problem.F.n
            u = problem.resolvent(u + min(1.0, -vdot(F_u, step).real / curvature) * step, 1.0)

    return run_inclusion(
        "projected multigrid",
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


def _off_contact(A: PoissonOperator, contact: np.ndarray) -> PoissonOperator | None:
    """`A` restricted to the cells off the contact set, which is an operator with more Dirichlet cells."""
    cells = np.where(contact, np.uint8(DIRICHLET), A.cells)
    if not (A.fluid & ~contact).any():
        return None
    return PoissonOperator(
        A.in_shape,
        spacing=A.spacing,
        bc=A.bc,
        cells=cells,
        coefficient=A._face_coefficients,
        shift=A.shift,
        dtype=A.dtype,
        backend=A.backend,
        device=A._device,
    )
