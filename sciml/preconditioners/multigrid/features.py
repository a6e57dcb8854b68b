"""What a few planes of a grid say about the geometry: cheap enough to choose multigrid parameters by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.grid import Grid
from ...backends.kernels.numba import components
from .aggregation import block_factors

__all__ = ["FEATURES", "geometry_features", "refinement"]

FEATURES = ("3d", "refinement", "fill", "mixed", "split", "extra", "uncoarsened", "jumps")
"""Names of what `geometry_features` returns.

3d: three axes rather than two; refinement: log2 of the cells per axis, over 8; fill: share of cells without
an unknown; mixed: share of blocks neither full nor empty; split: share of blocks in several pieces; extra:
pieces beyond the first per block; uncoarsened: axes too weakly coupled to coarsen; jumps: decades between
the face weights of neighbouring cells, on average.
"""

PLANES = 12
"""Block planes that are looked at."""


def geometry_features(A: Any, strength: float) -> np.ndarray:
    """Features of the geometry of a `PoissonOperator`, in the order of `FEATURES`.

    Examples
    --------
    >>> from sciml.preconditioners.multigrid.features import geometry_features
    >>> from sciml.problems import poisson
    >>> geometry_features(poisson((64, 64)).A, 0.02).round(2).tolist()
    [0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    grid: Grid = getattr(A, "kernel_grid", None) or Grid.from_operator(A)
    factors = block_factors(grid.shape, grid.weights)
    axes = [n for n in grid.shape if n > 1]
    stencil = grid.stencil(np.float64)  # copies no faces
    coarse_shape = tuple(-(-n // f) for n, f in zip(grid.shape, factors, strict=True))
    bits = np.zeros(coarse_shape, np.uint8)
    splits, extras = np.zeros(coarse_shape[:2], np.int64), np.zeros(coarse_shape[:2], np.int64)
    planes = np.unique(np.linspace(0, coarse_shape[0] - 1, PLANES).astype(int))
    theta = strength * stencil[4]
    for i in planes:
        components.scan_blocks(
            i, i + 1, stencil, factors, coarse_shape, theta, True, bits.reshape(-1), splits.reshape(-1),
            extras.reshape(-1),
        )  # fmt: skip
    seen = bits[planes]
    full = seen.max(initial=1)
    blocks = max(1, int(np.count_nonzero(seen)))
    return np.array(
        [
            float(len(axes) == 3),
            refinement(grid.shape),
            1.0 - grid.unknowns / max(grid.cells, 1),
            np.count_nonzero((seen > 0) & (seen < full)) / blocks,
            splits[planes].sum() / blocks,
            extras[planes].sum() / blocks,
            float(sum(f == 1 for f, n in zip(factors, grid.shape, strict=True) if n > 1)),
            _jumps(grid),
        ]
    )


def refinement(shape: tuple[int, ...]) -> float:
    """The feature of that name, of the whole grid."""
    axes = [n for n in shape if n > 1]
    return math.log2(max(math.prod(shape), 1)) / max(len(axes), 1) / 8.0


def _jumps(grid: Grid) -> float:
    """Mean of |log10| of the ratio of neighbouring diagonals on a few planes; 0 for constant coefficients."""
    if grid.faces is None:
        return 0.0
    planes = np.unique(np.linspace(0, grid.shape[0] - 1, PLANES).astype(int))
    q = grid.q.reshape(grid.shape)[planes]
    a, b = q[..., :-1], q[..., 1:]
    both = (a != grid.none) & (b != grid.none)
    return float(np.abs(np.log10(a[both] / b[both])).mean()) if both.any() else 0.0
