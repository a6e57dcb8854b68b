"""``sciml solve`` and ``sciml compare``: build the system, run methods, show and record what happened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import check_output
from ..measure.memory import PeakMemory
from ..measure.methods import Run, parse_methods, run_method
from ..measure.record import claim, record, write_json
from ..measure.terminal import console, progress
from ..measure.warmup import small_matrix, small_shape, warm_up
from ..problems.problem import Problem

__all__ = ["System", "run_compare", "run_solve", "with_precond"]


@dataclass(frozen=True)
class System:
    """The options that say which system is meant, as typed; `build` checks them."""

    target: str
    shape: list[int] | None
    obstacles: str | None
    bc: str | None
    rhs: str | None
    seed: int
    dtype: str
    backend: str
    key: str | None

    @property
    def is_poisson(self) -> bool:
        return self.target == "poisson"

    def build(self, shape: list[int] | None = None) -> Problem:
        """The problem itself, or the same kind of problem of another `shape`."""
        if self.is_poisson:
            return self._poisson(shape or self.shape)
        given = {"--shape": self.shape, "--obstacles": self.obstacles, "--bc": self.bc}
        used = [name for name, value in given.items() if value is not None]
        if "." not in self.target:
            raise ValueError(f"unknown system {self.target!r}; expected poisson or a file (.mtx, .npz, .mat)")
        if used:
            raise ValueError(f"{used[0]} describes a Poisson problem; {self.target} is a file")
        if self.backend != "numpy" or self.dtype != "float64":
            raise ValueError("matrices from files are solved in numpy float64; drop --backend and --dtype")
        from ..io import load_system

        return load_system(self.target, rhs=self.rhs, key=self.key)

    def _poisson(self, shape: list[int] | None) -> Problem:
        from ..problems import poisson

        if not shape:
            raise ValueError("poisson needs --shape, e.g. --shape 128 128 128")
        if self.key is not None:
            raise ValueError("--key names a matrix in a file; poisson has none")
        return poisson(
            shape, bc=parse_bc(self.bc), obstacles=self.obstacles, rhs=self.rhs or "random", seed=self.seed,
            dtype=self.dtype, backend=self.backend,
        )  # fmt: skip

    def small(self) -> Problem:
        """A system of the same kind that takes every kernel through its compiler in a moment."""
        if self.is_poisson:
            assert self.shape is not None
            return self.build(small_shape(self.shape))
        return small_matrix()


def parse_bc(text: str | None) -> Any:
    """``"neumann"``, or per axis ``"periodic,neumann,neumann:dirichlet"``.

    >>> parse_bc("periodic,neumann:dirichlet")
    ['periodic', ('neumann', 'dirichlet')]
    """
    if text is None or ("," not in text and ":" not in text):
        return text
    axes = [axis.strip() for axis in text.split(",")]
    return [tuple(axis.split(":")) if ":" in axis else axis for axis in axes]


def run_solve(
    system: System, method: str, precond: str | None, rtol: float, maxiter: int | None, plot: Path | None,
    json: Path | None,
) -> int:  # fmt: skip
    """Solve, print, record; returns the exit code."""
    name = with_precond(method, precond)
    chosen = parse_methods(name, expand_amg=False)
    if len(chosen) != 1:
        raise ValueError(f"method is {method!r}; expected one method (sciml compare runs several)")
    _check_outputs(plot, json)
    problem, seconds = _built(system)
    terminal = console()
    terminal.print(f"{problem}  [dim](built in {seconds:.2g} s)[/dim]", highlight=False)
    for note in problem.notes:
        terminal.print(f"  {note}", highlight=False)
    with progress() as tell:
        warm_up(chosen, system.small(), rtol, tell)
        run = run_method(chosen[0], problem, rtol=rtol, maxiter=maxiter, progress=tell)
    choice = run.result.info.get("choice")
    if choice:
        terminal.print(f"  {choice}", highlight=False)
    terminal.print(_table([run]))
    if problem.exact is not None:
        terminal.print(f"relative error against the exact solution: {problem.error(run.result.x):.3e}")
    _conclude(terminal, [run])
    if plot is not None:
        _plot_solution(problem, run, plot)
        terminal.print(f"figure: {plot}", highlight=False)
    if json is not None:
        _write(json, f"solve {problem.name}", system, [run], rtol)
    return 0 if run.result.converged else 1


def run_compare(
    system: System, methods: str, rtol: float, maxiter: int | None, plot: Path | None, json: Path | None
) -> int:
    """Run every method on the system, print a table, record; returns the exit code."""
    chosen = parse_methods(methods)
    _check_outputs(plot, json)
    problem, _ = _built(system)
    terminal = console()
    terminal.print(str(problem), highlight=False)
    for note in problem.notes:
        terminal.print(f"  {note}", highlight=False)
    runs = []
    with progress() as tell:
        seconds = warm_up(chosen, system.small(), rtol, tell)
        terminal.print(
            f"[dim]Compiled kernels were loaded on a small system first ({seconds:.1f} s), so no time below "
            f"holds a compiler. Memory is {PeakMemory.METHOD}, set-up and solve together.[/dim]",
            highlight=False,
        )
        for method in chosen:
            runs.append(run_method(method, problem, rtol=rtol, maxiter=maxiter, progress=tell))
    terminal.print(_table(runs))
    speed_up = _speed_up(runs)
    if speed_up is not None:
        terminal.print(f"cg+multigrid is {speed_up:.1f} times faster than the better AMG, set-up included")
    _conclude(terminal, runs)
    if plot is not None:
        from ..plotting import convergence, save

        save(convergence({run.method.name: run.result for run in runs}), plot)
        terminal.print(f"figure: {plot}", highlight=False)
    if json is not None:
        _write(json, f"compare {problem.name}", system, runs, rtol)
    return 0 if all(run.result.converged for run in runs) else 1


def with_precond(method: str, precond: str | None) -> str:
    """The name of a method with the preconditioner of its own option, if that was given."""
    if precond is None:
        return method
    if "+" in method:
        raise ValueError(f"--method {method} already names a preconditioner; drop --precond {precond}")
    return f"{'cg' if method == 'auto' else method}+{precond}"


def _built(system: System) -> tuple[Problem, float]:
    start = time.perf_counter()
    problem = system.build()
    return problem, time.perf_counter() - start


def _check_outputs(*paths: Path | None) -> None:
    """Refuse files that cannot be written now, not after minutes of work."""
    for path in paths:
        check_output(path)
    if paths[0] is not None:
        from ..plotting import check_format

        check_format(paths[0])


def _plot_solution(problem: Problem, run: Run, path: Path) -> None:
    from ..plotting import save, solution

    label = None if run.method.solver == "auto" else run.method.name  # None: what auto chose
    save(solution(problem, run.result, label), path)


def _speed_up(runs: list[Run]) -> float | None:
    """Seconds of the better AMG over those of cg+multigrid, where both ran and converged."""
    ours = [run.seconds for run in runs if run.method.name == "cg+multigrid" and run.result.converged]
    amg = [
        run.seconds for run in runs if (run.method.precond or "").startswith("amg") and run.result.converged
    ]
    return min(amg) / ours[0] if ours and amg else None


def _write(path: Path, case: str, system: System, runs: list[Run], rtol: float) -> None:
    claims = [
        claim(f"{run.method.name}: relative true residual", run.relative_residual, "<=", rtol) for run in runs
    ]
    speed_up = _speed_up(runs)
    if speed_up is not None:
        claims.append(
            claim("times cg+multigrid is faster than the better AMG, set-up included", speed_up, ">=", 1.0)
        )
    content = record(case, "custom", system.seed, {"methods": [run.row() for run in runs]}, claims)
    content["system"] = {k: v for k, v in vars(system).items() if v is not None}
    content["histories"] = {run.method.name: run.result.residual_history for run in runs}
    write_json(path, content)


# -- the terminal -----------------------------------------------------------------------------
def _table(runs: list[Run]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    for name in ("set-up s", "solve s", "total s", "iterations", "true residual", "memory MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    done = [run.seconds for run in runs if run.result.converged]
    fastest = min(done, default=None) if len(runs) > 1 else None
    for run in runs:
        result = run.result
        table.add_row(
            run.method.name if run.method.solver != "auto" else f"auto: {result.solver}",
            f"{run.setup_seconds:.3f}",
            f"{run.seconds - run.setup_seconds:.3f}",
            f"{run.seconds:.3f}",
            str(result.iterations),
            f"{run.relative_residual:.2e}",
            f"{run.memory / 2**20:.0f}",
            result.status.name.lower(),
            style="bold green" if run.seconds == fastest else None if result.converged else "red",
        )
    return table


def _conclude(terminal: Any, runs: list[Run]) -> None:
    """One sentence per failure, with its reason; silence would look like success."""
    for run in runs:
        if not run.result.converged:
            terminal.print(f"[red]✗[/red] {run.method.name}: {run.result.status.value}", highlight=False)
    if len(runs) == 1 and runs[0].result.converged:
        terminal.print(f"[green]✓[/green] {runs[0].result.status.value}", highlight=False)
