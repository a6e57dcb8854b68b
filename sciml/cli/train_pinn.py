"""``sciml train pinn``: train a field on a named problem and write its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..files import check_output
from .train import Checkpoint, Output, Resume, Seed, app

__all__ = ["pinn"]


@app.command()
def pinn(
    problem: Annotated[str, typer.Argument(help="two_peaks, burgers, ... (see docs/pinn.md)")],
    output: Output = Path("pinn.safetensors"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="argument of the problem: --set dimension=5")
    ] = None,
    sampler: Annotated[str, typer.Option(help="rad, aas, r3, sobol, uniform, ...")] = "rad",
    optimizer: Annotated[
        str, typer.Option(help="adam, lbfgs, lm, ssbfgs, ssbroyden; several in turn joined by +")
    ] = "adam+lm",
    steps: Annotated[
        str | None, typer.Option(help="of each optimiser: 2000,150; by default what suits them")
    ] = None,
    points: Annotated[str | None, typer.Option(help="in the interior at a time, for each optimiser")] = None,
    resample: Annotated[str | None, typer.Option(help="steps between resamplings, for each")] = None,
    hidden: Annotated[str | None, typer.Option(help="widths of the hidden layers: 24,24,24")] = None,
    core_seconds: Annotated[
        float | None, typer.Option(min=0.0, help="processor time after which to stop")
    ] = None,
    seed: Seed = 0,
    plot: Annotated[Path | None, typer.Option(help="save solution, error and residual here")] = None,
    checkpoint: Checkpoint = None,
    resume: Resume = True,
) -> int:
    """Train a field to satisfy a PDE; go on with sciml.learned.load(FILE)."""
    from ..learned.pinn import PROBLEMS, Field, train_pinn
    from ..plotting import check_format, save

    if output.suffix != ".safetensors":
        raise ValueError(f"--output is {output}; expected a name ending in .safetensors")
    check_output(output, make_folder=True)
    check_output(plot)
    if problem not in PROBLEMS:
        raise ValueError(f"problem is {problem!r}; expected one of {', '.join(PROBLEMS)}")
    if plot is not None:
        check_format(plot)
    network: Any = {} if hidden is None else {"hidden": _numbers("hidden", hidden)}
    field = Field(_make(PROBLEMS[problem], settings or []), seed=seed, **network)
    field, history = train_pinn(
        field.problem, field=field, sampler=sampler, optimizer=optimizer, seed=seed,
        steps=_schedule("steps", steps), points=_schedule("points", points),
        resample=_schedule("resample", resample), core_seconds=core_seconds, resume=resume,
        checkpoint=checkpoint or output.with_suffix(".checkpoint.safetensors"),
    )  # fmt: skip
    command = " ".join(["sciml", *sys.argv[1:]])
    field.save(output, training={"command": command, "seed": seed, **history.summary()})
    if plot is not None:
        save(field.plot(), plot)
    _report(field, history, output)
    return 0


def _make(make: Any, settings: list[str]) -> Any:
    import json

    arguments = {}
    for text in settings:
        name, _, value = text.partition("=")
        try:
            arguments[name.strip()] = json.loads(value)
        except ValueError:
            raise ValueError(f"--set holds {text!r}; expected NAME=NUMBER") from None
    return make(**arguments)


def _schedule(name: str, text: str | None) -> Any:
    """One number for all optimisers, a list of one for each, or None."""
    values = None if text is None else _numbers(name, text)
    return values[0] if values is not None and len(values) == 1 else values


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--{name} is {text!r}; expected integers such as 2000,150") from None


def _report(field: Any, history: Any, output: Path) -> None:
    import numpy as np
    from rich.console import Console

    line = f"{output}: {field!r}, {history.steps} steps in {history.seconds:.0f} s"
    if history.best is not None:
        line += f"; loss on held-out points {history.best[1]:.3g}"
    if field.problem.exact is not None:
        error = field.error(field.problem.domain.sample(20_000, np.random.default_rng(0)))
        line += f"; relative error {error['relative']:.3g} on 20,000 uniform points"
    Console(width=200).print(line, highlight=False)
