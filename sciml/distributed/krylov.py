"""Krylov solvers of PETSc under the library's one stopping rule and one kind of result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backends.namespace import is_numpy
from ..operators import PoissonOperator, as_operator
from ..operators.geometry_checks import DIRICHLET
from ..solvers.iteration import check_settings, report, verdict
from ..solvers.result import IterationState, SolveResult, Status
from .engine import clean_up, load_petsc, world
from .layout import Layout
from .matrices import agree, from_csr, own_rows
from .poisson import DistributedPoisson
from .preconditioners import make_preconditioner

__all__ = ["METHODS", "solve"]

METHODS = {"cg": "cg", "fcg": "fcg", "gmres": "gmres", "bicgstab": "bcgs"}
"""Our names of Krylov methods and PETSc's: those that see the true residual, unlike its MINRES."""

_SIDE_RIGHT = ("gmres", "bicgstab")
"""Methods that see the true residual only with the preconditioner on the right."""


def solve(
    A: Any,
    b: Any,
    *,
    method: str = "auto",
    x0: Any = None,
    M: Any = "auto",
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callable[[IterationState], bool | None] | None = None,
    on_failure: str = "warn",
    comm: Any = None,
    **settings: Any,
) -> SolveResult:
    """Solve ``A x = b`` on all ranks, as `sciml.solve` does on one. To be called by all of them.

    Parameters
    ----------
    A : DistributedPoisson, petsc4py.PETSc.Mat, PoissonOperator or matrix
        The last two are whole and the same on every rank, which takes its part.
    b : ndarray or petsc4py.PETSc.Vec
        This rank's part for an `A` that is distributed, else all of it.
    method : str
        ``"auto"``, or a name in `METHODS`, with a preconditioner from
        `sciml.distributed.preconditioners.PRECONDITIONERS` as in ``"cg+gamg"``.
    x0 : like `b`, optional
    M : str, preconditioner or None
        A name; a `sciml.preconditioners.Multigrid`, whose parameters are used; anything with
        ``configure(pc, A)``; None for none. ``"auto"`` leaves it to `method`.
    rtol, atol, maxiter, callback, on_failure
        As in `sciml.cg`. The callback is called on all ranks, with their parts of the iterate.
    comm : communicator, optional
        Of a whole `A`; all ranks by default.
    **settings
        Of the preconditioner.

    Returns
    -------
    SolveResult
        `x` in the layout of `b`: this rank's part, or the whole where `b` was whole. ``info`` holds
        ``"choice"``, ``"setup_seconds"`` and ``"ranks"``.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, on every rank.

    Notes
    -----
    ``"auto"`` takes CG with our multigrid for Poisson operators, CG with PETSc's algebraic multigrid (GAMG)
    for symmetric matrices, and GMRES with incomplete factors of each rank's block for others. Where the
    iteration claims convergence, the residual is recomputed from ``b − A x``; if it does not hold, the
    iteration restarts from there, and ends as STAGNATED once that no longer helps.
    """
    check_settings(rtol, atol, maxiter, callback, on_failure)
    start = time.perf_counter()
    system = _distribute(A, b, x0, comm)
    solver, preconditioner, choice = _choose(method, M, system)
    M = make_preconditioner(preconditioner, system.A, settings)
    norm_b = system.b.norm()
    if not math.isfinite(norm_b):
        raise ValueError("b holds a value that is not finite (NaN or infinity); expected finite numbers")
    if not math.isfinite(system.x.norm()):
        raise ValueError("x0 holds a value that is not finite (NaN or infinity); expected finite numbers")
    ksp = _make_ksp(solver, system, M)
    ksp.setUp()
    setup = time.perf_counter() - start
    run = _Run(ksp, system, rtol, atol, maxiter, callback, norm_b)
    status = run.solve()
    residual_norm = run.true_residual_norm
    result = SolveResult(
        x=system.restore(system.x.array),
        status=verdict(status, residual_norm, run.tolerance, run.fixed),
        iterations=run.iterations,
        residual_norm=residual_norm,
        tolerance=run.tolerance,
        residual_history=tuple(run.history),
        matvecs=run.matvecs,
        seconds=time.perf_counter() - start - setup,
        solver=f"petsc {solver}" + ("" if M is None else f" + {M.label}"),
        info={"choice": choice, "setup_seconds": setup, "ranks": system.b.comm.size},
    )
    for used in (ksp, system.b, system.x):
        used.destroy()
    clean_up(system.matrix.comm)
    return report(result, on_failure)


# -- the system -------------------------------------------------------------------------------
@dataclass
class _System:
    """A distributed system: PETSc's matrix and vectors, and the way back to the caller's layout."""

    A: Any  # DistributedPoisson or Mat
    matrix: Any
    b: Any
    x: Any
    restore: Callable[[np.ndarray], np.ndarray]
    x_is_zero: bool


