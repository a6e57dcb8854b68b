"""Multi-coil k-space of measured or simulated scans: one form, checked, saved and loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...files import replaced
from ...io import load_arrays
from ...operators.fourier import centred_fft, centred_ifft
from .calibration import espirit_maps, low_resolution_maps
from .masks import fully_sampled_centre
from .scan import Scan

__all__ = ["KSpaceData", "checked", "load_kspace", "prewhitened", "remove_oversampling"]


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
        with replaced(path) as file:
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
    path = Path(path)
    found = load_arrays(path)
    for name, kinds in _KINDS.items():
        if name in found and found[name].dtype.kind not in kinds:
            raise ValueError(f"{path}: no k-space file of sciml: {name} has dtype {found[name].dtype}")
        if name not in found and name not in ("maps", "reference"):
            raise ValueError(f"{path}: no k-space file of sciml: it lacks {name}")
        if name in ("sigma", "source") and found[name].size != 1:
            raise ValueError(f"{path}: {name} has shape {found[name].shape}; expected one value")
    sigma, source = float(found["sigma"].item()), str(found["source"].item())
    return checked(
        path, found["kspace"], found["mask"], found.get("maps"), found.get("reference"), sigma, source
    )


_KINDS = {"kspace": "c", "mask": "b", "maps": "c", "reference": "fc", "sigma": "f", "source": "U"}
"""Kinds of dtypes of what a k-space file holds."""


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


def checked(
    path: Path, kspace: np.ndarray, mask: np.ndarray | None, maps: np.ndarray | None,
    reference: np.ndarray | None, sigma: float, source: str,
) -> KSpaceData:  # fmt: skip
    """The data of a file, or a clear error where they contradict each other."""
    if kspace.ndim != 4 or kspace.size == 0:
        raise ValueError(f"{path}: k-space has shape {kspace.shape}; expected (slices, coils, H, W)")
    with np.errstate(over="ignore", invalid="ignore"):
        kspace = kspace.astype(np.complex64)
    if not np.isfinite(kspace).all():
        raise ValueError(
            f"{path}: k-space holds a value that is not finite in single precision (NaN, infinity, 3.4e38)"
        )
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
    mask = np.ascontiguousarray(mask, dtype=bool)
    return KSpaceData(kspace * mask, mask, maps, reference, sigma, source)
