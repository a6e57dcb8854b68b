"""Simulated accelerated scans of magnitude images, and endless reproducible streams of them for training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...backends.namespace import Array, array_namespace, backend_name, from_numpy, is_numpy, to_numpy
from ...operators.fourier import centred_fft, centred_ifft, fft, modulation
from ...operators.sense import Sense
from .augment import augmented, random_window
from .coils import CoilArray, smooth_phase
from .masks import Mask, sampling_mask
from .metrics import foreground

__all__ = ["Scan", "ScanStream", "band_limited", "simulate", "stack_scans"]


@dataclass(frozen=True)
class Scan:
    """One accelerated scan, or a batch of them along a leading axis.

    Attributes
    ----------
    y : complex array, shape ``(..., C, H, W)``
        Measured k-space: centred, unitary scale, zero where nothing was sampled.
    maps : complex array, shape ``(..., C, H, W)``
        Coil maps a reconstruction may use.
    mask : bool array, shape ``(..., H, W)``
    image : complex array, shape ``(..., H, W)``, or None
        What was scanned, free of noise, on the scale of `y`; None for a real scan.
    sigma : float, or ndarray over the batch
        Standard deviation of the complex noise per sample (``sigma²/2`` in each of its parts); NaN if
        unknown.
    name : str
    """

    y: Array
    maps: Array
    mask: Array
    image: Array | None
    sigma: Any
    name: str = ""

    @cached_property
    def A(self) -> Sense:
        """The encoding operator of the scan."""
        return Sense(self.maps, self.mask)

    @cached_property
    def zero_filled(self) -> Array:
        """``Aᴴ y``: coil images with zeros for what was not sampled, combined."""
        return self.A.rmatvec(self.y)

    @cached_property
    def foreground(self) -> np.ndarray:
        """Where the head is in `image` (a NumPy array); see `foreground`."""
        if self.image is None:
            raise ValueError(f"scan {self.name!r} has no reference image, so its foreground is unknown")
        return foreground(to_numpy(self.image))

    def to(self, backend: str, *, device: Any = None) -> Scan:
        """A copy in another array library, explicitly: ``scan.to("torch", device="cuda")``."""

        def move(x: Array | None) -> Array | None:
            return None if x is None else from_numpy(to_numpy(x), backend, device=device)

        return replace(
            self, y=move(self.y), maps=move(self.maps), mask=move(self.mask), image=move(self.image)
        )

    def with_maps(self, maps: Array) -> Scan:
        r"""The same data with other coil maps, as estimated from the data.

        The reference follows, :math:`x' = \sum_c \bar S'_c S_c x`, as estimated maps have another phase and
        end at the border of the object: what a perfect reconstruction with these maps would be.
        """
        xp = array_namespace(self.maps, maps)
        if tuple(maps.shape) != tuple(self.maps.shape):
            raise ValueError(f"maps has shape {tuple(maps.shape)}; expected {tuple(self.maps.shape)}")
        image = self.image
        if image is not None:
            image = image * xp.sum(xp.conj(maps) * self.maps, axis=-3)
        return replace(self, maps=maps, image=image)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.y.shape))
        sampled = math.prod(self.mask.shape) / int(to_numpy(self.mask).sum())
        return f"<Scan {self.name or 'unnamed'}: k-space {shape} ({backend_name(self.y)}), R = {sampled:.2f}>"


def simulate(
    magnitude: np.ndarray,
    mask: Mask | np.ndarray,
    *,
    coils: int | CoilArray = 8,
    noise: float = 0.01,
    phase: float = 1.5,
    seed: Any = 0,
    name: str = "",
) -> Scan:
    """Scan a magnitude image with several coils on a grid coarser than the image.

    The image gets a smooth phase and is seen by every coil on its own fine grid; of the k-space of that, the
    centre is measured. So the data hold Gibbs ringing and partial volumes that no model on the coarse grid
    reproduces exactly: no inverse crime. `Scan.image` is the image limited to the same band.

    Parameters
    ----------
    magnitude : real array of shape ``(2H, 2W)``
        Such as the images of `load_slices`; twice the size of the mask (or any larger size).
    mask : Mask or bool array of shape ``(H, W)``
    coils : int or CoilArray
        A number draws a random array of that many coils.
    noise : float
        Standard deviation of the complex noise in k-space (which is that in every coil image) relative to the
        largest magnitude of the band-limited image.
    phase : float
        Largest deviation of the phase from its mean, in radians.
    seed : int or numpy.random.Generator
        Of coils, phase and noise.
    name : str

    Returns
    -------
    Scan

    Raises
    ------
    TypeError, ValueError
        If the image is no real finite array larger than the mask, or `noise` is negative.

    Examples
    --------
    >>> from sciml.problems.mri import load_slices, sampling_mask, simulate
    >>> head = load_slices("validation").images[5]
    >>> scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 4), noise=0.01)
    >>> scan.A
    <Sense 8 coils, 128 x 128, R = 3.99, complex64>
    """
    array = mask.array if isinstance(mask, Mask) else np.asarray(mask)
    _check_image(magnitude, array)
    if not isinstance(noise, int | float | np.floating) or not 0 <= noise < math.inf:
        raise ValueError(f"noise is {noise!r}; expected a finite number >= 0")
    rng = np.random.default_rng(seed)
    fine, coarse = magnitude.shape, array.shape
    ring = coils if isinstance(coils, CoilArray) else CoilArray.random(coils, seed=rng)
    angle = smooth_phase(fine, seed=rng, amplitude=phase)
    x = magnitude.astype(np.float32) * np.exp(1j * angle).astype(np.complex64)
    maps = ring.maps(fine)
    k_space = _central_fft(maps, x, coarse) * _scale(fine, coarse)
    # The points of a grid of half the size are every second point of the fine one.
    doubled = fine == (2 * coarse[0], 2 * coarse[1])
    maps = np.ascontiguousarray(maps[:, ::2, ::2]) if doubled else ring.maps(coarse)
    image = band_limited(x, coarse)
    sigma = float(noise) * float(np.abs(image).max())
    if sigma > 0:
        draws = rng.standard_normal((2, *k_space.shape), dtype=np.float32) * np.float32(sigma / math.sqrt(2))
        k_space = k_space + (draws[0] + 1j * draws[1])
    return Scan(k_space * array, maps, array, image, sigma, name)


def band_limited(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The central k-space of a complex image, as an image of `shape` with the same values.

    Entry ``n // 2`` of every axis stays the same point of the object.
    """
    return centred_ifft(_central(centred_fft(x), shape)) * _scale(x.shape, shape)