def _distribute(A: Any, b: Any, x0: Any, comm: Any) -> _System:
    petsc = load_petsc()
    if isinstance(A, DistributedPoisson | petsc.Mat):
        if comm is not None:
            raise TypeError("comm is given, but A is distributed already; expected it left out")
        return _parts(A, b, x0)
    comm = world(comm)
    A = as_operator(A)
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"A has shape {A.shape}; expected a square operator")
    for name, values in (("b", b), ("x0", x0)):
        if values is None and name == "x0":
            continue
        if not is_numpy(values) or values.dtype.kind != "f":
            raise TypeError(
                f"{name} is no NumPy array of real floating numbers, which engine 'petsc' expects"
            )
        if values.shape not in (A.in_shape, (A.shape[0],)):
            raise ValueError(f"{name} has shape {values.shape}; expected {A.in_shape} or ({A.shape[0]},)")
    if _is_plain(A):
        layout = Layout(A.in_shape, ["periodic" in pair for pair in A.bc], comm)
        cells = A.cells[layout.box] if np.any(A.cells) else None
        distributed = DistributedPoisson(
            layout, spacing=A.spacing, bc=A.bc, cells=cells, shift=float(A.shift)
        )
        box: Any = layout.box

        def whole(x: np.ndarray) -> np.ndarray:
            out = np.empty(layout.shape)
            for part, values in comm.allgather((layout.box, x)):
                out[part] = values.reshape(out[part].shape)
            return out.reshape(b.shape)
    else:
        if not hasattr(A, "tocsr"):
            raise TypeError(
                f"A is a {type(A).__name__}, of which a rank cannot take its part; expected a "
                "PoissonOperator, a matrix, or a PETSc matrix (see sciml.distributed.shell_matrix)"
            )
        distributed = from_csr(A.tocsr(), comm)
        first, last = own_rows(A.shape[0], comm)
        box = slice(first, last)

        def whole(x: np.ndarray) -> np.ndarray:
            return np.concatenate(comm.allgather(x)).reshape(b.shape)

    shape = A.in_shape if _is_plain(A) else (A.shape[0],)
    system = _parts(distributed, b.reshape(shape)[box], None if x0 is None else np.reshape(x0, shape)[box])
    system.restore = whole
    return system


def _is_plain(A: Any) -> bool:
    """Whether `A` is what `DistributedPoisson` can be."""
    return (
        isinstance(A, PoissonOperator)
        and A.backend == "numpy"
        and A.faces is None
        and A.singular is None
        and not np.any(A.cells == DIRICHLET)
    )


def _parts(A: Any, b: Any, x0: Any) -> _System:
    petsc = load_petsc()
    matrix = A.matrix if isinstance(A, DistributedPoisson) else A
    if matrix.getSize()[0] != matrix.getSize()[1]:
        raise ValueError(f"A has shape {tuple(matrix.getSize())}; expected a square matrix")
    x, right = matrix.createVecs()
    error = None
    for name, values, into in (("b", b, right), ("x0", x0, x)):
        if values is None and name == "x0":
            continue
        part = values.array if isinstance(values, petsc.Vec) else values
        if not is_numpy(part) or part.dtype.kind != "f":
            error = f"{name} is a {type(values).__name__}; expected a real NumPy array or a PETSc vector"
        elif part.size != into.local_size:
            error = f"{name} has shape {part.shape}; expected this rank's {into.local_size} values"
        else:
            into.array[:] = part.reshape(-1)
    agree(world(matrix.comm), error)
    if isinstance(A, DistributedPoisson):
        # Cells without an unknown are solved here and now, so that no preconditioner sees them.
        blank = ~A.fluid.reshape(-1)
        x.array[blank] = right.array_r[blank] / A.outside
    shape = (right.local_size,) if isinstance(b, petsc.Vec) else b.shape
    return _System(A, matrix, right, x, lambda values: values.reshape(shape).copy(), x.norm() == 0)


# -- method and preconditioner ----------------------------------------------------------------
def _choose(method: str, M: Any, system: _System) -> tuple[str, Any, str]:
    """Names of solver and preconditioner, and why."""
    if not isinstance(method, str):
        raise TypeError(f"method is a {type(method).__name__}; expected a name such as 'cg' or 'auto'")
    automatic = isinstance(M, str) and M == "auto"
    if method != "auto":
        solver, _, name = method.partition("+")
        if solver not in METHODS:
            raise ValueError(
                f"method is {method!r}; the engine 'petsc' expects one of {', '.join(METHODS)}, with a "
                "preconditioner as in 'cg+gamg'"
            )
        if name and not automatic:
            raise TypeError(f"method is {method!r} and M is given too; expected one preconditioner")
        return solver, name or (None if automatic else M), f"{method}: named by the caller"
    if isinstance(system.A, DistributedPoisson):
        why = "A is a Poisson operator"
        return "cg", "multigrid" if automatic else M, f"cg + multigrid: {why}"
    known, symmetric = system.matrix.isSymmetricKnown()
    if not known:
        symmetric = system.matrix.getType() in ("seqaij", "mpiaij") and system.matrix.isSymmetric(1e-12)
    if symmetric:
        return "cg", "gamg" if automatic else M, "cg + gamg: A is symmetric"
    return "gmres", "bjacobi" if automatic else M, "gmres + bjacobi: A is not symmetric"


