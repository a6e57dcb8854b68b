"""``sciml train dcd``: train a deep conjugate direction network on a box and write its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..files import check_output
from .train import Checkpoint, Output, Refine, Resume, Seed, Steps, app, refined
from .variadic import VariadicShape

__all__ = ["dcd"]


@app.command(cls=VariadicShape)
def dcd(
    output: Output,
    shape: Annotated[list[int], typer.Option(help="cells per axis: --shape 32 32 32")],
    architecture: Annotated[
        str, typer.Option(help="dcd-64, dcd-128 (as published), small or linear")
    ] = "small",
    bc: Annotated[str, typer.Option(help="sides of the box, as in `sciml solve`")] = "open-top",
    modes: Annotated[
        Path | None, typer.Option(help="folder of Ritz vectors; made there by Lanczos if it does not exist")
    ] = None,
    lanczos: Annotated[int, typer.Option(min=1, help="Lanczos iterations, with --modes")] = 1000,
    law: Annotated[str, typer.Option(help="weights of modes: octaves, or lowest (as published)")] = "octaves",
    steps: Steps = 3000,
    batch: Annotated[int, typer.Option(min=1, help="right-hand sides per step and process")] = 4,
    lr: Annotated[float, typer.Option(help="largest learning rate")] = 3e-3,
    loss: Annotated[str, typer.Option(help="energy, or residual (as published)")] = "energy",
    depth: Annotated[int, typer.Option(min=1, help="iterations a system is followed; 1 as published")] = 16,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    refine: Refine = None,
    device: Annotated[str, typer.Option(help="torch device to train on")] = "cpu",
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
    resume: Resume = True,
) -> int:
    """Train a deep conjugate direction network. Started by torchrun, it runs on several processes."""
    from ..learned.dcd import BoxModes, RitzModes, ritz_vectors, train_dcd
    from ..problems import poisson
    from .run import parse_bc

    if output.suffix != ".safetensors":
        raise ValueError(f"--output is {output}; expected a name ending in .safetensors")
    schedule = refined(refine)
    check_output(output, make_folder=True)
    A = poisson(shape, bc=parse_bc(bc)).A
    data: Any = None
    if modes is None:
        data = BoxModes(A, law)
    else:
        if not modes.exists():
            ritz_vectors(A, modes, steps=lanczos, seed=seed)
        data = RitzModes(modes, law)
    network, history = train_dcd(
        A, data, architecture=architecture, steps=steps, batch=batch, lr=lr, loss=loss, depth=depth,
        seed=seed, schedule=schedule, precision=precision, device=device, resume=resume,
        checkpoint=checkpoint or output.with_suffix(".checkpoint.safetensors"),
    )  # fmt: skip
    command = " ".join(["sciml", *sys.argv[1:]])
    network.save(output, training={"command": command, "seed": seed, **history.summary()})
    _report(network, history, output)
    return 0


def _report(network: Any, history: Any, output: Path) -> None:
    from rich.console import Console

    line = f"{output}: {network!r}, {history.steps} steps in {history.seconds:.0f} s"
    if history.best is not None:
        line += f"; an iteration of dcd leaves {history.best[1]:.3f} of an unseen residual"
    Console(width=200).print(line, highlight=False)
