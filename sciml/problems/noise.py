"""Random numbers on a grid of which any part can be drawn by itself.

The grid is cut into blocks and every block has its own random stream, seeded by the block's place. So the
part of a grid that one process holds equals that part of the whole grid, and nobody draws the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Box", "normal", "whole"]

Box: TypeAlias = tuple[slice, ...]
"""A part of a grid: start and stop per axis."""

_BLOCK = {1: 2**15, 2: 2**7, 3: 2**5}
"""Side of a block by dimension: 32,768 cells or half of that, against which seeding a stream costs little."""


def whole(shape: Sequence[int]) -> Box:
    """The box that is the whole grid.

    >>> whole((4, 3))
    (slice(0, 4, None), slice(0, 3, None))
    """
    return tuple(slice(0, n) for n in shape)


def normal(
    shape: Sequence[int], key: Sequence[int], *, dtype: Any = "float64", box: Box | None = None
) -> np.ndarray:
    """Standard normal values on the part `box` of a grid (all of it by default).

    Parameters
    ----------
    shape : sequence of int
        Of the whole grid.
    key : sequence of int
        Seed and purpose; other keys give independent values.
    dtype : {"float64", "float32"}
    box : tuple of slice, optional

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.noise import normal
    >>> everything = normal((100, 200), key=[0])
    >>> part = normal((100, 200), key=[0], box=(slice(20, 90), slice(100, 150)))
    >>> bool(np.all(part == everything[20:90, 100:150]))
    True
    """
    box = whole(shape) if box is None else box
    out = np.empty([b.stop - b.start for b in box], dtype=dtype)
    side = _BLOCK[len(box)]
    for block in itertools.product(*(range(b.start // side, -(-b.stop // side)) for b in box)):
        corner = [i * side for i in block]
        size = [min(side, n - c) for c, n in zip(corner, shape, strict=True)]
        # Counted from one: a seed sequence does not tell trailing zeros from nothing.
        values = np.random.default_rng([*key, *(1 + i for i in block)]).standard_normal(size, dtype=dtype)
        here, there = [], []
        for c, s, b in zip(corner, size, box, strict=True):
            start, stop = max(c, b.start), min(c + s, b.stop)
            here.append(slice(start - b.start, stop - b.start))
            there.append(slice(start - c, stop - c))
        out[tuple(here)] = values[tuple(there)]
    return out
