"""``sciml solve --engine petsc``: one system on all ranks of an MPI job; rank 0 prints, plots and records."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..measure.memory import PeakMemory
from ..measure.methods import Method, Run

if TYPE_CHECKING:
    from .run import System

__all__ = ["run_distributed"]


def run_distributed(
    system: System, method: str, rtol: float, maxiter: int | None, plot: Path | None, json: Path | None,
    explain: Callable[[Exception], str],
) -> int:  # fmt: skip
    """Solve on all ranks; returns the exit code, the same on every rank.

    `explain` makes one sentence of an error. Where it strikes one rank alone, all are ended.
    """
    from ..distributed.engine import end_all_ranks, load_petsc

    load_petsc()
    try:
        return _run(system, method, rtol, maxiter, plot, json)
    except Exception as error:
        end_all_ranks(f"sciml: error: {explain(error)}", 2)
        sys.exit(2)


def _run(
    system: System, method: str, rtol: float, maxiter: int | None, plot: Path | None, json: Path | None
) -> int:
    from ..distributed import solve
    from ..distributed.engine import load_mpi, world
    from .run import _check_outputs, _conclude, _table, _write

    comm = world()
    _check_outputs(plot, json)
    start = time.perf_counter()
    _warm_up(system, method)
    warmed = time.perf_counter() - start
    with PeakMemory() as memory:
        start = time.perf_counter()
        problem = _build(system)
        built = time.perf_counter() - start
        result = solve(problem.A, problem.b, method=method, rtol=rtol, maxiter=maxiter, on_failure="ignore")
    growth = comm.allreduce(memory.growth, op=load_mpi().MAX)
    setup = result.info["setup_seconds"]
    norm_b = float(np.sqrt(comm.allreduce(float(np.sum(problem.b**2)))))
    planes = _planes(problem, result.x) if plot is not None else None
    error = problem.error(result.x) if getattr(problem, "exact", None) is not None else None
    if comm.rank == 0:
        run = Run(Method(method, method), result, None, setup, setup + result.seconds, growth, norm_b)
        console = _console()
        console.print(
            f"{problem}  (built in {built:.2g} s; kernels loaded in {warmed:.2g} s)", highlight=False
        )
        for note in problem.notes:
            console.print(f"  {note}", highlight=False)
        console.print(f"  {result.info['choice']}", highlight=False)
        console.print(_table([run]))
        console.print(
            "[dim]Memory is that of the rank that grew most, problem included.[/dim]", highlight=False
        )
        if error is not None:
            console.print(f"relative error against the exact solution: {error:.3e}")
        _conclude(console, [run])
        if plot is not None:
            from ..plotting import convergence, save, solution

            drawing = convergence({result.solver: result}) if planes is None else None
            save(drawing or solution(problem, result, x=planes), plot)
            console.print(f"figure: {plot}", highlight=False)
        if json is not None:
            _write(json, f"solve {problem.name} on {comm.size} rank(s)", system, [run], rtol)
    comm.Barrier()
    return 0 if result.converged else 1


def _console() -> Any:
    from rich.console import Console

    # What ranks print goes through the launcher, which may pass itself off as a narrow terminal.
    return Console(width=120, force_terminal=False)


def _build(system: System, shape: list[int] | None = None) -> Any:
    """The problem in parts; `shape` replaces that of the options."""
    from .. import distributed
    from .run import parse_bc

    if system.backend != "numpy" or system.dtype != "float64":
        raise ValueError("the engine 'petsc' computes in numpy float64; drop --backend and --dtype")
    if system.key is not None:
        raise ValueError(
            "--key names a matrix in a .npz or .mat file, which the engine 'petsc' does not read"
        )
    if system.is_poisson:
        if not system.shape:
            raise ValueError("poisson needs --shape, e.g. --shape 128 128 128")
        return distributed.poisson(
            shape or system.shape, bc=parse_bc(system.bc), obstacles=system.obstacles,
            rhs=system.rhs or "random", seed=system.seed,
        )  # fmt: skip
    given = {"--shape": system.shape, "--obstacles": system.obstacles, "--bc": system.bc}
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} describes a Poisson problem; {system.target} is a file")
    return distributed.load_system(system.target, rhs=system.rhs)


def _warm_up(system: System, method: str) -> None:
    """Take every kernel through its compiler on a small problem, so that no time below holds it."""
    from ..distributed import solve

    if not system.is_poisson or not system.shape:
        return
    try:
        small = _build(system, [min(n, 48) for n in system.shape])
        solve(small.A, small.b, method=method, rtol=1e-3, maxiter=20, on_failure="ignore")
    except (ValueError, TypeError):
        return  # on all ranks alike; the measured run meets it again and reports it


def _planes(problem: Any, x: np.ndarray) -> Callable[[Any, int], Any] | None:
    """The planes a figure shows, brought to rank 0; None without a grid."""
    if getattr(problem, "grid", None) is None:
        return None
    layout = problem.layout
    solid = ~problem.A.fluid
    if len(layout.shape) == 2:
        whole, mask = layout.gather(x), layout.gather(solid)
        return lambda axis, index: np.ma.masked_array(whole, mask=mask)
    planes: dict[int, Any] = {}
    for axis, n in enumerate(layout.shape):
        values, mask = layout.plane(x, axis, n // 2), layout.plane(solid, axis, n // 2)
        planes[axis] = None if values is None else np.ma.masked_array(values, mask=mask)
    return lambda axis, index: planes[axis]
