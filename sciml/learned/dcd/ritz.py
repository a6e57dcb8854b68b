"""Approximate eigenvectors of any symmetric operator by Lanczos iterations, streamed to disk."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from ...backends.namespace import norm2
from ...io import load_array
from ...operators import as_operator
from .data import amplitudes, check_law

__all__ = ["RitzModes", "ritz_vectors"]

ROWS, COLUMNS = 64, 1 << 14
"""Of the blocks read from disk at once."""

NULL = 1e-8
"""Ritz values below this share of the largest belong to the null space."""


def ritz_vectors(
    A: Any,
    folder: str | os.PathLike[str],
    *,
    steps: int,
    keep: int | None = None,
    seed: int = 0,
    callback: Callable[[int], None] | None = None,
) -> RitzModes:
    """Run Lanczos iterations with full reorthogonalisation and store the Ritz vectors.

    Memory stays that of a few vectors: the basis and the result, `steps` vectors in float32 each, are on
    disk.

    Parameters
    ----------
    A : operator or matrix
        Symmetric, on NumPy arrays.
    folder : path
        Made by this function; appears when everything is in it.
    steps : int
        Lanczos iterations. The start is `A` times a random vector, so that no null vector enters.
    keep : int, optional
        Store the lowest `keep` only.
    seed : int
    callback : callable, optional
        Called with the number of finished iterations.

    Returns
    -------
    RitzModes

    Raises
    ------
    FileExistsError, ValueError

    References
    ----------
    Kaneda et al., arXiv:2205.10763, whose training data are made this way from 10,000 iterations.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sciml import PoissonOperator
    >>> from sciml.learned.dcd import ritz_vectors
    >>> with tempfile.TemporaryDirectory() as place:
    ...     modes = ritz_vectors(PoissonOperator((9, 8)), pathlib.Path(place) / "modes", steps=30, keep=10)
    ...     modes.vectors.shape
    (10, 72)
    """
    A = as_operator(A)
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"A has shape {A.shape}; expected a square operator")
    for name, value in (("steps", steps), ("keep", 1 if keep is None else keep)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a positive integer")
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder}: exists already; expected the name of a new folder")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        diagonal, beside = _lanczos(A, partial / "basis.npy", steps, seed, callback)
        values, combinations = scipy.linalg.eigh_tridiagonal(diagonal, beside)
        chosen = np.flatnonzero(values > NULL * values[-1])[:keep]
        _combine(partial / "basis.npy", combinations[:, chosen], partial / "vectors.npy")
        np.save(partial / "values.npy", values[chosen])
        np.save(partial / "shape.npy", np.array(A.in_shape))
        (partial / "basis.npy").unlink()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return RitzModes(folder)


def _lanczos(
    A: Any, path: Path, steps: int, seed: int, callback: Callable[[int], None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """The tridiagonal matrix; the basis goes to `path`, row by row."""
    n = A.shape[0]
    steps = min(steps, n)
    basis = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(steps, n))
    v = np.random.default_rng(seed).standard_normal(A.in_shape)
    fluid = getattr(A, "fluid", None)
    v = A(v if fluid is None else np.where(fluid, v, 0.0)).reshape(-1)
    v /= norm2(v)
    diagonal, beside = [], []
    for j in range(steps):
        basis[j] = v
        w = A(v.reshape(A.in_shape)).reshape(-1)
        diagonal.append(float(v @ w))
        scale = norm2(w)
        # Twice: once leaves what single precision of the stored basis left over.
        for _ in range(2):
            for start in range(0, j + 1, ROWS):
                block = np.asarray(basis[start : min(start + ROWS, j + 1)], dtype=np.float64)
                w -= (block @ w) @ block
        size = norm2(w)
        if callback is not None:
            callback(j + 1)
        if size <= 1e-6 * scale or j + 1 == steps:  # an invariant subspace, or done
            break
        beside.append(size)
        v = w / size
    basis.flush()
    return np.array(diagonal), np.array(beside)


def _combine(path: Path, combinations: np.ndarray, target: Path) -> None:
    """``combinationsᵀ @ basis``, a few columns of the grid at a time."""
    basis = np.load(path, mmap_mode="r")[: combinations.shape[0]]
    shape = (combinations.shape[1], basis.shape[1])
    vectors = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, basis.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        vectors[:, part] = combinations.T @ np.asarray(basis[:, part], dtype=np.float64)
    vectors.flush()


class RitzModes:
    """Ritz vectors on disk as training data.

    Parameters
    ----------
    folder : path
        Made by `ritz_vectors`.
    law : {"octaves", "lowest"}
        See `sciml.learned.dcd.data.amplitudes`.

    Attributes
    ----------
    vectors : memory-mapped array ``(count, n)``, float32
        Ascending.
    values : ndarray ``(count,)``
    shape : tuple of int
        Of the grid.

    Raises
    ------
    FileNotFoundError, ValueError
    """

    def __init__(self, folder: str | os.PathLike[str], law: str = "octaves"):
        folder = Path(folder)
        parts = {name: folder / f"{name}.npy" for name in ("vectors", "values", "shape")}
        for path in parts.values():
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file; expected a folder made by ritz_vectors")
        self.law = check_law(law)
        self.vectors = load_array(parts["vectors"], mapped=True)
        self.values = load_array(parts["values"])
        shape = load_array(parts["shape"])
        if shape.dtype.kind not in "iu" or shape.ndim != 1 or not np.all(shape > 0):
            raise ValueError(f"{parts['shape']}: holds {shape}; expected the positive sizes of a grid")
        self.shape = tuple(int(n) for n in shape)
        expected = (self.values.size, math.prod(self.shape))
        if self.vectors.shape != expected:
            raise ValueError(f"{folder}: holds vectors of shape {self.vectors.shape}; expected {expected}")
        if self.vectors.dtype != np.float32:
            raise ValueError(f"{parts['vectors']}: holds {self.vectors.dtype} numbers; expected float32")
        usable = self.values.dtype.kind == "f" and self.values.ndim == 1
        if not usable or not np.all((self.values > 0) & (self.values < np.finfo(np.float32).max)):
            raise ValueError(f"{parts['values']}: holds a Ritz value that is not positive and finite")

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Solutions ``(size, *shape)``, float32."""
        coefficients = amplitudes(self.law, self.values, rng, size) / self.values.astype(np.float32)
        x = np.zeros((size, self.vectors.shape[1]), dtype=np.float32)
        for start in range(0, self.values.size, ROWS):
            part = slice(start, start + ROWS)
            x += coefficients[:, part] @ self.vectors[part]
        return x.reshape(size, *self.shape)

    def lowest(self, count: int) -> np.ndarray:
        """The Ritz vectors of the `count` smallest Ritz values, as columns ``(n, count)``."""
        return np.asarray(self.vectors[:count], dtype=np.float64).T