def _make_ksp(solver: str, system: _System, M: Any) -> Any:
    petsc = load_petsc()
    ksp = petsc.KSP().create(comm=system.matrix.comm)
    ksp.setType(METHODS[solver])
    entries = None if M is None else M.matrix(system.A)
    ksp.setOperators(system.matrix, system.matrix if entries is None else entries)
    if solver in _SIDE_RIGHT:
        ksp.setPCSide(petsc.PC.Side.RIGHT)
    ksp.setNormType(petsc.KSP.NormType.UNPRECONDITIONED)
    pc = ksp.getPC()
    if M is None:
        pc.setType("none")
    else:
        M.configure(pc, system.A)
    return ksp


# -- the iteration ----------------------------------------------------------------------------
@dataclass
class _Run:
    """One solve: PETSc iterates, this decides when to stop and whether to believe it."""

    ksp: Any
    system: _System
    rtol: float
    atol: float
    maxiter: int | None
    callback: Callable[[IterationState], bool | None] | None
    norm_b: float
    history: list[float] = field(default_factory=list)
    iterations: int = 0
    matvecs: int = 0
    status: Status | None = None
    true_residual_norm: float = math.nan

    def __post_init__(self) -> None:
        self.fixed = self.rtol == 0 and self.atol == 0
        self.tolerance = max(self.rtol * self.norm_b, self.atol)
        n = self.system.matrix.getSize()[0]
        self.limit = min(10 * n + 50, 10_000) if self.maxiter is None else self.maxiter
        self.rounding = 0.01 * float(np.finfo(np.float64).eps) * self.norm_b

    def solve(self) -> Status | None:
        """Iterate until a claim of convergence holds, or something else ends it."""
        system, ksp = self.system, self.ksp
        if self.norm_b == 0 and self.atol == 0 and not self.fixed:
            system.x.set(0)  # the solution; no other iterate meets a tolerance of zero
        ksp.setConvergenceTest(self._test)
        best = math.inf
        nonzero = not system.x_is_zero
        while True:
            self.status = None
            ksp.setInitialGuessNonzero(nonzero)
            self.matvecs += nonzero
            self._before = self.iterations
            ksp.setTolerances(max_it=self.limit - self.iterations + 1)
            ksp.solve(system.b, system.x)
            status = self.status or _failure(ksp.getConvergedReason())
            self._recompute()
            if status is not Status.CONVERGED:
                return status
            if self.true_residual_norm <= self.tolerance:
                return status
            if not self.true_residual_norm < 0.5 * best:
                return Status.STAGNATED
            best, nonzero = self.true_residual_norm, True

    def _test(self, ksp: Any, its: int, norm: float) -> int:
        """PETSc's convergence test: 0 to go on, otherwise a reason to stop; ours is kept in `status`."""
        if its == 0 and self.history:
            return 0 if norm > self.tolerance else 2  # a restart, whose residual is in the history already
        self.history.append(norm)
        self.iterations = self._before + its
        if not math.isfinite(norm):
            self.status = Status.NONFINITE
        elif its > 0 and self._stopped(norm):
            self.status = Status.STOPPED
        elif not self.fixed and norm <= max(self.tolerance, self.rounding):
            self.status = Status.CONVERGED
        elif self.iterations >= self.limit:
            self.status = Status.FIXED if self.fixed else Status.MAXITER
        elif norm <= self.rounding:  # nothing left to do in a run of fixed length
            self.status = Status.FIXED
        if self.status is None:
            return 0
        return 2 if self.status in (Status.CONVERGED, Status.FIXED) else -3

    def _stopped(self, norm: float) -> bool:
        if self.callback is None:
            return False
        x = self.system.restore(self.ksp.buildSolution().array)
        answer = bool(self.callback(IterationState(self.iterations, x, norm)))
        # Ranks that disagree would wait for each other: one of them is enough.
        return bool(world(self.system.matrix.comm).allreduce(int(answer)))

    def _recompute(self) -> None:
        system = self.system
        r = system.b.duplicate()
        system.matrix.mult(system.x, r)
        r.aypx(-1.0, system.b)
        self.true_residual_norm = r.norm()
        self.matvecs += self.iterations - self._before + 1
        if self.history and self.status is Status.CONVERGED:
            self.history[-1] = self.true_residual_norm
        r.destroy()


def _failure(reason: int) -> Status:
    reasons = load_petsc().KSP.ConvergedReason
    if reason in (
        reasons.DIVERGED_INDEFINITE_MAT,
        reasons.DIVERGED_INDEFINITE_PC,
        reasons.DIVERGED_BREAKDOWN,
    ):
        return Status.BREAKDOWN
    if reason == reasons.DIVERGED_NANORINF:
        return Status.NONFINITE
    return Status.CONVERGED if reason > 0 else Status.STAGNATED
