"""Solvers: one signature, one stopping rule, one result."""

from .adapters import bicgstab, gmres, minres
from .auto import solve
from .cg import cg
from .direct import fast_poisson, splu
from .fcg import fcg
from .inverse import inverse
from .result import IterationState, SolverError, SolveResult, SolverWarning, Status
from .sor import sor
from .ssor import ssor
from .stationary import multigrid

__all__ = [
    "IterationState",
    "SolveResult",
    "SolverError",
    "SolverWarning",
    "Status",
    "bicgstab",
    "cg",
    "fast_poisson",
    "fcg",
    "gmres",
    "inverse",
    "minres",
    "multigrid",
    "solve",
    "sor",
    "splu",
    "ssor",
]
