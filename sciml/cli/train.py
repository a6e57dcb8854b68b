"""``sciml train``: one command per learned component; each lives in its own ``train_<component>.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["Checkpoint", "Output", "Refine", "Resume", "Seed", "Steps", "app", "refined"]

app = typer.Typer(
    no_args_is_help=True,
    help="Train a learned component. Ctrl-C saves; the same command goes on from there.",
)

Output = Annotated[Path, typer.Option("--output", "-o", help="weights to write, .safetensors")]
Steps = Annotated[int, typer.Option(min=1, help="optimisation steps in all")]
Seed = Annotated[int, typer.Option(min=0, help="of initial weights and data")]
Checkpoint = Annotated[
    Path | None, typer.Option(help="file the run is kept in; by default beside the weights")
]
Resume = Annotated[bool, typer.Option(help="go on from the checkpoint, if there is one")]

Refine = Annotated[
    Path | None,
    typer.Option(help="checkpoint of a run before: its gradients refine the schedule of the learning rate"),
]


def refined(checkpoint: Path | None) -> Any:
    """The schedule of ``--refine``; None without it."""
    from ..learned.schedules import Refined
    from ..learned.training import run_state

    if checkpoint is None:
        return None
    gradients = run_state(checkpoint)["history"].metrics.get("gradient", [])
    try:
        return Refined(gradients)
    except ValueError as error:
        raise ValueError(f"--refine is {checkpoint}: {error}") from None


@app.command()
def status(checkpoint: Annotated[Path, typer.Argument(help="checkpoint of a training run")]) -> int:
    """Say how far a training run has come."""
    from rich.console import Console

    from ..learned.training import run_state

    content = run_state(checkpoint)
    history, steps = content["history"], content["fingerprint"].get("steps", "?")
    line = f"{history.steps} of {steps} steps in {history.seconds:.0f} s"
    if history.loss:
        line += f", loss {history.loss[-1]:.4g}"
    if history.best is not None:
        line += f", best validation {history.best[1]:.4g} after {history.best[0]} steps"
    Console().print(line, highlight=False)
    return 0
