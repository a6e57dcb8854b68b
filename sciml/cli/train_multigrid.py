"""``sciml train multigrid``: parameters of multigrid for one's own kind of geometry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..files import check_output
from .train import Checkpoint, Output, Resume, Seed, app

__all__: list[str] = []


@app.command()
def multigrid(
    output: Output = Path("multigrid.safetensors"),
    families: Annotated[
        str | None, typer.Option(help="comma-separated, such as porous,walls; all by default")
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            help="grids to train on, comma-separated; by default 32x32x32, 64x64x64, 256x256 and "
            "512x512, and 128x128x128 with constant coefficients"
        ),
    ] = None,
    instances: Annotated[int, typer.Option(min=1, help="problems of each family and shape")] = 1,
    mask: Annotated[
        list[Path] | None,
        typer.Option(help=".npy file, true in solid cells: a geometry of your own; repeat for several"),
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="parameter sets to choose from, at most")] = 8,
    generations: Annotated[int, typer.Option(min=0, help="of evolution for each class of problems")] = 4,
    calibrate: Annotated[bool, typer.Option(help="measure the rates of this machine first")] = False,
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
    resume: Resume = True,
) -> int:
    """Train multigrid parameters; use them as LearnedMultigrid(A, weights=FILE)."""
    from rich.console import Console

    from ..learned.multigrid import train_multigrid
    from ..learned.multigrid.own import own_problems, rates_of_this_machine
    from ..learned.multigrid.train import training_problems

    check_output(output, make_folder=True)
    problems = own_problems(mask or [])
    if families is not None or not problems:
        names = None if families is None else [name.strip() for name in families.split(",")]
        grids = None if shapes is None else [_shape(text) for text in shapes.split(",")]
        problems += training_problems(names, grids, instances)
    console = Console()
    rates = None
    if calibrate:
        rates, error = rates_of_this_machine([p for _, p in problems])
        console.print(f"cost model: off by {100 * error:.0f} % in the median", highlight=False)
    history = train_multigrid(
        output,
        problems,
        members=members,
        generations=generations,
        seed=seed,
        rates=rates,
        checkpoint=checkpoint or output.with_name(f"{output.stem}.checkpoint.safetensors"),
        resume=resume,
        command="sciml " + " ".join(sys.argv[1:]),
    )
    console.print(f"{output}: {len(problems)} problems, {history.seconds:.0f} s", highlight=False)
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in text.strip().split("x"))
    except ValueError:
        shape = ()
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shapes holds {text!r}; expected sizes such as 64x64x64 or 256x256")
    return shape
