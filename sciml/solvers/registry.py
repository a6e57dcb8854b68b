"""Every solver by its name, as `sciml.solve`, `sciml.inverse` and the command line take it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..preconditioners import FFT, LU, make_preconditioner
from .adapters import bicgstab, gmres, minres
from .cg import cg
from .direct import fast_poisson, splu
from .fcg import fcg
from .result import SolveResult
from .sor import sor
from .ssor import ssor
from .stationary import multigrid

__all__ = ["SOLVERS", "prepare", "split_method"]

SOLVERS: dict[str, Callable[..., SolveResult]] = {
    "cg": cg,
    "fcg": fcg,
    "sor": sor,
    "ssor": ssor,
    "multigrid": multigrid,
    "gmres": gmres,
    "minres": minres,
    "bicgstab": bicgstab,
    "splu": splu,
    "fft": fast_poisson,
}
"""Name to solver; ``"cg+amg"`` adds a name from `sciml.preconditioners.PRECONDITIONERS`."""

SET_UP: dict[str, Callable[[Any], Any]] = {
    "multigrid": lambda A: make_preconditioner("multigrid", A),
    "splu": LU,
    "fft": FFT,
}
"""Solvers that are built around one operator, and how it is set up."""


def split_method(method: str) -> tuple[str, str | None]:
    """Solver and preconditioner named by a string such as ``"cg+amg"``.

    Raises
    ------
    ValueError
        For a solver that is not in `SOLVERS`.

    Examples
    --------
    >>> from sciml.solvers.registry import split_method
    >>> split_method("cg+amg"), split_method("splu")
    (('cg', 'amg'), ('splu', None))
    """
    solver, _, preconditioner = method.partition("+")
    if solver not in SOLVERS:
        raise ValueError(
            f"method is {method!r}; expected one of {', '.join(SOLVERS)}, "
            "with a preconditioner as in 'cg+jacobi'"
        )
    return solver, preconditioner or None


def prepare(solver: str, A: Any, M: Any) -> tuple[Any, float]:
    """Set up the operator that `solver` takes as its `M`; returns it and the seconds this took.

    `M` is None, a name or an operator.
    """
    start = time.perf_counter()
    if isinstance(M, str):
        M = make_preconditioner(M, A)
    elif M is None and solver in SET_UP:
        M = SET_UP[solver](A)
    return M, time.perf_counter() - start
