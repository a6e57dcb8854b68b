"""The magnitude slices that ship with the package: training, validation and test, split by subject."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...io.arrays import read_npz
from ...io.guard import FileError, guarded

__all__ = ["SPLITS", "SliceSet", "load_slices"]

SPLITS = ("train", "validation", "test-T1", "test-T2")
SIDE = 256
LEVELS = 127
"""Grey levels are 0 … 127: a file of half the size of 0 … 255, and steps far below any noise added."""

DATA = Path(__file__).parent / "data" / "slices.npz"


@dataclass(frozen=True)
class SliceSet:
    """Magnitude images of one split.

    Attributes
    ----------
    images : ndarray of float32, shape ``(n, 256, 256)``
        Anterior up; 1 is the 99.5th percentile of the head the slice is from, larger values are cut.
    names : tuple of str
        Subject, axis and position, such as ``"Colin27/z77"``.
    white_matter : ndarray of bool, shape ``(n, 256, 256)``, or None
        Where lesions may be painted (test splits only).
    """

    images: np.ndarray
    names: tuple[str, ...]
    white_matter: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects or templates the slices are from."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.names))


def load_slices(split: str, *, path: str | Path | None = None) -> SliceSet:
    """One split of the shipped slices.

    Parameters
    ----------
    split : {"train", "validation", "test-T1", "test-T2"}
        T1-weighted slices of three heads for training, of a fourth for validation and of a fifth for testing;
        and T2-weighted slices, a contrast that training never sees.
    path : path, optional
        Another file of the same form, as `sciml.problems.mri.build_slices` writes it.

    Returns
    -------
    SliceSet

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown split; for a file that is missing or damaged.

    Notes
    -----
    Sources and licences: ``sciml/problems/mri/data/PROVENANCE.md``. The validation and the T2 test slices
    come from one template (in two contrasts); no test subject is in training.

    Examples
    --------
    >>> from sciml.problems.mri import load_slices
    >>> load_slices("test-T1").subjects
    ('Colin27',)
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    file = DATA if path is None else Path(path)
    return guarded(file, "a file of slices", lambda path: _split(read_npz(path), split))


def _split(content: dict[str, np.ndarray], split: str) -> SliceSet:
    """One split of the arrays in a file; raises what `guarded` explains."""
    levels, names, white = (content.get(split + part) for part in ("", "/names", "/white matter"))
    if levels is None or names is None:
        raise FileError(f"not a file of slices: it has no {split!r} with names")
    if levels.dtype != np.uint8 or levels.ndim != 3 or names.shape != levels.shape[:1]:
        raise FileError(f"damaged: {levels.dtype} slices of shape {levels.shape}, names of {names.shape}")
    masks = None if white is None else np.unpackbits(white, axis=-1).astype(bool)
    if masks is not None and masks.shape != levels.shape:
        raise FileError(f"damaged: masks of shape {masks.shape} for slices of shape {levels.shape}")
    return SliceSet(decode(levels).astype(np.float32) / np.float32(LEVELS), tuple(map(str, names)), masks)


def encode(levels: np.ndarray) -> np.ndarray:
    """Differences along rows modulo 256, which deflate better than grey levels."""
    return np.diff(levels, axis=-1, prepend=np.uint8(0))


def decode(differences: np.ndarray) -> np.ndarray:
    """The inverse of `encode`."""
    return np.cumsum(differences, axis=-1, dtype=np.uint8)
