r"""Image metrics on magnitudes, whole or within the head, and a check that needs no reference.

No image is rescaled before it is compared: a reconstruction of the wrong scale shall lose. Everything here
works on NumPy arrays of single images; `sciml.backends.namespace.to_numpy` copies from other libraries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage

from ...backends.namespace import Array, norm2

__all__ = ["bootstrap_median", "chi_squared", "foreground", "nmse", "psnr", "ssim"]


def foreground(image: np.ndarray, *, threshold: float = 0.1) -> np.ndarray:
    """The head: the largest connected region above `threshold` times the 99th percentile, closed and filled.

    Parameters
    ----------
    image : ndarray of shape ``(..., H, W)``
    threshold : float

    Returns
    -------
    ndarray of bool
    """
    magnitude = np.abs(image)
    if magnitude.ndim > 2:
        return np.stack([foreground(part, threshold=threshold) for part in magnitude])
    bright = magnitude > threshold * np.percentile(magnitude, 99)
    closed = scipy.ndimage.binary_closing(np.pad(bright, 4), iterations=3)[4:-4, 4:-4]
    labels, count = scipy.ndimage.label(closed)
    if count == 0:
        return np.ones(magnitude.shape, dtype=bool)
    largest = 1 + int(np.argmax(np.bincount(labels.reshape(-1))[1:]))
    return scipy.ndimage.binary_fill_holes(labels == largest)


def psnr(x: np.ndarray, reference: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio of ``|x|`` in dB; the peak is that of the reference.

    Parameters
    ----------
    x, reference : ndarray
    mask : ndarray of bool, optional
        Where to compare; everywhere by default.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.mri import psnr
    >>> psnr(np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]])).__round__(6)
    20.0
    """
    a, b = _magnitudes(x, reference)
    peak = float(b.max())
    error = (a - b)[mask] if mask is not None else a - b
    mean = float(np.mean(error**2))
    return math.inf if mean == 0 else 10.0 * math.log10(peak * peak / mean)


def ssim(x: np.ndarray, reference: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Structural similarity of magnitudes: windows of 7 x 7, range that of the reference's peak.

    Parameters
    ----------
    x, reference : ndarray
    mask : ndarray of bool, optional
        Windows whose centre lies here are averaged; by default all that fit into the image.
    """
    from skimage.metrics import structural_similarity

    a, b = _magnitudes(x, reference)
    whole, similarity = structural_similarity(a, b, data_range=float(b.max()), full=True)
    return float(whole) if mask is None else float(similarity[mask].mean())


def nmse(x: np.ndarray, reference: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Squared error of magnitudes over the squared norm of the reference."""
    a, b = _magnitudes(x, reference)
    if mask is not None:
        a, b = a[mask], b[mask]
    return float(np.sum((a - b) ** 2) / np.sum(b**2))


def chi_squared(A: Any, x: Array, y: Array, sigma: Any) -> float:
    r"""Mean of :math:`|A x - y|^2/\sigma^2` over the samples: about 1 if `x` explains the data to noise.

    It needs no reference, so it tells of a failed reconstruction where nobody knows the truth. Larger values
    mean that something was left out; values well below 1, that noise was fitted.

    Parameters
    ----------
    A : Sense
    x : array of ``A.in_shape``
    y : array of ``A.out_shape``
    sigma : float
        Standard deviation of the complex noise per sample. A positive number.

    Examples
    --------
    >>> from sciml.problems.mri import chi_squared, load_slices, sampling_mask, simulate
    >>> head = load_slices("validation").images[5]
    >>> scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 4), noise=0.02)
    >>> 0.9 < chi_squared(scan.A, scan.image, scan.y, scan.sigma) < 1.1
    True
    """
    if not isinstance(sigma, int | float | np.floating) or not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma!r}; expected a positive finite number")
    count = math.prod(tuple(y.shape)) / A.acceleration
    return norm2(A.matvec(x) - y) ** 2 / (float(sigma) ** 2 * count)


def bootstrap_median(
    values: Sequence[float], *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """The median of `values` and a percentile interval by resampling.

    Returns
    -------
    median, low, high : float
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("values is empty; expected at least one number")
    medians = np.median(np.random.default_rng(seed).choice(data, (draws, data.size)), axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return float(np.median(data)), float(low), float(high)


def _magnitudes(x: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.shape != reference.shape:
        raise ValueError(f"x has shape {x.shape}; expected that of the reference, {reference.shape}")
    a, b = (np.abs(v).astype(np.float64) for v in (x, reference))
    if not b.max() > 0:
        raise ValueError("reference is zero everywhere; expected an image")
    return a, b
