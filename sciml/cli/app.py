"""The commands and their options. What they do is in the other modules of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import mri, train_dcd, train_multigrid, train_pinn, train_rim  # noqa: F401  (they register their commands)
from .train import app as train_app
from .variadic import VariadicShape

__all__ = ["app"]

EXIT_CONVERGED, EXIT_NOT_CONVERGED, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130


class OneLineErrors(TyperGroup):
    """Errors are one line on standard error and exit code 2; set SCIML_TRACEBACK=1 to see where from."""

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        try:
            code = super().main(args=args, prog_name=prog_name, **{**extra, "standalone_mode": False})
        except Exception as error:
            if os.environ.get("SCIML_TRACEBACK"):
                raise
            if isinstance(error, typer.Abort):  # Ctrl-C
                print("sciml: interrupted", file=sys.stderr)
                sys.exit(EXIT_INTERRUPTED)
            print(f"sciml: error: {sentence(error)}", file=sys.stderr)
            sys.exit(EXIT_ERROR)
        sys.exit(code if isinstance(code, int) else EXIT_CONVERGED)


def sentence(error: Exception) -> str:
    """One line that says what went wrong."""
    # Usage errors know how to phrase themselves; their class is not public in every typer version.
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text})" if text else "not enough memory"
    if not text:
        text = "run `sciml --help`" if hasattr(error, "format_message") else type(error).__name__
    elif not isinstance(error, ValueError | TypeError | OSError | ImportError | MemoryError) and not hasattr(
        error, "format_message"
    ):
        text = f"{type(error).__name__}: {text}"
    return " ".join(text.split())


app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Solve linear systems and Poisson problems, and compare solvers honestly.",
)
app.add_typer(train_app, name="train")

app.add_typer(mri.app, name="mri")

Target = Annotated[str, typer.Argument(help="poisson, or a file with a matrix: .mtx, .mtx.gz, .npz, .mat")]
Shape = Annotated[
    list[int] | None, typer.Option(help="cells per axis, two or three numbers: --shape 128 128 128")
]
Obstacles = Annotated[str | None, typer.Option(help="balls, boxes, channels, walls or porous")]
Bc = Annotated[
    str | None,
    typer.Option(
        help="dirichlet, neumann, periodic or open-top; per axis: periodic,neumann,neumann:dirichlet"
    ),
]
Rhs = Annotated[str | None, typer.Option(help="random, smooth or manufactured; for a matrix, a file")]
Seed = Annotated[int, typer.Option(min=0, help="of geometry and random right-hand side")]
Rtol = Annotated[float, typer.Option(min=0.0, help="stop when ‖b − Ax‖ ≤ rtol ‖b‖")]
Maxiter = Annotated[int | None, typer.Option(min=0, help="iterations at most")]
Dtype = Annotated[str, typer.Option(help="float64 or float32")]
Backend = Annotated[str, typer.Option(help="numpy, torch or cupy")]
Key = Annotated[str | None, typer.Option(help="name of the matrix in the file")]
Plot = Annotated[Path | None, typer.Option(help="save a figure here (.png, .pdf, .svg)")]
Engine = Annotated[str | None, typer.Option(help="petsc: on all ranks of `mpiexec -n P sciml solve ...`")]
Json = Annotated[Path | None, typer.Option("--json", help="save everything measured here")]


@app.command(cls=VariadicShape)
def solve(
    target: Target,
    shape: Shape = None,
    obstacles: Obstacles = None,
    bc: Bc = None,
    rhs: Rhs = None,
    seed: Seed = 0,
    rtol: Rtol = 1e-6,
    maxiter: Maxiter = None,
    method: Annotated[str, typer.Option(help="auto, or a solver such as cg, or cg+multigrid")] = "auto",
    precond: Annotated[str | None, typer.Option(help="preconditioner of the solver")] = None,
    dtype: Dtype = "float64",
    backend: Backend = "numpy",
    engine: Engine = None,
    key: Key = None,
    plot: Plot = None,
    json: Json = None,
) -> int:
    """Solve one system. Exit code 0 only when converged."""
    from .run import System, run_solve, with_precond

    system = System(target, shape, obstacles, bc, rhs, seed, dtype, backend, key)
    if engine is not None:
        if engine != "petsc":
            raise ValueError(f"--engine is {engine!r}; expected petsc")
        from .distributed import run_distributed

        return run_distributed(system, with_precond(method, precond), rtol, maxiter, plot, json, sentence)
    return run_solve(system, method, precond, rtol, maxiter, plot, json)


@app.command(cls=VariadicShape)
def compare(
    target: Target,
    shape: Shape = None,
    methods: Annotated[
        str, typer.Option(help="solver+preconditioner pairs; amg runs smoothed aggregation and Ruge–Stüben")
    ] = "cg,cg+jacobi,cg+mic0,cg+amg,cg+multigrid",
    obstacles: Obstacles = None,
    bc: Bc = None,
    rhs: Rhs = None,
    seed: Seed = 0,
    rtol: Rtol = 1e-6,
    maxiter: Maxiter = None,
    dtype: Dtype = "float64",
    backend: Backend = "numpy",
    key: Key = None,
    plot: Plot = None,
    json: Json = None,
) -> int:
    """Run several methods on one system: seconds, iterations, true residuals, memory."""
    from .run import System, run_compare

    system = System(target, shape, obstacles, bc, rhs, seed, dtype, backend, key)
    return run_compare(system, methods, rtol, maxiter, plot, json)


@app.command()
def discover(
    model: Annotated[str, typer.Argument(help="ks, burgers, kolmogorov, lorenz63 or lorenz96")],
    data: Annotated[Path, typer.Argument(help=".npz with before, after, window; optionally noise, times")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="parameter of the model: --set diffusion=0.5")
    ] = None,
    dt: Annotated[float, typer.Option(help="time step of the model")] = 0.005,
    window: Annotated[float | None, typer.Option(help="time between before and after")] = None,
    noise: Annotated[str | None, typer.Option(help="standard deviation, or estimate")] = None,
    assimilation: Annotated[str | None, typer.Option(help="enkf or letkf")] = None,
    power: Annotated[int, typer.Option(min=1, help="largest power in the library")] = 4,
    order: Annotated[int, typer.Option(min=1, help="largest derivative in the library")] = 4,
    seed: Seed = 0,
    save: Annotated[Path | None, typer.Option(help="write the model error here (JSON)")] = None,
    plot: Plot = None,
    json: Json = None,
) -> int:
    """Find the terms a shipped model lacks, from your own pairs of snapshots."""
    from .discover import run_discover

    return run_discover(
        model, data, settings or [], dt, window, noise, assimilation, power, order, seed, save, plot, json
    )


@app.command()
def study(
    config: Annotated[Path, typer.Argument(help="TOML file with problems, sizes, seeds and solvers")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder; by default the name of the file")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="say what would be run, and run nothing")] = False,
) -> int:
    """Run every solver on every problem, size and seed; goes on after a kill; writes one page."""
    from .study import run_study_command

    return run_study_command(config, output, check)


@app.command()
def retrain(
    names: Annotated[list[str] | None, typer.Argument(help="of shipped weights, such as dcd2d")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that are shipped")] = False,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="folder for weights and checkpoints; interrupted runs go on"),
    ] = Path("retrained"),
    tolerance: Annotated[float, typer.Option(help="by which share the validation value may be above")] = 0.1,
    json: Json = None,
) -> int:
    """Train shipped weights again by the command in their header, and compare: the same bits, or as good."""
    from .retrain import run_retrain

    return run_retrain(names or [], everything, output, tolerance, json)


@app.command()
def info(json: Json = None) -> int:
    """Versions, threads, backends, and what runs where."""
    from .info import run_info

    return run_info(json)


@app.command()
def selftest(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="show where a failing check raised")
    ] = False,
    json: Json = None,
) -> int:
    """Check this installation: contracts and known answers, on everything found here."""
    from .selftest import run_selftest_command

    return run_selftest_command(verbose, json)
