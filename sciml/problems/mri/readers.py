"""Readers of fastMRI HDF5, ISMRMRD and NIfTI files, and the one form in which k-space is kept afterwards.

Files are distrusted: nothing is unpickled, and what is missing, damaged or contradictory is one clear error.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...operators.fourier import centred_fft, centred_ifft
from .calibration import espirit_maps, low_resolution_maps
from .masks import Mask, fully_sampled_centre
from .scan import Scan, simulate

__all__ = [
    "KSpaceData",
    "load_kspace",
    "prewhitened",
    "read_fastmri",
    "read_ismrmrd",
    "read_nifti",
    "remove_oversampling",
]


@dataclass(frozen=True)
class KSpaceData:
    """Multi-coil k-space of a stack of slices: centred, unitary scale, zero where nothing was sampled.

    Attributes
    ----------
    kspace : ndarray of complex64, shape ``(n, C, H, W)``
    mask : ndarray of bool, shape ``(H, W)``
    maps : ndarray of complex64, shape ``(n, C, H, W)``, or None
        Coil maps, where they are known.
    reference : ndarray, shape ``(n, …)``, or None
        Images the file holds for comparison.
    sigma : float
        Standard deviation of the complex noise per sample; NaN if unknown.
    source : str
        Where the data are from, and whether they are measured or simulated.
    """

    kspace: np.ndarray
    mask: np.ndarray
    maps: np.ndarray | None = None
    reference: np.ndarray | None = None
    sigma: float = float("nan")
    source: str = ""

    def __len__(self) -> int:
        return len(self.kspace)

    @property
    def acceleration(self) -> float:
        """Locations over sampled locations."""
        return self.mask.size / int(np.count_nonzero(self.mask))

    @property
    def centre(self) -> tuple[int, int]:
        """Height and width of the fully sampled centre."""
        return fully_sampled_centre(self.mask)

    def scan(self, index: int, *, maps: str = "espirit", acs: int | None = None) -> Scan:
        """One slice as a `Scan`, with the maps of the file or maps estimated from its centre.

        Parameters
        ----------
        index : int
        maps : {"espirit", "low resolution"}
            How to estimate them where the file holds none.
        acs : int, optional
            Side of the centre to use; by default what is fully sampled, at most 24.
        """
        y = self.kspace[index]
        known = None if self.maps is None else self.maps[index]
        if known is None:
            side = min(24, *self.centre) if acs is None else acs
            estimators = {"espirit": espirit_maps, "low resolution": low_resolution_maps}
            if maps not in estimators:
                raise ValueError(f"maps is {maps!r}; expected one of {', '.join(estimators)}")
            known = estimators[maps](y, acs=side)
        image = None
        if self.reference is not None and self.reference.shape[1:] == y.shape[1:]:
            image = self.reference[index]
        return Scan(y, known, self.mask, image, self.sigma, f"{self.source} [{index}]")

    def with_estimated_maps(self, *, acs: int | None = None) -> KSpaceData:
        """The same data with ESPIRiT maps of every slice."""
        bare = replace(self, maps=None)
        return replace(self, maps=np.stack([bare.scan(i, acs=acs).maps for i in range(len(self))]))

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file that `load_kspace` reads."""
        content = {name: value for name, value in vars(self).items() if value is not None}
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **content)

    def __repr__(self) -> str:
        n, c, h, w = self.kspace.shape
        return f"<KSpaceData {n} slices, {c} coils, {h} x {w}, R = {self.acceleration:.2f}, {self.source}>"


