"""What single optional libraries bring: algebraic multigrid, figures, PETSc."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from ..problems import poisson
from ..solvers import cg, splu
from ..testing import check_preconditioner
from .report import same
from .run import Checks

__all__ = ["algebraic_multigrid", "figures", "no_petsc", "petsc"]


# -- PyAMG ------------------------------------------------------------------------------------
def algebraic_multigrid() -> Checks:
    """Both of its methods, on the matrix of a grid with obstacles."""

    def check(method: str) -> list[str]:
        from ..preconditioners import AMG

        problem = poisson((24, 20), obstacles="boxes")
        A, b = problem.A.tocsr(unknowns_only=True), problem.b[problem.A.fluid]
        M = AMG(A, method=method)
        result = cg(A, b, M=M, rtol=1e-10, on_failure="raise")
        return [
            *check_preconditioner(M, A, raise_on_failure=False),
            *same("the solution", result.x, splu(A, b).x, 1e-7),
        ]

    return {method: partial(check, method) for method in ("smoothed_aggregation", "ruge_stuben")}


# -- matplotlib -------------------------------------------------------------------------------
def figures() -> Checks:
    """A figure of every kind that a solve makes, in every format."""
    return {suffix: partial(_figure, suffix) for suffix in (".png", ".pdf", ".svg")}


def _figure(suffix: str) -> list[str]:
    from ..plotting import convergence, save, solution

    problem = poisson((12, 10), obstacles="balls")
    result = cg(problem.A, problem.b)
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for i, drawing in enumerate((solution(problem, result), convergence({"cg": result}))):
            path = Path(folder) / f"{i}{suffix}"
            save(drawing, path)
            sizes.append(path.stat().st_size)
    return [] if min(sizes) > 1000 else [f"figures of {sizes} bytes; expected more than 1000 each"]


# -- PETSc ------------------------------------------------------------------------------------
_ON_ONE_RANK = """
import sciml
from sciml.problems import poisson
problem = poisson((24, 20), obstacles="boxes")
x = sciml.solve(problem.A, problem.b, method="cg", M="multigrid", rtol=1e-10, engine="petsc").x
expected = sciml.splu(problem.A, problem.b).x
gap = float(((x - expected) ** 2).sum() ** 0.5 / (expected**2).sum() ** 0.5)
assert gap < 1e-7, f"the solution differs from the direct one by {gap:.1e}"
"""
_INSTALL = 'the packages of the system, or pip install "sciml[petsc]"'
_LOAD = """
from sciml.distributed.engine import load_petsc
try:
    load_petsc()
except ImportError:
    raise SystemExit(3)
"""


def no_petsc() -> str | None:
    """Why PETSc is not there. MPI is never started in this process, as it ends the one it fails in."""
    if importlib.util.find_spec("mpi4py") is None:
        return f"mpi4py is not installed: {_INSTALL}"
    # Debian keeps petsc4py where only the loader looks.
    missing = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, timeout=60).returncode == 3
    return f"petsc4py is not installed: {_INSTALL}" if missing else None


def petsc() -> Checks:
    """Our multigrid inside PETSc's conjugate gradients."""
    return {"cg with multigrid on one rank": _on_one_rank}


def _on_one_rank() -> list[str]:
    done = subprocess.run([sys.executable, "-c", _ON_ONE_RANK], capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return []
    said = done.stderr.strip().splitlines()
    return [said[-1] if said else f"the process ended with exit code {done.returncode}"]