class ScanStream:
    """An endless stream of random simulated scans; number `i` is the same on every machine and in any order.

    So training resumes exactly where it stopped, and several processes share one stream without a plan.

    Parameters
    ----------
    images : ndarray of shape ``(n, 2N, 2N)``
        Magnitudes, such as ``load_slices("train").images``.
    shape : (int, int), optional
        Of the scans; half of the images by default.
    coils : int or (int, int)
        A number, or the lowest and highest of a random one (the same for all scans of a `batch`).
    masks : mapping of str to float
        Kinds of masks (see `sampling_mask`) and how often they are drawn, relatively.
    acceleration : (float, float)
        Drawn uniformly from this range.
    noise : (float, float)
        Drawn uniformly from this range; see `simulate`.
    acs : int
        Least fully sampled centre, for training with estimated maps.
    augment : bool or mapping
        Flips, quarter turns and gamma; a mapping gives the settings of `augmented`, such as
        ``{"invert": 0.3}`` for contrasts other than that of the images.
    window : (int, int), optional
        Scan a random part of that many pixels of every image, instead of the whole: with `shape` smaller in
        proportion, scans that cost less at the same resolution.
    seed : int

    Raises
    ------
    ValueError
        For ranges that are none, and shapes that do not fit the images.

    Examples
    --------
    >>> from sciml.problems.mri import ScanStream, load_slices
    >>> stream = ScanStream(load_slices("validation").images, coils=4, seed=1)
    >>> stream[7].y.shape, bool((stream[7].y == stream[7].y).all())
    ((4, 128, 128), True)
    >>> stream.batch([0, 1, 2]).y.shape
    (3, 4, 128, 128)
    """

    def __init__(
        self,
        images: np.ndarray,
        *,
        shape: Sequence[int] | None = None,
        coils: int | Sequence[int] = 8,
        masks: Mapping[str, float] | None = None,
        acceleration: Sequence[float] = (3.0, 11.0),
        noise: Sequence[float] = (0.003, 0.02),
        acs: int = 0,
        augment: bool | Mapping[str, Any] = True,
        window: Sequence[int] | None = None,
        seed: int = 0,
    ):
        if images.ndim != 3 or len(images) == 0:
            raise ValueError(f"images has shape {images.shape}; expected (n, H, W) with n >= 1")
        self.images = images
        self.shape = tuple(n // 2 for n in images.shape[1:]) if shape is None else tuple(shape)
        self.coils = (int(coils),) * 2 if isinstance(coils, int | np.integer) else tuple(coils)
        self.masks = {"gaussian2d": 0.7, "equispaced1d": 0.3} if masks is None else dict(masks)
        self.acceleration, self.noise, self.acs, self.seed = tuple(acceleration), tuple(noise), acs, int(seed)
        self.augment = ({} if augment else None) if isinstance(augment, bool) else dict(augment)
        for name in ("coils", "acceleration", "noise"):
            pair = getattr(self, name)
            if len(pair) != 2 or not pair[0] <= pair[1]:
                raise ValueError(f"{name} is {pair}; expected (lowest, highest)")
        self.window = None if window is None else tuple(window)
        if self.window is not None and not all(
            n <= w <= m and (w - n) % 2 == 0
            for n, w, m in zip(self.shape, self.window, images.shape[1:], strict=True)
        ):
            raise ValueError(
                f"window is {self.window}; expected the shape of the scans {self.shape} or larger by even "
                f"numbers, at most that of the images {images.shape[1:]}"
            )
        total = sum(self.masks.values())
        if not total > 0:
            raise ValueError(f"masks is {self.masks}; expected kinds with positive weights")
        self._kinds, self._odds = list(self.masks), [v / total for v in self.masks.values()]

    def __getitem__(self, index: int) -> Scan:
        return self._scan(index, None)

    def __iter__(self) -> Iterator[Scan]:
        index = 0
        while True:
            yield self[index]
            index += 1

    def batch(self, indices: Sequence[int]) -> Scan:
        """Scans number `indices` as one, all with as many coils as the first of them."""
        first = self[indices[0]]
        return stack_scans([first, *(self._scan(i, first.y.shape[0]) for i in indices[1:])])

    def _scan(self, index: int, coils: int | None) -> Scan:
        rng = np.random.default_rng([self.seed, int(index)])
        which, drawn = (
            int(rng.integers(len(self.images))),
            int(rng.integers(self.coils[0], self.coils[1] + 1)),
        )
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._odds))]
        R, noise = (float(rng.uniform(low, high)) for low, high in (self.acceleration, self.noise))
        mask = sampling_mask(kind, self.shape, R, seed=rng, acs=self.acs)
        image = self.images[which]
        if self.augment is not None:
            image = augmented(image, seed=rng, **self.augment)
        if self.window is not None:
            image = random_window(image, self.window, seed=rng)
        return simulate(
            image, mask, coils=coils or drawn, noise=noise, seed=rng, name=f"{self.seed}/{index}: {kind}"
        )


