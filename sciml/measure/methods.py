"""From names such as ``cg+multigrid`` to solvers and preconditioners, and running them with a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..problems.problem import Problem

__all__ = ["Method", "Run", "parse_methods", "run_method"]

# "The better of the two": naming AMG alone compares both of its classical forms.
_BOTH_AMG = ("amg-sa", "amg-rs")


@dataclass(frozen=True)
class Method:
    """A solver with an optional preconditioner; ``auto`` lets `sciml.solve` choose both.

    Attributes
    ----------
    settings : dict
        Further keywords of the solver, ``omega`` for instance.
    factory : callable, optional
        Builds the preconditioner from `A`, instead of the one called `precond`.
    """

    name: str
    solver: str
    precond: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    factory: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Run:
    """One method on one system: the result and what it cost.

    Attributes
    ----------
    setup_seconds : float
        Building the preconditioner.
    seconds : float
        Set-up and solve together.
    memory : int
        Growth of the peak memory in bytes, see `PeakMemory`.
    norm_b : float
    """

    method: Method
    result: Any
    preconditioner: Any
    setup_seconds: float
    seconds: float
    memory: int
    norm_b: float

    @property
    def relative_residual(self) -> float:
        """True residual over the norm of `b`."""
        return self.result.residual_norm / self.norm_b if self.norm_b > 0 else self.result.residual_norm

    def row(self) -> dict[str, Any]:
        """The run as one row of a table, plain values."""
        return {
            "method": self.method.name,
            "setup_seconds": self.setup_seconds,
            "solve_seconds": self.seconds - self.setup_seconds,
            "total_seconds": self.seconds,
            "iterations": self.result.iterations,
            "matvecs": self.result.matvecs,
            "relative_residual": self.relative_residual,
            "residual_norm": self.result.residual_norm,
            "tolerance": self.result.tolerance,
            "peak_memory_growth_bytes": self.memory,
            "status": self.result.status.name,
            "ran": self.result.solver,
        }


def parse_methods(names: str, expand_amg: bool = True) -> list[Method]:
    """Methods of a comma-separated list.

    Parameters
    ----------
    names : str
        E.g. ``"cg,cg+jacobi,cg+amg"``.
    expand_amg : bool
        Turn ``amg`` into its two classical forms, smoothed aggregation and Ruge–Stüben.

    Raises
    ------
    ValueError
        For names that are not in the registries; the message lists those that are.
    """
    from ..preconditioners import PRECONDITIONERS
    from ..solvers.registry import SOLVERS

    methods: list[Method] = []
    for name in (part.strip() for part in names.split(",")):
        solver, _, precond = name.partition("+")
        if solver not in SOLVERS and solver != "auto":
            raise ValueError(f"method is {name!r}; expected a solver: auto, {', '.join(SOLVERS)}")
        if precond and precond not in PRECONDITIONERS:
            raise ValueError(f"method is {name!r}; expected a preconditioner: {', '.join(PRECONDITIONERS)}")
        if precond and solver == "auto":
            raise ValueError(f"method is {name!r}; auto chooses its preconditioner itself")
        if "+" in name and not precond:
            raise ValueError(f"method is {name!r}; expected a preconditioner after the plus")
        expanded = _BOTH_AMG if expand_amg and precond == "amg" else (precond or None,)
        methods += [Method(f"{solver}+{p}" if p else solver, solver, p) for p in expanded]
    repeated = [m.name for i, m in enumerate(methods) if m in methods[:i]]
    if repeated:
        raise ValueError(f"methods names {repeated[0]!r} twice; expected every method once")
    return methods


def run_method(
    method: Method, problem: Problem, *, rtol: float, atol: float = 0.0, maxiter: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Run:  # fmt: skip
    """Set up and solve, timing both; a failure to converge is reported in the result, not raised."""
    from ..backends import capabilities
    from ..backends.namespace import backend_name, norm2
    from ..solvers import solve
    from ..solvers.registry import SOLVERS, prepare
    from .memory import PeakMemory

    backend = backend_name(problem.b)
    if method.solver in capabilities.CAPABILITIES:
        capabilities.require(method.solver, backend)
    if method.precond and f"M:{method.precond}" in capabilities.CAPABILITIES:
        capabilities.require(f"M:{method.precond}", backend)
    settings: dict[str, Any] = {
        **method.settings, "rtol": rtol, "atol": atol, "maxiter": maxiter, "on_failure": "ignore",
    }  # fmt: skip
    tell = progress or (lambda text: None)
    M = None
    with PeakMemory() as memory:
        start = time.perf_counter()
        if method.solver == "auto":
            tell("solving")
            result = solve(problem.A, problem.b, **settings)
            setup = result.info["setup_seconds"]
        else:
            tell(f"{method.name}: setting up")
            if method.factory is None:
                M, setup = prepare(method.solver, problem.A, method.precond)
            else:
                M = method.factory(problem.A)
                setup = time.perf_counter() - start
            tell(f"{method.name}: solving")
            if M is not None:
                settings["M"] = M
            result = SOLVERS[method.solver](problem.A, problem.b, **settings)
        seconds = time.perf_counter() - start
    return Run(method, result, M, setup, seconds, memory.growth, norm2(problem.b))
