"""Accelerated MRI scans as training data of recurrent inference machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...problems.mri import Scan, ScanStream, sampling_mask, simulate
from .train import Sample

__all__ = ["VALIDATION_MASKS", "scan_sample", "scan_sampler", "validation_scans"]

VALIDATION_MASKS = (("gaussian2d", 4.0), ("gaussian2d", 8.0), ("equispaced1d", 4.0))
"""Kinds and accelerations of the scans that choose the best iterate."""


def scan_sample(scan: Scan, device: Any = "cpu") -> Sample:
    """A scan as torch tensors on `device`."""
    moved = scan.to("torch", device=device)
    return Sample(moved.A, moved.y, moved.image)


def scan_sampler(stream: ScanStream, device: Any = "cpu") -> Callable[[np.random.Generator], Sample]:
    """Random scans of a stream, for `train_rim`.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.rim.mri import scan_sampler
    >>> from sciml.problems.mri import ScanStream, load_slices
    >>> draw = scan_sampler(ScanStream(load_slices("validation").images, shape=(64, 64), coils=4))
    >>> draw(np.random.default_rng(0)).y.shape
    torch.Size([4, 64, 64])
    """
    return lambda rng: scan_sample(stream[int(rng.integers(2**48))], device)


def validation_scans(
    images: np.ndarray, shape: Sequence[int], *, count: int = 3, coils: int = 8, noise: float = 0.01
) -> list[Scan]:
    """The same few scans always: `count` images spread over `images`, each under all `VALIDATION_MASKS`."""
    picks = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [
        simulate(images[i], sampling_mask(kind, shape, R, seed=n), coils=coils, noise=noise, seed=n)
        for n, i in enumerate(picks)
        for kind, R in VALIDATION_MASKS
    ]
