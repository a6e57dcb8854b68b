"""Random variants of magnitude images for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["augmented"]


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
