"""What every solver returns, and the one meaning of "converged"."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..backends.namespace import Array

__all__ = ["IterationState", "SolveResult", "SolverError", "SolverWarning", "Status"]


class Status(enum.Enum):
    """Why a solver stopped; the value is the sentence shown to the user."""

    CONVERGED = "converged: the recomputed residual is within the tolerance"
    FIXED = "ran the requested number of iterations (rtol = atol = 0)"
    MAXITER = "reached maxiter before the tolerance"
    STAGNATED = "stagnated: the true residual no longer decreases in this precision"
    BREAKDOWN = "broke down: a search direction has no positive curvature, so A or M is not positive definite"
    NONFINITE = "met a value that is not finite"
    STOPPED = "stopped by the callback"

    @property
    def succeeded(self) -> bool:
        """Whether the solver did what was asked: CONVERGED, or FIXED."""
        return self in (Status.CONVERGED, Status.FIXED)


class SolverError(RuntimeError):
    """Raised for ``on_failure="raise"`` and by ``raise_if_failed``; carries the result."""

    def __init__(self, result: SolveResult):
        super().__init__(result.summary())
        self.result = result


class SolverWarning(RuntimeWarning):
    """Issued for ``on_failure="warn"`` when the status is not a success."""


@dataclass(frozen=True)
class IterationState:
    """What a ``callback`` sees.

    Attributes
    ----------
    iteration : int
        Iterations finished so far.
    x : array
        The current iterate in the layout of ``b``. Not a copy: do not change it, copy it to keep it.
    residual_norm : float
        The solver's running residual norm (recomputed only at exit).
    """

    iteration: int
    x: Array
    residual_norm: float


@dataclass(frozen=True)
class SolveResult:
    """The outcome of a solve.

    Attributes
    ----------
    x : array
        The solution in the layout of ``b``.
    status : Status
        Why the solver stopped.
    iterations : int
        Iterations taken (the largest over the columns of ``b``).
    residual_norm : float
        ``‖b − A x‖₂``, recomputed from `x` at exit, in double precision where the operator allows.
    tolerance : float
        ``max(rtol ‖b‖₂, atol)``, what the residual was measured against.
    residual_history : tuple of float
        Running residual norms, the initial one first.
    matvecs : int
        Applications of ``A`` (and of its adjoint), the recomputed residuals included.
    seconds : float
        Wall-clock seconds of the solve, without the set-up of preconditioners.
    solver : str
        What ran, e.g. ``"cg + Jacobi"``.
    columns : tuple of SolveResult
        One result per column of a right-hand side ``(n, k)``; empty otherwise.
    info : dict
        Details a solver adds (why ``solve`` chose a method, epochs, ...).
    """

    x: Array
    status: Status
    iterations: int
    residual_norm: float
    tolerance: float
    residual_history: tuple[float, ...]
    matvecs: int
    seconds: float
    solver: str
    columns: tuple[SolveResult, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether the recomputed residual is within the tolerance."""
        return self.status is Status.CONVERGED

    def raise_if_failed(self) -> SolveResult:
        """Return the result itself, or raise `SolverError` if the status is not a success."""
        if not self.status.succeeded:
            raise SolverError(self)
        return self

    def plot(self, ax: Any = None) -> Any:
        """Draw the residual history; returns the matplotlib axes."""
        from ..plotting import convergence

        return convergence({self.solver: self}, ax=ax)

    def summary(self) -> str:
        """One line: solver, status, iterations, residual against tolerance, seconds."""
        failed = [j for j, column in enumerate(self.columns) if not column.status.succeeded]
        which = f" (columns {failed})" if failed else ""
        return (
            f"{self.solver}: {self.status.value}{which}; {self.iterations} iterations, "
            f"residual {self.residual_norm:.3e} (tolerance {self.tolerance:.3e}), {self.seconds:.3g} s"
        )

    __str__ = summary

    def __repr__(self) -> str:
        return f"<SolveResult {self.summary()}>"


def merge_columns(columns: Sequence[SolveResult], x: Array, seconds: float) -> SolveResult:
    """One result for a right-hand side ``(n, k)``: the worst status, the largest counts.

    Residual norm and tolerance are those of the column furthest from its tolerance.
    """
    order = list(Status)
    worst = max(columns, key=lambda c: (order.index(c.status) if not c.status.succeeded else -1, _excess(c)))
    return SolveResult(
        x=x,
        status=worst.status,
        iterations=max(c.iterations for c in columns),
        residual_norm=worst.residual_norm,
        tolerance=worst.tolerance,
        residual_history=worst.residual_history,
        matvecs=sum(c.matvecs for c in columns),
        seconds=seconds,
        solver=worst.solver,
        columns=tuple(columns),
    )


def _excess(result: SolveResult) -> float:
    if not math.isfinite(result.residual_norm):
        return math.inf
    return result.residual_norm / result.tolerance if result.tolerance > 0 else result.residual_norm