def stack_scans(scans: Sequence[Scan]) -> Scan:
    """Scans of one shape as a batch along a new leading axis."""
    shapes = {tuple(scan.y.shape) for scan in scans}
    if len(shapes) != 1:
        raise ValueError(f"scans have k-spaces of shapes {sorted(shapes)}; expected one shape")
    xp = array_namespace(scans[0].y)
    images = [scan.image for scan in scans if scan.image is not None]
    return Scan(
        xp.stack([scan.y for scan in scans]),
        xp.stack([scan.maps for scan in scans]),
        xp.stack([scan.mask for scan in scans]),
        xp.stack(images) if len(images) == len(scans) else None,
        np.array([scan.sigma for scan in scans]),
        ", ".join(scan.name for scan in scans),
    )


def _check_image(magnitude: Any, mask: np.ndarray) -> None:
    if not is_numpy(magnitude) or magnitude.dtype.kind != "f":
        raise TypeError(f"magnitude is {_kind(magnitude)}; expected a NumPy array of real numbers")
    fits = magnitude.ndim == mask.ndim == 2 and all(
        a >= b for a, b in zip(magnitude.shape, mask.shape, strict=True)
    )
    if not fits or any((a - b) % 2 for a, b in zip(magnitude.shape, mask.shape, strict=True)):
        raise ValueError(
            f"magnitude has shape {magnitude.shape} and mask {mask.shape}; expected an image that is "
            "larger than the mask (twice its size, or by an even number)"
        )
    if not np.isfinite(magnitude).all() or not (magnitude != 0).any():
        raise ValueError(
            "magnitude is zero everywhere or holds a value that is not finite; expected an image"
        )


def _kind(x: Any) -> str:
    return f"an array of {x.dtype}" if is_numpy(x) else f"a {type(x).__name__}"


def _central_fft(maps: np.ndarray, x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The centre of the k-space of every coil; rows are cut before columns are transformed."""
    a, s = modulation(x.shape)
    cut = [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(x.shape, shape, strict=True)]
    rows = fft(maps * (x * a).astype(np.complex64), (-1,))[..., cut[1]]
    return fft(rows, (-2,))[..., cut[0], :] * (s * a)[cut[0], cut[1]].astype(np.complex64)


def _central(k_space: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    cut = tuple(
        slice(a // 2 - b // 2, a // 2 - b // 2 + b) for a, b in zip(k_space.shape[-2:], shape, strict=True)
    )
    return k_space[..., cut[0], cut[1]]


def _scale(fine: Sequence[int], coarse: Sequence[int]) -> np.float32:
    """Keeps the values of an image when unitary transforms of two sizes meet."""
    return np.float32(math.sqrt(math.prod(coarse) / math.prod(fine)))
