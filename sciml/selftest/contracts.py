"""Contracts (`sciml.testing`) of operators, solvers and preconditioners, on any array library and device."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..backends.capabilities import supports
from ..backends.namespace import from_numpy
from ..operators import Block, CallableOperator, PoissonOperator, Sense, as_operator, matrix_game
from ..preconditioners import PRECONDITIONERS, make_preconditioner
from ..problems import poisson
from ..solvers.registry import SOLVERS
from ..testing import check_finite_sum, check_linear_operator, check_preconditioner, check_solver
from ..testing.solvers import NOT_APPLICABLE
from .answers import same_everywhere
from .run import Check, Checks

__all__ = ["on_library", "operators", "preconditioners", "solvers"]

GRIDS_ONLY_ELSEWHERE = {"sor", "ssor", "multigrid"}
"""Solvers that take matrices on NumPy only, or on no library."""


def on_library(library: str, device: str | None) -> Checks:
    """Operators, solvers, preconditioners and answers of NumPy, on another array library."""
    return {
        **operators(library, device),
        **solvers(library, device),
        **preconditioners(library, device),
        **same_everywhere(library, device),
        "arrays of two libraries are refused": partial(_mixed_arrays, library, device),
    }


def operators(library: str = "numpy", device: str | None = None) -> Checks:
    """One operator of every kind."""
    rng = np.random.default_rng(0)
    array = partial(_array, library, device)
    place: dict[str, Any] = {"backend": library, "device": device}
    square, tall = (as_operator(array(rng.standard_normal(shape))) for shape in ((6, 6), (9, 6)))
    complex_ = as_operator(array(rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5))))
    maps = rng.standard_normal((3, 4, 5)) + 1j * rng.standard_normal((3, 4, 5))
    obstacle = np.zeros((5, 4, 6), np.uint8)
    obstacle[2, 1:3, 2] = 1  # SOLID
    grid = PoissonOperator((3, 2), **place)
    found = {
        "matrix": tall,
        "complex matrix": complex_,
        "function": CallableOperator(lambda x: 3 * x, (2, 3), properties={"symmetric"}),
        "Poisson 2D": PoissonOperator((5, 4), bc=["periodic", "dirichlet"], shift=0.3, **place),
        "Poisson 3D with an obstacle": PoissonOperator((5, 4, 6), cells=obstacle, **place),
        "coil sensitivities": Sense(array(maps), array(rng.random((4, 5)) < 0.6)),
        "sum, product and adjoint": 2.0 * (complex_ @ complex_.H) + 0.5,
        "block": Block([[square, None], [grid, square]]),
    }
    like = array(np.zeros(1))
    checks: dict[str, Check] = {
        name: partial(check_linear_operator, A, like=like, raise_on_failure=False)
        for name, A in found.items()
    }
    game = matrix_game(array(rng.standard_normal((4, 3))))
    return {**checks, "matrix game": partial(check_finite_sum, game, like=like, raise_on_failure=False)}


def solvers(library: str = "numpy", device: str | None = None) -> Checks:
    """Every solver that runs on the library, in double precision; `cg` in single and complex too."""
    like = _array(library, device, np.zeros(1))
    checks: dict[str, Check] = {}
    for name, solver in SOLVERS.items():
        if not supports(name, library):
            continue
        skip = set(NOT_APPLICABLE.get(name, ()))
        if library != "numpy" and name in GRIDS_ONLY_ELSEWHERE:
            skip |= {"indefinite", "singular"}  # these are dense matrices
        checks[name] = partial(check_solver, solver, like=like, skip=skip, raise_on_failure=False)
    for dtype in ("float32", "complex128"):
        checks[f"cg {dtype}"] = partial(
            check_solver, SOLVERS["cg"], like=like, dtype=dtype, raise_on_failure=False
        )
    return checks


def preconditioners(library: str = "numpy", device: str | None = None) -> Checks:
    """Every preconditioner that runs on the library and needs no extra, around obstacles."""
    problem = poisson((12, 10), obstacles="balls", backend=library, device=device)

    def check(name: str) -> list[str]:
        M = make_preconditioner(name, problem.A)
        return check_preconditioner(M, problem.A, like=problem.b, raise_on_failure=False)

    # AMG and the learned multigrid have parts of their own, which say what to install.
    names = [name for name in PRECONDITIONERS if not name.startswith(("amg", "learned"))]
    return {
        f"preconditioner {name}": partial(check, name) for name in names if supports(f"M:{name}", library)
    }


def _mixed_arrays(library: str, device: str | None) -> list[str]:
    try:
        SOLVERS["cg"](PoissonOperator((4, 4)), _array(library, device, np.ones((4, 4))))
    except TypeError:
        return []
    return ["a NumPy operator took an array of another library; expected a TypeError"]


def _array(library: str, device: str | None, values: np.ndarray) -> Any:
    return from_numpy(values, library, device=device)
