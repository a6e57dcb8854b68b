"""Run by all ranks: combinations whose inner solves go through PETSc, against the serial ones.

    mpiexec -n 2 python combine.py REPORT

Rank 0 writes what was found.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sciml
from sciml.distributed.engine import world
from sciml.operators import AffineSum, Box
from sciml.preconditioners import LearnedMultigrid
from sciml.problems import CrankNicolson, membrane_over_ball, poisson
from sciml.tuning import TsallisINF, tuned

petsc = partial(sciml.solve, engine="petsc")


def heat() -> dict[str, Any]:
    """Crank–Nicolson in a box with obstacles; the solver of every step is picked by a bandit."""
    problem = poisson((48, 40), obstacles="balls", rhs="smooth")

    def run(solver: Any) -> np.ndarray:
        u, stepper = problem.b, CrankNicolson(problem.A, 1e-2, solver=solver)
        for i in range(6):
            u = stepper.step(u, i * 1e-2, 1e-2)
        return u

    expected = run(lambda A, b, x0: sciml.cg(A, b, x0=x0, M=LearnedMultigrid(A), rtol=1e-10))
    # Every rank has a bandit of its own; counted costs and one seed make them choose alike.
    policy = TsallisINF(["cg+multigrid", "cg+jacobi", "fcg+multigrid"], seed=0)
    found = run(tuned(partial(petsc, rtol=1e-10), parameter="method", policy=policy))
    return {
        "error": float(np.abs(found - expected).max() / np.abs(expected).max()),
        "plays": policy.plays.tolist(),
    }


def inclusion() -> dict[str, Any]:
    """Halpern's resolvent by the divided multigrid in PETSc's CG."""
    problem = membrane_over_ball(32)
    A, b = problem.F.K, problem.F.q
    expected = sciml.halpern(problem.F, problem.u0, rtol=1e-8, on_failure="raise").x

    def resolvent(w: np.ndarray, step: float) -> np.ndarray:
        result = petsc(A.shifted(1.0 / step), w / step + b, method="cg+multigrid", x0=w, rtol=1e-9)
        return result.raise_if_failed().x

    F = AffineSum(A, b, G=Box(problem.F.G.lower, np.inf), solve=resolvent)
    result = sciml.halpern(F, problem.u0, step=0.5, rtol=1e-5)
    return {"status": result.status.name, "error": float(np.abs(result.x - expected).max())}


def nested() -> dict[str, Any]:
    """PETSc's solver as the preconditioner of ours."""
    problem = poisson((40, 36), obstacles="porous")
    M = sciml.inverse(problem.A, petsc, method="cg+multigrid", rtol=1e-2)
    result = sciml.fcg(problem.A, problem.b, M=M, rtol=1e-10)
    return {"status": result.status.name, "iterations": result.iterations}


report = {"heat": heat(), "inclusion": inclusion(), "nested": nested()}
if world().rank == 0:
    Path(sys.argv[1]).write_text(json.dumps(report))
