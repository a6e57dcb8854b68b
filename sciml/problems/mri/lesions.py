"""Lesions painted into white matter, and how much of their contrast a reconstruction keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage

__all__ = ["Lesions", "paint_lesions"]

SHELL = (1, 3)
"""The ring of white matter a lesion is compared with begins and ends so many pixels from its border."""


@dataclass(frozen=True)
class Lesions:
    """An image with painted lesions.

    Attributes
    ----------
    image : ndarray, shape ``(H, W)``
    labels : ndarray of int, shape ``(H, W)``
        0, or the number of the lesion from 1.
    white_matter : ndarray of bool, shape ``(H, W)``
    radii : ndarray
        Mean radius of each lesion, in pixels of `image`.
    """

    image: np.ndarray
    labels: np.ndarray
    white_matter: np.ndarray
    radii: np.ndarray

    def __len__(self) -> int:
        return len(self.radii)

    def contrast(self, reconstruction: np.ndarray) -> np.ndarray:
        r"""The contrast of each lesion, :math:`(L - W)/(L + W)`, in the magnitude of a reconstruction.

        `L` is the mean over the lesion and `W` that over white matter in a ring around it. The sign tells
        whether a lesion is brighter or darker.

        Parameters
        ----------
        reconstruction : ndarray
            On the grid of `image` or on one coarser by an integer factor (same points, every so many).

        Returns
        -------
        ndarray, one per lesion; NaN where the grid leaves a lesion or its ring without a pixel
        """
        magnitude = np.abs(reconstruction)
        factor = self.labels.shape[0] // magnitude.shape[0]
        if tuple(n // factor for n in self.labels.shape) != magnitude.shape or factor < 1:
            raise ValueError(
                f"reconstruction has shape {magnitude.shape}; expected {self.labels.shape} over an integer"
            )
        labels, white = self.labels[::factor, ::factor], self.white_matter[::factor, ::factor]
        healthy = white & (labels == 0)
        values = np.full(len(self), math.nan)
        for i in range(len(self)):
            inside = labels == i + 1
            near, far = (
                scipy.ndimage.binary_dilation(inside, iterations=n) if inside.any() else inside for n in SHELL
            )
            ring = far & ~near & healthy
            if inside.any() and ring.any():
                L, W = float(magnitude[inside].mean()), float(magnitude[ring].mean())
                values[i] = (L - W) / (L + W) if L + W > 0 else math.nan
        return values


def paint_lesions(
    image: np.ndarray,
    white_matter: np.ndarray,
    *,
    count: int = 12,
    radius: Sequence[float] = (2.0, 8.0),
    factor: Sequence[float] = (0.6, 0.85),
    blur: float = 1.0,
    seed: Any = 0,
) -> Lesions:
    """Paint up to `count` elliptic lesions that do not touch into white matter.

    Parameters
    ----------
    image : real array of shape ``(H, W)``
    white_matter : bool array of shape ``(H, W)``
    count : int
    radius : (float, float)
        Range of mean radii in pixels; a lesion that finds no room is made smaller.
    factor : (float, float)
        Range of the local signal's multiple: 0.6 to 0.85 darkens T1-weighted white matter towards grey, 1.3
        to 1.7 is what T2-weighted and FLAIR images show.
    blur : float
        Standard deviation of the edge, in pixels.
    seed : int or numpy.random.Generator

    Returns
    -------
    Lesions
        With fewer than `count` where white matter has no room.

    Examples
    --------
    >>> from sciml.problems.mri import load_slices, paint_lesions
    >>> heads = load_slices("test-T1")
    >>> lesions = paint_lesions(heads.images[6], heads.white_matter[6], count=10, seed=3)
    >>> len(lesions), bool((lesions.contrast(lesions.image) < 0).all())
    (10, True)
    """
    if image.shape != white_matter.shape or image.ndim != 2:
        raise ValueError(
            f"image has shape {image.shape} and white_matter {white_matter.shape}; expected one (H, W)"
        )
    for name, pair in (("radius", radius), ("factor", factor)):
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            raise ValueError(f"{name} is {tuple(pair)}; expected (lowest, highest) above zero")
    rng = np.random.default_rng(seed)
    room = white_matter.astype(bool).copy()
    labels = np.zeros(image.shape, dtype=np.int32)
    gain = np.ones(image.shape)
    y, x = np.indices(image.shape)
    radii: list[float] = []
    for _ in range(count):
        distance = scipy.ndimage.distance_transform_edt(room)
        largest = float(distance.max())
        if largest <= radius[0]:
            break
        r = min(float(rng.uniform(radius[0], radius[1])), largest - 1e-9)
        candidates = np.flatnonzero(distance > r)
        cy, cx = np.unravel_index(int(rng.choice(candidates)), image.shape)
        angle, stretch = rng.uniform(0, math.pi), float(np.exp(rng.uniform(-0.25, 0.25)))
        u = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
        v = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
        inside = (u / (r * stretch)) ** 2 + (v * stretch / r) ** 2 <= 1.0
        radii.append(r)
        labels[inside & (labels == 0)] = len(radii)
        soft = scipy.ndimage.gaussian_filter(inside.astype(float), blur)
        gain *= 1.0 + soft * (rng.uniform(factor[0], factor[1]) - 1.0)
        room &= ~scipy.ndimage.binary_dilation(inside, iterations=2 * SHELL[1])
    painted = (image * gain).astype(image.dtype)
    return Lesions(painted, labels, white_matter.astype(bool), np.array(radii))
