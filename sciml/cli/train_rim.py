"""``sciml train rim``: train a recurrent inference machine for accelerated MRI and write its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..files import check_output
from .train import Checkpoint, Output, Refine, Resume, Seed, Steps, app, refined

__all__ = ["rim"]


@app.command()
def rim(
    output: Output,
    cell: Annotated[str, typer.Option(help="indrnn, gru or mgu")] = "indrnn",
    channels: Annotated[int, typer.Option(help="width of the network; 64 in the papers")] = 32,
    step: Annotated[str, typer.Option(help="cg, explicit, or learned (as in the papers)")] = "cg",
    unrolled: Annotated[int, typer.Option(help="steps of the unrolled iteration, per cascade")] = 8,
    cascades: Annotated[int, typer.Option(help="networks that follow each other; 5 in CIRIM")] = 1,
    consistency: Annotated[
        str | None, typer.Option(help="of every cascade's end: implicit, explicit, or cg (with --step cg)")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="pixels per side")] = 128,
    window: Annotated[
        int | None, typer.Option(min=16, help="train on random parts of the scans, this many pixels per side")
    ] = None,
    slices: Annotated[
        Path | None, typer.Option(help="slices of your own (sciml.problems.mri.build_slices)")
    ] = None,
    acceleration: Annotated[tuple[float, float], typer.Option(help="lowest and highest")] = (3.0, 11.0),
    equispaced: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="share of equispaced masks; the others are Gaussian")
    ] = 0.3,
    coils: Annotated[tuple[int, int], typer.Option(help="fewest and most")] = (4, 12),
    invert: Annotated[float, typer.Option(help="share of training images with inverted contrast")] = 0.0,
    self_supervised: Annotated[
        float | None, typer.Option(help="train on k-space alone: share of it that judges (SSDU)")
    ] = None,
    loss: Annotated[str, typer.Option(help="l1, mse, log-l1 or log-mse")] = "l1",
    weighting: Annotated[str, typer.Option(help="of the steps: logspace, steep or uniform")] = "logspace",
    start: Annotated[
        Path | None, typer.Option(help="weights to go on from, made with the same network options")
    ] = None,
    steps: Steps = 6000,
    batch: Annotated[int, typer.Option(min=1, help="scans per step and process")] = 1,
    lr: Annotated[float, typer.Option(help="largest learning rate")] = 2e-3,
    refine: Refine = None,
    precision: Annotated[str, typer.Option(help="of the networks: float32 or bfloat16")] = "float32",
    device: Annotated[str, typer.Option(help="torch device to train on")] = "cpu",
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
    resume: Resume = True,
) -> int:
    """Train a recurrent inference machine on simulated scans. Started by torchrun, on several processes."""
    from ..learned import load, load_weights
    from ..learned.rim import RIM, train_rim
    from ..learned.rim.mri import scan_sample, scan_sampler, validation_scans
    from ..problems.mri import ScanStream, load_slices

    if output.suffix != ".safetensors":
        raise ValueError(f"--output is {output}; expected a name ending in .safetensors")
    schedule = refined(refine)
    check_output(output, make_folder=True)
    model: Any = RIM(
        cell=cell, channels=channels, step=step, steps=unrolled, cascades=cascades, consistency=consistency,
        seed=seed,
    )  # fmt: skip
    origin = {}
    if start is not None:
        network, model = model, load(start)
        if model.config != network.config:
            raise ValueError(f"--start holds {model!r}, but the options ask for {network!r}")
        origin = {"start": load_weights(start).training}
    model.to(device)
    shape = (size, size)
    images = load_slices("train", path=slices).images
    part: dict[str, Any] = {"shape": shape}
    if window is not None:
        part = {"shape": (window,) * 2, "window": [n * window // size for n in images.shape[1:]]}
    scans = ScanStream(
        images, coils=coils, acceleration=acceleration, augment={"invert": invert},
        masks={"gaussian2d": 1.0 - equispaced, "equispaced1d": equispaced}, **part,
    )  # fmt: skip
    held_out = validation_scans(load_slices("validation", path=slices).images, shape)
    history = train_rim(
        model, scan_sampler(scans, device), held_out=[scan_sample(scan, device) for scan in held_out],
        steps=steps, batch=batch, lr=lr, loss=loss, weighting=weighting, self_supervised=self_supervised,
        precision=precision, seed=seed, schedule=schedule, resume=resume,
        checkpoint=checkpoint or output.with_suffix(".checkpoint.safetensors"),
        fingerprint={"size": size, "slices": len(images), "acceleration": acceleration, "coils": coils,
                     "equispaced": equispaced, "invert": invert, "window": window, **origin},
    )  # fmt: skip
    command = " ".join(["sciml", *sys.argv[1:]])
    model.save(output, training={"command": command, "seed": seed, **history.summary(), **origin})
    _report(model, history, output)
    return 0


def _report(model: Any, history: Any, output: Path) -> None:
    from rich.console import Console

    line = f"{output}: {model!r}, {history.steps} steps in {history.seconds:.0f} s"
    if history.best is not None:
        line += f"; error of held-out scans {history.best[1]:.4f} after {history.best[0]} steps"
    Console(width=200).print(line, highlight=False)
