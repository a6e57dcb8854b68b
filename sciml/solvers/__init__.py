"""Solvers: one signature, one stopping rule, one result."""

from .adapters import bicgstab, gmres, minres
from .auto import solve
from .cg import cg
from .direct import fast_poisson, splu
from .extragradient import eag, extragradient
from .fcg import fcg
from .forward_backward import forward_backward
from .halpern import halpern
from .inverse import inverse
from .projected_multigrid import projected_multigrid
from .projected_sor import projected_sor
from .result import IterationState, SolverError, SolveResult, SolverWarning, Status
from .sor import sor
from .ssor import ssor
from .stationary import multigrid
from .vr_extragradient import vr_extragradient

__all__ = [
    "IterationState",
    "SolveResult",
    "SolverError",
    "SolverWarning",
    "Status",
    "bicgstab",
    "cg",
    "eag",
    "extragradient",
    "fast_poisson",
    "fcg",
    "forward_backward",
    "gmres",
    "halpern",
    "inverse",
    "minres",
    "multigrid",
    "projected_multigrid",
    "projected_sor",
    "solve",
    "sor",
    "splu",
    "ssor",
    "vr_extragradient",
]
