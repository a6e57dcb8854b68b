"""Readers of fastMRI HDF5, ISMRMRD and NIfTI files.

Files are distrusted: nothing is unpickled, and what is missing, damaged or contradictory is one clear error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...io.guard import COMPRESSION, FileError, guarded
from ...io.hdf5 import dataset as checked_dataset
from ...io.hdf5 import read_hdf5
from .kspace import KSpaceData, checked, prewhitened, remove_oversampling
from .masks import Mask
from .scan import simulate

__all__ = ["read_fastmri", "read_ismrmrd", "read_nifti"]


def read_fastmri(path: str | Path, *, slices: slice | None = None, rows: int | None = None) -> KSpaceData:
    """Read an HDF5 file of the fastMRI challenge.

    Parameters
    ----------
    path : path
        With ``kspace`` of shape ``(slices, coils, H, W)``, or ``(slices, H, W)`` of a single coil; optionally
        ``mask`` of shape ``(W,)`` and ``reconstruction_rss`` or ``reconstruction_esc``.
    slices : slice, optional
        Which to read; all by default.
    rows : int, optional
        Keep so many pixels along the readout (the rows), which is oversampled in most files; all by default.

    Returns
    -------
    KSpaceData
        Where the file holds no mask, what is zero in every coil and slice counts as not sampled.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, no HDF5, or not as described; if it holds NaN or samples nothing.
    """
    path, part = Path(path), slice(None) if slices is None else slices
    kspace, mask, reference = read_hdf5(path, lambda file: _fastmri(file, part))
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    if kspace.ndim != 4:
        raise ValueError(
            f"{path}: kspace has shape {kspace.shape} and dtype {kspace.dtype}; expected complex (n, C, H, W)"
        )
    if mask is not None:
        mask = np.asarray(mask).astype(bool)
        if mask.shape != (kspace.shape[-1],):
            raise ValueError(
                f"{path}: mask has shape {mask.shape}; expected ({kspace.shape[-1]},), one per column"
            )
        mask = np.broadcast_to(mask, kspace.shape[-2:])
    data = checked(path, kspace, mask, None, reference, float("nan"), f"measured, {path.name} (fastMRI)")
    if rows is None:
        return data
    if (data.mask != data.mask[:1]).any():
        raise ValueError(f"{path}: rows={rows} needs fully sampled readouts, which this file has not")
    kspace = remove_oversampling(data.kspace, rows, axis=-2)
    return replace(data, kspace=kspace, mask=np.ascontiguousarray(data.mask[:rows]))


def _fastmri(file: Any, part: slice) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    kspace = checked_dataset(file, "kspace", "c", "complex (n, C, H, W)")
    if kspace.ndim not in (3, 4):
        raise FileError(f"kspace has shape {kspace.shape}; expected complex (n, C, H, W)")
    targets = [name for name in ("reconstruction_rss", "reconstruction_esc") if name in file]
    mask = checked_dataset(file, "mask", "bfiu", "numbers, one per column")[()] if "mask" in file else None
    reference = checked_dataset(file, targets[0], "f", "images") if targets else None
    if reference is not None and reference.ndim == 0:
        raise FileError(f"{targets[0]} is a single number; expected images")
    return kspace[part], mask, None if reference is None else reference[part]


def read_ismrmrd(
    path: str | Path, *, dataset: str = "dataset", repetition: int = 0, whiten: bool = False
) -> KSpaceData:
    """Read a Cartesian two-dimensional acquisition in the ISMRM raw data format.

    Readouts are sorted by encoding step and slice; repeated ones are averaged. Readout oversampling is
    removed, noise measurements give `sigma` and are left out otherwise.

    Parameters
    ----------
    path : path
    dataset : str
        Group of the file.
    repetition : int
    whiten : bool
        Combine the coils so that their noise, as the noise measurements show it, is independent and of
        deviation one. Maps must then be estimated from the whitened data.

    Returns
    -------
    KSpaceData

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, not Cartesian, or holds no such repetition; if it holds no noise
        measurement to whiten with.
    """
    import ismrmrd

    path, name = Path(path), dataset
    xml, readouts = read_hdf5(path, lambda file: _ismrmrd(file, name))
    encoding = _encoding(path, xml)
    encoded, wanted = encoding.encodedSpace.matrixSize, encoding.reconSpace.matrixSize
    noise = [r.data for r in readouts if r.flags >> (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1) & 1]
    others = sum(1 << (getattr(ismrmrd, f"ACQ_IS_{name}") - 1) for name in _NO_IMAGE)
    lines = [r for r in readouts if r.repetition == repetition and not r.flags & others]
    if not lines:
        raise ValueError(f"{path}: holds no readout of repetition {repetition} (of {len(readouts)} readouts)")
    data = _sorted_readouts(path, lines, noise, (encoded.y, encoded.x), wanted.x, encoding.encodingLimits)
    if not whiten:
        return data
    if not noise:
        raise ValueError(f"{path}: holds no noise measurement, so its noise cannot be whitened")
    return replace(data, kspace=prewhitened(data.kspace, np.concatenate(noise, axis=1)), sigma=1.0)


_SPARSEST = 256
"""Rows per readout that counts as a scan; accelerations are far below."""

_NO_IMAGE = ("NOISE_MEASUREMENT", "PHASECORR_DATA", "NAVIGATION_DATA", "DUMMYSCAN_DATA", "HPFEEDBACK_DATA")
"""Flags of readouts that hold no samples of the image."""


class _Readout(NamedTuple):
    """What is needed of an acquisition."""

    data: np.ndarray
    """Of shape ``(channels, samples)``, complex64."""
    flags: int
    step: int
    slice: int
    repetition: int


def _ismrmrd(file: Any, name: str) -> tuple[bytes, list[_Readout]]:
    """The header, and the readouts.

    Not by `ismrmrd.Dataset`: that opens files for writing, and makes room for as many samples as a readout
    claims to have before it looks at them.
    """
    group = file.get(name)
    if group is None or not {"xml", "data"} <= set(group):
        raise FileError(f"holds no ISMRMRD dataset {name!r} (found {', '.join(file) or 'nothing'})")
    xml, data = (
        checked_dataset(group, "xml", "OS", "text"),
        checked_dataset(group, "data", "V", "readouts", compressed=False),
    )
    if xml.shape != (1,) or data.ndim != 1 or not {"head", "data"} <= set(data.dtype.names or ()):
        raise FileError(f"{name!r} holds a header of shape {xml.shape} and readouts of dtype {data.dtype}")
    readouts = []
    for row in data[()]:
        head, values = row["head"], np.ascontiguousarray(row["data"], dtype=np.float32)
        shape = (int(head["active_channels"]), int(head["number_of_samples"]))
        if values.shape != (2 * math.prod(shape),):
            raise FileError(f"a readout holds {values.size} numbers; expected {shape} complex ones")
        index = head["idx"]
        readouts.append(_Readout(
            values.view(np.complex64).reshape(shape), int(head["flags"]),
            int(index["kspace_encode_step_1"]), int(index["slice"]), int(index["repetition"]),
        ))  # fmt: skip
    return xml[0], readouts


def _encoding(path: Path, xml: bytes) -> Any:
    """The first encoding in a header, checked to be one this reader knows."""
    import ismrmrd

    if b"<!DOCTYPE" in xml:  # entities that grow, or that name other files
        raise ValueError(f"{path}: its header cannot be understood (it defines a document type)")
    try:
        header = ismrmrd.xsd.CreateFromDocument(xml)
    except Exception as error:  # whatever its XML library raises
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: its header cannot be understood ({reason})") from None
    if not header.encoding:
        raise ValueError(f"{path}: its header describes no encoding")
    encoding = header.encoding[0]
    if encoding.trajectory.value != "cartesian":
        raise ValueError(f"{path}: its trajectory is {encoding.trajectory.value}; expected cartesian")
    if encoding.encodedSpace.matrixSize.z > 1:
        raise ValueError(f"{path}: its encoding is three-dimensional; expected slices")
    return encoding


def _sorted_readouts(
    path: Path, lines: list[Any], noise: list[np.ndarray], shape: tuple[int, int], width: int, limits: Any
) -> KSpaceData:
    """Readouts on the grid of their encoding steps, which are the rows."""
    height, samples = shape
    coils, slices = lines[0].data.shape[0], 1 + max(r.slice for r in lines)
    if min(height, samples, width) < 1 or slices * height > _SPARSEST * len(lines) or width > samples:
        raise ValueError(
            f"{path}: its header announces {slices} slices of {height} x {samples} samples, {width} pixels "
            f"wide, but it holds {len(lines)} readouts"
        )
    step = limits.kspace_encoding_step_1 if limits is not None else None
    shift = height // 2 - (step.center if step is not None else height // 2)
    kspace = np.zeros((slices, coils, height, samples), dtype=np.complex64)
    count = np.zeros((slices, height), dtype=int)
    for r in lines:
        row = r.step + shift
        if r.data.shape != (coils, samples) or not 0 <= row < height:
            raise ValueError(
                f"{path}: a readout of shape {r.data.shape} at step {r.step} fits not "
                f"{coils} coils, {height} steps and {samples} samples"
            )
        kspace[r.slice, :, row] += r.data
        count[r.slice, row] += 1
    kspace /= np.maximum(count, 1)[:, None, :, None]
    kspace = remove_oversampling(kspace, width, axis=-1)
    sampled = count.sum(axis=0) > 0
    mask = np.broadcast_to(sampled[:, None], kspace.shape[-2:])
    sigma = float(np.sqrt(np.mean([np.mean(np.abs(part) ** 2) for part in noise]))) if noise else float("nan")
    return checked(path, kspace, mask, None, None, sigma, f"measured, {path.name} (ISMRMRD)")


def read_nifti(
    path: str | Path,
    mask: Mask,
    *,
    slices: Sequence[int] | None = None,
    axis: int = 2,
    coils: int = 8,
    noise: float = 0.01,
    seed: int = 0,
) -> KSpaceData:
    """Simulate scans of slices of a magnitude volume; NIfTI holds images, never k-space.

    Parameters
    ----------
    path : path
    mask : Mask
        For a matrix of half the size of the slices, or smaller; slices are padded with zeros to twice the
        mask, or cut to it around their middle.
    slices : sequence of int, optional
        Positions along `axis`; by default every one with a head in it.
    axis : int
        Of the volume in right-anterior-superior order: 0 sagittal, 1 coronal, 2 axial.
    coils, noise, seed
        As in `simulate`.

    Returns
    -------
    KSpaceData
        With the true maps, and the true images as reference.
    """
    path = Path(path)
    volume = guarded(path, "a NIfTI file", _volume)
    if volume.ndim != 3 or axis not in (0, 1, 2):
        raise ValueError(f"{path}: holds an array of shape {volume.shape}, axis is {axis}; expected 3 axes")
    if not np.isfinite(volume).all() or not (volume > 0).any():
        raise ValueError(f"{path}: holds values that are not finite, or nothing but zeros")
    volume = np.clip(volume / np.percentile(volume[volume > 0], 99.5), 0.0, 1.0)
    volume = np.moveaxis(volume, axis, 0)
    if slices is None:
        slices = np.flatnonzero((volume > 0.1).mean(axis=(1, 2)) > 0.05).tolist()
    if not len(slices) or min(slices) < 0 or max(slices) >= len(volume):
        raise ValueError(f"slices is {list(slices)}; expected positions from 0 to {len(volume) - 1}")
    fine = tuple(2 * n for n in mask.array.shape)
    scans = [
        simulate(_fit(np.flip(volume[i].T, axis=0), fine), mask, coils=coils, noise=noise, seed=[seed, i])
        for i in slices
    ]
    return checked(
        path, np.stack([s.y for s in scans]), mask.array, np.stack([s.maps for s in scans]),
        np.stack([np.asarray(s.image) for s in scans]), float(np.mean([s.sigma for s in scans])),
        f"simulated, {path.name} (NIfTI)",
    )  # fmt: skip


def _volume(path: Path) -> np.ndarray:
    """The array of a NIfTI file in right-anterior-superior order."""
    import nibabel

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise FileError("unknown kind of file; expected .nii or .nii.gz")
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image | nibabel.Nifti2Image):
            raise FileError(f"is a {type(image).__name__}; expected a NIfTI image")
        size = path.stat().st_size * (COMPRESSION if path.suffix.lower() == ".gz" else 1)
        if min(image.shape) < 1 or math.prod(image.shape) * image.get_data_dtype().itemsize > size:
            raise FileError(f"truncated: its header announces shape {image.shape}, more than it can hold")
        if image.get_data_dtype().kind not in "fiu":
            raise FileError(f"holds values of dtype {image.get_data_dtype()}; expected magnitudes")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported as such
            return np.asarray(nibabel.as_closest_canonical(image).dataobj, dtype=np.float32)
    except (
        nibabel.filebasedimages.ImageFileError,
        nibabel.orientations.OrientationError,
        nibabel.spatialimages.HeaderDataError,
    ) as error:
        raise FileError(f"truncated, damaged or not a NIfTI file ({error})") from None


def _fit(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`plane` cut or padded with zeros around its middle to `shape`."""
    for axis, (n, m) in enumerate(zip(plane.shape, shape, strict=True)):
        if n > m:
            plane = np.take(plane, np.arange((n - m) // 2, (n - m) // 2 + m), axis=axis)
        elif n < m:
            pads = [(0, 0), (0, 0)]
            pads[axis] = ((m - n) // 2, m - n - (m - n) // 2)
            plane = np.pad(plane, pads)
    return plane
