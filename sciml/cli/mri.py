"""``sciml mri import``: files of k-space or images become one that solvers and training read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..files import check_output

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Magnetic resonance imaging: bring in data.")


@app.callback()
def mri() -> None:
    """Magnetic resonance imaging: bring in data."""


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="fastMRI or ISMRMRD .h5 (measured); .nii, .nii.gz (simulated from)")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="the .npz file to write")],
    maps: Annotated[bool, typer.Option(help="estimate coil maps (ESPIRiT) where the file holds none")] = True,
    acs: Annotated[
        int | None, typer.Option(min=4, help="side of the fully sampled centre that maps are estimated from")
    ] = None,
    slices: Annotated[
        str | None, typer.Option(help="which slices, as first:last:step, e.g. 40:120:4; all by default")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="fastMRI: pixels to keep along the oversampled readout")
    ] = None,
    matrix: Annotated[
        int | None, typer.Option(min=16, help="NIfTI: rows and columns of k-space [128]")
    ] = None,
    coils: Annotated[int | None, typer.Option(min=1, help="NIfTI: number of simulated coils [8]")] = None,
    mask: Annotated[
        str | None, typer.Option(help="NIfTI: gaussian2d, equispaced1d, ... [gaussian2d]")
    ] = None,
    acceleration: Annotated[
        float | None, typer.Option(min=1.0, help="NIfTI: acceleration asked for [4]")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(min=0.0, help="NIfTI: noise relative to the largest magnitude [0.01]")
    ] = None,
    axis: Annotated[
        int | None, typer.Option(min=0, max=2, help="NIfTI: 0 sagittal, 1 coronal, 2 axial [2]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="NIfTI: of coils, phase, mask and noise [0]")
    ] = None,
) -> int:
    """Read k-space (or simulate it from images), check it, add coil maps, say what it is, and write it."""
    settings = {
        "matrix": matrix, "coils": coils, "mask": mask, "acceleration": acceleration, "noise": noise,
        "axis": axis, "seed": seed,
    }  # fmt: skip
    return run_import(file, out, maps, acs, slices, rows, settings)


def run_import(
    file: Path,
    out: Path,
    maps: bool,
    acs: int | None,
    slices: str | None,
    rows: int | None,
    settings: dict[str, Any],
) -> int:
    """What the command does; returns the exit code."""
    from rich.console import Console

    if out.suffix != ".npz":
        raise ValueError(f"--out is {out}; expected a name ending in .npz")
    check_output(out)
    data = _read(file, slices, rows, settings, acs)
    console = Console()
    console.print(
        f"{len(data)} slices of {data.kspace.shape[1]} coils, {_size(data)}: {data.source}", highlight=False
    )
    h, w = data.centre
    console.print(
        f"true acceleration {data.acceleration:.2f}, fully sampled centre {h} x {w}", highlight=False
    )
    if data.maps is None and maps:
        data = data.with_estimated_maps(acs=acs)
        console.print("coil maps: estimated from the centre (ESPIRiT)", highlight=False)
    elif data.maps is None:
        console.print("coil maps: none; they will be estimated where they are needed", highlight=False)
    else:
        console.print("coil maps: those of the simulation", highlight=False)
    data.save(out)
    console.print(f"written: {out}", highlight=False)
    return 0


def _read(file: Path, slices: str | None, rows: int | None, settings: dict[str, Any], acs: int | None) -> Any:
    from ..problems.mri import read_fastmri, read_ismrmrd, read_nifti, sampling_mask

    given = {name: value for name, value in settings.items() if value is not None}
    chosen = _slices(slices)
    if rows is not None and (file.name.endswith((".nii", ".nii.gz")) or _is_ismrmrd(file)):
        raise ValueError(f"--rows removes the readout oversampling of fastMRI files; {file.name} is none")
    if file.name.endswith((".nii", ".nii.gz")):
        side = given.pop("matrix", 128)
        seed = given.get("seed", 0)
        kind, R = given.pop("mask", "gaussian2d"), given.pop("acceleration", 4.0)
        mask = sampling_mask(kind, (side, side), R, seed=seed, acs=acs or 0)
        positions = None if chosen is None else list(range(chosen.start or 0, chosen.stop, chosen.step or 1))
        return read_nifti(file, mask, slices=positions, **given)
    if given:
        raise ValueError(
            f"--{next(iter(given))} belongs to a simulation from NIfTI images; {file.name} holds k-space"
        )
    if file.suffix not in (".h5", ".hdf5"):
        raise ValueError(f"{file}: unknown kind of file; expected .h5 (fastMRI, ISMRMRD), .nii or .nii.gz")
    if _is_ismrmrd(file):
        if chosen is not None:
            raise ValueError(
                "--slices chooses slices of fastMRI and NIfTI files; ISMRMRD files are read whole"
            )
        return read_ismrmrd(file)
    return read_fastmri(file, slices=chosen, rows=rows)


def _is_ismrmrd(file: Path) -> bool:
    import h5py

    if not file.is_file() or file.stat().st_size == 0:
        return False  # the reader says what is wrong
    try:
        with h5py.File(file, "r") as content:
            return "dataset" in content and "kspace" not in content
    except OSError:
        return False


def _slices(text: str | None) -> slice | None:
    """``first:last:step`` as Python counts.

    >>> _slices("40:120:4")
    slice(40, 120, 4)
    """
    if text is None:
        return None
    try:
        numbers = [int(part) if part else None for part in text.split(":")]
        if not 2 <= len(numbers) <= 3 or numbers[1] is None or any(n is not None and n < 0 for n in numbers):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--slices is {text!r}; expected first:last or first:last:step, such as 40:120:4"
        ) from None
    return slice(*numbers)


def _size(data: Any) -> str:
    return " x ".join(map(str, data.kspace.shape[2:]))