def load_kspace(path: str | Path) -> KSpaceData:
    """Read what `KSpaceData.save` or ``sciml mri import`` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, foreign or damaged.
    """
    path = _existing(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            found = {name: content[name] for name in content.files}
        kspace, mask, sigma, source = (found[name] for name in ("kspace", "mask", "sigma", "source"))
    except (OSError, KeyError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: no k-space file of sciml, or damaged ({error})") from None
    return _checked(path, kspace, mask, found.get("maps"), found.get("reference"), float(sigma), str(source))


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
    import h5py

    path = _existing(path)
    part = slice(None) if slices is None else slices
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("kspace"), h5py.Dataset):
                raise ValueError(f"{path}: holds no dataset kspace (found {', '.join(file) or 'nothing'})")
            kspace = file["kspace"][part]
            mask = file["mask"][()] if "mask" in file else None
            targets = [name for name in ("reconstruction_rss", "reconstruction_esc") if name in file]
            reference = file[targets[0]][part] if targets else None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from None
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    if kspace.ndim != 4 or kspace.dtype.kind != "c":
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
    data = _checked(path, kspace, mask, None, reference, float("nan"), f"measured, {path.name} (fastMRI)")
    if rows is None:
        return data
    if (data.mask != data.mask[:1]).any():
        raise ValueError(f"{path}: rows={rows} needs fully sampled readouts, which this file has not")
    kspace = remove_oversampling(data.kspace, rows, axis=-2)
    return replace(data, kspace=kspace, mask=np.ascontiguousarray(data.mask[:rows]))


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
    import h5py
    import ismrmrd

    path = _existing(path)
    try:
        with h5py.File(path, "r") as probe:
            if dataset not in probe or not {"xml", "data"} <= set(probe[dataset]):
                raise ValueError(
                    f"{path}: holds no ISMRMRD dataset {dataset!r} (found {', '.join(probe) or 'nothing'})"
                )
        file = ismrmrd.Dataset(str(path), dataset, create_if_needed=False)
        try:
            header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
            readouts = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
        finally:
            file.close()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from None
    if not header.encoding:
        raise ValueError(f"{path}: its header describes no encoding")
    encoding = header.encoding[0]
    if encoding.trajectory.value != "cartesian":
        raise ValueError(f"{path}: its trajectory is {encoding.trajectory.value}; expected cartesian")
    encoded, wanted = encoding.encodedSpace.matrixSize, encoding.reconSpace.matrixSize
    noise = [r.data for r in readouts if r.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    lines = [
        r for r in readouts
        if not r.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT) and r.idx.repetition == repetition
    ]  # fmt: skip
    if not lines:
        raise ValueError(f"{path}: holds no readout of repetition {repetition} (of {len(readouts)} readouts)")
    data = _sorted_readouts(path, lines, noise, (encoded.y, encoded.x), wanted.x, encoding.encodingLimits)
    if not whiten:
        return data
    if not noise:
        raise ValueError(f"{path}: holds no noise measurement, so its noise cannot be whitened")
    return replace(data, kspace=prewhitened(data.kspace, np.concatenate(noise, axis=1)), sigma=1.0)


def _sorted_readouts(
    path: Path, lines: list[Any], noise: list[np.ndarray], shape: tuple[int, int], width: int, limits: Any
) -> KSpaceData:
    """Readouts on the grid of their encoding steps, which are the rows."""
    height, samples = shape
    coils, slices = lines[0].data.shape[0], 1 + max(r.idx.slice for r in lines)
    step = limits.kspace_encoding_step_1 if limits is not None else None
    shift = height // 2 - (step.center if step is not None else height // 2)
    kspace = np.zeros((slices, coils, height, samples), dtype=np.complex64)
    count = np.zeros((slices, height), dtype=int)
    for r in lines:
        row = r.idx.kspace_encode_step_1 + shift
        if r.data.shape != (coils, samples) or not 0 <= row < height:
            raise ValueError(
                f"{path}: a readout of shape {r.data.shape} at step {r.idx.kspace_encode_step_1} fits not "
                f"{coils} coils, {height} steps and {samples} samples"
            )
        kspace[r.idx.slice, :, row] += r.data
        count[r.idx.slice, row] += 1
    kspace /= np.maximum(count, 1)[:, None, :, None]
    kspace = remove_oversampling(kspace, width, axis=-1)
    sampled = count.sum(axis=0) > 0
    mask = np.broadcast_to(sampled[:, None], kspace.shape[-2:])
    sigma = float(np.sqrt(np.mean([np.mean(np.abs(part) ** 2) for part in noise]))) if noise else float("nan")
    return _checked(path, kspace, mask, None, None, sigma, f"measured, {path.name} (ISMRMRD)")


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
    import nibabel

    path = _existing(path)
    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        volume = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise ValueError(f"{path}: cannot be read as NIfTI ({error})") from None
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
    return _checked(
        path, np.stack([s.y for s in scans]), mask.array, np.stack([s.maps for s in scans]),
        np.stack([np.asarray(s.image) for s in scans]), float(np.mean([s.sigma for s in scans])),
        f"simulated, {path.name} (NIfTI)",
    )  # fmt: skip


def prewhitened(kspace: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Combine coils so that their noise is independent and of deviation one.

    Parameters
    ----------
    kspace : complex ndarray, shape ``(..., C, H, W)``
    noise : complex ndarray, shape ``(C, n)``
        Samples without signal, many more than coils.

    Returns
    -------
    ndarray like `kspace`

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.mri import prewhitened
    >>> noise = np.array([[2.0, -2.0, 2.0, -2.0], [3.0, 3.0, -3.0, -3.0]]) + 0j
    >>> prewhitened(np.full((2, 1, 1), 6.0 + 0j), noise).real.ravel().tolist()
    [3.0, 2.0]
    """
    coils = kspace.shape[-3]
    if noise.ndim != 2 or noise.shape[0] != coils or noise.shape[1] < coils:
        raise ValueError(f"noise has shape {noise.shape}; expected ({coils}, n) with n >= {coils}")
    covariance = noise @ noise.conj().T / noise.shape[1]
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        raise ValueError("the noise of some coils is zero or the same; expected independent coils") from None
    return np.einsum("cd,...dhw->...chw", inverse, kspace).astype(kspace.dtype)


def remove_oversampling(kspace: np.ndarray, size: int, *, axis: int = -1) -> np.ndarray:
    """Keep the central `size` pixels of the field of view along one fully sampled axis.

    The scale of the image is kept, hence that of white noise per sample too.
    """
    n = kspace.shape[axis]
    if not 1 <= size <= n:
        raise ValueError(f"size is {size}; expected 1 to {n}")
    if size == n:
        return kspace
    image = centred_ifft(kspace, (axis,))
    start = n // 2 - size // 2
    return centred_fft(np.take(image, np.arange(start, start + size), axis=axis), (axis,))


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: is empty")
    return path


def _checked(
    path: Path, kspace: np.ndarray, mask: np.ndarray | None, maps: np.ndarray | None,
    reference: np.ndarray | None, sigma: float, source: str,
) -> KSpaceData:  # fmt: skip
    if kspace.ndim != 4 or kspace.size == 0:
        raise ValueError(f"{path}: k-space has shape {kspace.shape}; expected (slices, coils, H, W)")
    if not np.isfinite(kspace).all():
        raise ValueError(f"{path}: k-space holds a value that is not finite (NaN or infinity)")
    if mask is None:
        mask = (kspace != 0).any(axis=(0, 1))
    if mask.shape != kspace.shape[-2:]:
        raise ValueError(f"{path}: mask has shape {mask.shape}; expected {kspace.shape[-2:]} as k-space has")
    if not mask.any() or not kspace.any():
        raise ValueError(f"{path}: nothing is sampled: mask or k-space is zero everywhere")
    if maps is not None and maps.shape != kspace.shape:
        raise ValueError(f"{path}: maps have shape {maps.shape}; expected {kspace.shape} as k-space has")
    if reference is not None and len(reference) != len(kspace):
        raise ValueError(
            f"{path}: {len(reference)} reference images for {len(kspace)} slices; expected one each"
        )
    kspace = (kspace * mask).astype(np.complex64)
    return KSpaceData(kspace, np.ascontiguousarray(mask, dtype=bool), maps, reference, sigma, source)


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
