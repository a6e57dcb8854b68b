"""Solvers: one signature, one stopping rule, one result."""

from .cg import cg
from .result import IterationState, SolverError, SolveResult, SolverWarning, Status

__all__ = ["IterationState", "SolveResult", "SolverError", "SolverWarning", "Status", "cg"]
