"""Random variants of magnitude images for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["augmented", "random_window"]


def augmented(
    image: np.ndarray, *, seed: Any = 0, gamma: Sequence[float] = (0.7, 1.4), invert: float = 0.0
) -> np.ndarray:
    """A flipped and turned copy of a square image in [0, 1], with another contrast.

    Parameters
    ----------
    image : ndarray
    seed : int or numpy.random.Generator
    gamma : (float, float)
        Range of the exponent, drawn uniformly in its logarithm.
    invert : float
        Probability that bright and dark change places inside the head, towards the contrast of other
        sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.mri import augmented
    >>> sorted(augmented(np.array([[0.0, 0.25], [0.5, 1.0]]), seed=1, gamma=(1, 1)).ravel().tolist())
    [0.0, 0.25, 0.5, 1.0]
    """
    rng = np.random.default_rng(seed)
    image = np.rot90(image, int(rng.integers(4)))
    if rng.random() < 0.5:
        image = image[:, ::-1]
    exponent = np.exp(rng.uniform(*np.log(np.asarray(gamma, dtype=float))))
    image = np.clip(image, 0.0, 1.0) ** np.asarray(exponent, dtype=image.dtype)
    if rng.random() < invert:
        # Air stays dark: the inverted image fades in over the lowest values.
        image = (1 - image) * np.clip(image / 0.1, 0, 1)
    return np.ascontiguousarray(image)


def random_window(
    image: np.ndarray, shape: Sequence[int], *, seed: Any = 0, least: float = 0.3
) -> np.ndarray:
    """A random part of an image, one that shows something.

    Parameters
    ----------
    image : ndarray
        In [0, 1].
    shape : (int, int)
        Of the part; at most that of `image`.
    seed : int or numpy.random.Generator
    least : float
        Share of pixels brighter than 0.1. The best of twenty parts is taken where none has as many.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.mri import random_window
    >>> image = np.zeros((8, 8))
    >>> image[5:, 5:] = 1.0
    >>> part = random_window(image, (2, 2), seed=0)
    >>> part.shape, bool(part.mean() >= 0.3)
    ((2, 2), True)
    """
    if any(not 1 <= n <= m for n, m in zip(shape, image.shape, strict=True)):
        raise ValueError(f"shape is {tuple(shape)}; expected a part of an image of shape {image.shape}")
    rng = np.random.default_rng(seed)
    best, most = image[: shape[0], : shape[1]], -1.0
    for _ in range(20):
        i, j = (int(rng.integers(m - n + 1)) for n, m in zip(shape, image.shape, strict=True))
        part = image[i : i + shape[0], j : j + shape[1]]
        bright = float((part > 0.1).mean())
        if bright > most:
            best, most = part, bright
        if bright >= least:
            break
    return np.ascontiguousarray(best)
