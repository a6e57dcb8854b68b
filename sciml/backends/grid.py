"""What the compiled grid kernels need to know about a 5/7-point operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .kernels.numba import codes, paired
from .threads import parallel

__all__ = ["Grid", "affine_diagonal", "two_colourable"]

GRAIN_CELLS = 16_000
"""Fewer cells are not worth waking another thread for."""

NO_UNKNOWN = 255
"""Code of cells without unknown."""


def two_colourable(shape, periodic) -> bool:
    """Whether red-black colouring works: no periodic axis has an odd number of cells (above one)."""
    return all(not p or n == 1 or n % 2 == 0 for n, p in zip(shape, periodic, strict=True))


@dataclass
class Grid:
    """A 5/7-point operator as the kernels see it; `stencil` makes the tuple they take.

    2D grids, embedded by their operator as (1, n0, n1), become (n0, 1, n1) here: kernels work through planes
    along the first axis. The memory layout is the same.
    """

    shape: tuple[int, ...]
    periodic: tuple[int, ...]
    weights: tuple[float, ...]
    q: np.ndarray
    d0: float
    d1: float
    none: float
    faces: tuple[np.ndarray, ...] | None
    unknowns: int
    unit: float
    """Largest weight; float32 kernels work in this unit."""

    @classmethod
    def from_operator(cls, A: Any) -> Grid:
        """Read ``grid3, weights3, periodic3, code, diagonal_table, faces, diagonal3`` of an operator."""
        shape = tuple(int(n) for n in A.grid3)
        # An axis of one cell has no neighbours, not even itself.
        periodic = tuple(int(bool(p) and n > 1) for p, n in zip(A.periodic3, shape, strict=True))
        weights = tuple(float(w) for w in A.weights3)
        unit = max(weights)
        code = np.ascontiguousarray(A.code).reshape(-1)
        faces = getattr(A, "faces", None)
        if faces is not None:
            faces = tuple(np.ascontiguousarray(f, np.float64).reshape(-1) for f in faces)
            unit = float(max(f.max(initial=0.0) for f in faces)) or 1.0
            q = np.where(code == NO_UNKNOWN, -1.0, np.asarray(A.diagonal3).reshape(-1))
            d0, d1, none = 0.0, 1.0, -1.0
        else:
            q, d0, d1, none = affine_diagonal(code, np.asarray(A.diagonal_table, np.float64))
        order = (1, 0, 2) if shape[0] == 1 else (0, 1, 2)
        shape = tuple(shape[a] for a in order)
        periodic = tuple(periodic[a] for a in order)
        weights = tuple(weights[a] for a in order)
        if faces is not None:
            faces = tuple(faces[a] for a in order)
        unknowns = code.size - int(_histogram(code)[NO_UNKNOWN])
        return cls(shape, periodic, weights, q, d0, d1, none, faces, unknowns, unit or 1.0)

    @property
    def two_colourable(self) -> bool:
        """Whether red-black relaxation works on this grid."""
        return two_colourable(self.shape, self.periodic)

    @property
    def cells(self) -> int:
        """Number of cells, with or without unknown."""
        return int(np.prod(self.shape))

    @property
    def padded(self) -> int:
        """Length of a work vector: the cells and one row of zeros."""
        return self.cells + self.shape[2]

    def enclose(self, v: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        """`v` as a work vector of the kernels, which read zeros beyond the box and in cells without an
        unknown; and in how many of the latter `v` is not zero. Written to `out` where that is given."""
        padded = np.empty(self.padded, v.dtype) if out is None else out
        padded[self.cells :] = 0
        flat, none = np.ascontiguousarray(v).reshape(-1), self.q.dtype.type(self.none)
        return padded, sum(parallel(codes.enclose, self.cells, flat, padded, self.q, none, grain=GRAIN_CELLS))

    def blank(self) -> np.ndarray:
        """Numbers of the cells without an unknown."""
        return np.flatnonzero(self.q == self.none)

    @property
    def grain(self) -> int:
        """Smallest number of planes worth a thread of its own."""
        return max(2, GRAIN_CELLS // max(1, self.shape[1] * self.shape[2]))

    def stencil(self, dtype: Any, unit: float = 1.0) -> tuple[Any, ...]:
        """The stencil tuple in one precision, divided by `unit`."""
        t = np.dtype(dtype).type
        faces = self.faces
        if faces is not None and (np.dtype(dtype) != np.float64 or unit != 1.0):
            faces = tuple((f / unit).astype(dtype) for f in faces)
        # A byte compares with a byte in the narrowest vectors.
        none: Any = self.q.dtype.type(self.none)
        w = tuple(t(v / unit) for v in self.weights)
        return (self.shape, self.periodic, self.q, t(self.d0 / unit), t(self.d1 / unit), none, w, faces)

    def pair(self, stencil: tuple[Any, ...]) -> tuple[Any, ...]:
        """A stencil of this grid in the layout of `kernels.numba.paired`; its faces are overwritten."""
        shape, periodic, _, d0, d1, none, w, faces = stencil
        rows, n = shape[0] * shape[1], shape[2]
        # One byte a cell stays one byte; diagonals take the precision of the stencil.
        number = np.uint8 if self.q.dtype == np.uint8 else type(d0)
        q = np.empty(self.cells, number)
        grain = max(1, GRAIN_CELLS // n)
        parallel(paired.pair_rows, rows, self.q, number(1), q, n, grain=grain)
        for f in faces or ():
            parallel(paired.pair_in_place, rows, f, n, grain=grain)
        return (shape, periodic, q, d0, d1, number(none), w, faces)


def _histogram(code: np.ndarray) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for part in parallel(codes.histogram, code.size, code, grain=GRAIN_CELLS):
        counts += part
    return counts


def affine_diagonal(code: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, float, float, float]:
    """Diagonal as ``d0 + d1 * q`` with one byte a cell where the values allow it, else as an array of
    float64.

    Diagonals are sums of few weights, so they nearly always lie on an arithmetic progression; an affine
    formula vectorises where a table look-up would not.
    """
    used = np.flatnonzero(_histogram(code)[:NO_UNKNOWN])
    if used.size == 0:
        return np.full(code.size, 255, np.uint8), 1.0, 0.0, 255.0
    values = table[used]
    d0 = float(values.min())
    gaps = np.diff(np.unique(values))
    gaps = gaps[gaps > 1e-9 * values.max()]
    d1 = float(gaps.min()) if gaps.size else 0.0
    steps = np.rint((values - d0) / d1) if d1 else np.zeros(values.size)
    if d1:
        d1 = float((values.max() - d0) / steps.max())  # the widest gap is the least rounded
    if np.abs(d0 + d1 * steps - values).max() <= 1e-15 * values.max() and steps.max() < NO_UNKNOWN:
        translate = np.full(256, 255, np.uint8)
        translate[used] = steps.astype(np.uint8)
        q = np.empty(code.size, np.uint8)
        parallel(codes.translate, code.size, code, translate, q, grain=GRAIN_CELLS)
        return q, d0, d1, 255.0
    lookup = table.astype(np.float64).copy()
    lookup[255] = -1.0
    return lookup[code], 0.0, 1.0, -1.0
