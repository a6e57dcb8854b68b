"""Small systems on which compilers and imports are done with before anything is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress

import numpy as np

from ..backends.kernels.numba.ahead import compiling_ahead
from ..operators import PoissonOperator
from ..problems.problem import Problem
from .methods import Method, run_method

__all__ = ["small_matrix", "small_shape", "warm_up"]


def small_shape(shape: Sequence[int]) -> list[int]:
    """A grid of the same kind that is solved in a moment, yet deep enough for every kind of level."""
    side = 192 if len(shape) == 2 else 64
    return [min(n, side) for n in shape]


def small_matrix() -> Problem:
    """What stands in for a matrix from a file where kernels are only to be loaded."""
    from ..problems import poisson

    tiny = poisson((40, 40))
    return Problem("warm-up", tiny.A.tocsr(), tiny.b.reshape(-1))


def warm_up(methods: Iterable[Method], small: Problem, rtol: float, tell: Callable[[str], None]) -> float:
    """Run every method on a small system, so that compilers and imports are not in what is measured."""
    start = time.perf_counter()
    tell("loading compiled kernels (compiled on the first use on a machine)")
    methods = list(methods)
    with compiling_ahead() if _cycles_on_a_grid(methods, small) else nullcontext():
        for method in methods:
            # A failure here is no finding: the measured run will meet it again and report it.
            with suppress(ValueError, TypeError, ArithmeticError):
                run_method(method, small, rtol=max(rtol, 1e-3), maxiter=50)
    return time.perf_counter() - start


def _cycles_on_a_grid(methods: Sequence[Method], problem: Problem) -> bool:
    multigrid = any(method.solver == "auto" or "multigrid" in method.name for method in methods)
    return multigrid and isinstance(problem.A, PoissonOperator) and isinstance(problem.b, np.ndarray)
