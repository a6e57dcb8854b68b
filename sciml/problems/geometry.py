"""Obstacle geometries on a grid, reproducible from a seed and built plane by plane.

Lengths of balls, boxes and channels are fractions of the box, so the same seed is the same body at every
resolution. Walls and pores keep their size in *cells*: finer grids hold more of them, which is what
breaks coarse grids that ignore connectivity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["GEOMETRIES", "obstacle_mask"]

# Bodies per box: the counts of the literature's "random balls" in 3D and "discs" in 2D.
_BODIES = {2: 40, 3: 12}
_RADIUS = {2: (0.03, 0.08), 3: (0.06, 0.15)}

_ROOM = 24
"""Mean distance of thin walls in cells."""

_PORE = 5
"""Cells per control point of the random field whose zero level is the porous medium's wall."""

_CELLS_AT_ONCE = 2**22
"""Slab of planes the random field is evaluated on, so that memory stays that of the mask."""


def obstacle_mask(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """Solid cells of the geometry `name`.

    Parameters
    ----------
    name : {"balls", "boxes", "channels", "walls", "porous"}
        ``balls``: random solid balls. ``boxes``: random solid boxes. ``channels``: plates that leave one
        long meandering channel. ``walls``: walls one cell thick across every axis, each piece of wall with a
        gap two cells wide. ``porous``: curved walls two cells thick (the zero level of a smooth random
        field) with passages of a few cells; about three quarters are fluid.
    shape : tuple of int
    seed : int

    Returns
    -------
    ndarray of bool
        True in solid cells.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> from sciml.problems import obstacle_mask
    >>> obstacle_mask("porous", (32, 32, 32), seed=1).mean().round(1)
    np.float64(0.2)
    """
    if name not in GEOMETRIES:
        raise ValueError(
            f"obstacles is {name!r}; expected None, a mask array or one of {', '.join(GEOMETRIES)}"
        )
    solid = np.zeros(tuple(shape), dtype=bool)
    GEOMETRIES[name](solid, np.random.default_rng([seed, 0x6E0]))
    return solid


def _balls(solid: np.ndarray, rng: np.random.Generator) -> None:
    size = min(solid.shape)  # balls stay round: lengths in units of the shortest side
    box = np.array(solid.shape) / size
    for _ in range(_BODIES[solid.ndim]):
        centre = rng.uniform(size=solid.ndim) * box * size
        radius = rng.uniform(*_RADIUS[solid.ndim]) * size
        where, distance2 = [], []
        for axis, n in enumerate(solid.shape):
            first, last = max(0, math.floor(centre[axis] - radius)), min(n, math.ceil(centre[axis] + radius))
            where.append(slice(first, last))
            distance2.append((np.arange(first, last) + 0.5 - centre[axis]) ** 2)
        solid[tuple(where)] |= sum(np.meshgrid(*distance2, indexing="ij", sparse=True)) < radius**2


def _boxes(solid: np.ndarray, rng: np.random.Generator) -> None:
    n = np.array(solid.shape)
    low, high = _RADIUS[solid.ndim]
    for _ in range(_BODIES[solid.ndim]):
        centre, half = rng.uniform(size=n.size), rng.uniform(low, high, size=n.size)
        first = np.maximum(np.rint((centre - half) * n), 0).astype(int)
        last = np.minimum(np.rint((centre + half) * n), n).astype(int)
        solid[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = True


def _channels(solid: np.ndarray, rng: np.random.Generator) -> None:
    """Plates across the first axis that leave an opening alternately at either end of the second."""
    n, length = solid.shape[0], solid.shape[1]
    plates = 7
    thickness = max(1, n // 40)
    opening = max(2, length // 10)
    for i in range(plates):
        start = round((i + 1 + rng.uniform(-0.2, 0.2)) * n / (plates + 1))
        along = slice(opening, None) if i % 2 else slice(None, -opening)
        solid[start : start + thickness, along] = True


def _walls(solid: np.ndarray, rng: np.random.Generator) -> None:
    """Walls one cell thick across every axis; each piece between crossing walls has a slit two cells wide."""
    positions = [_wall_positions(n, rng) for n in solid.shape]
    for axis, walls in enumerate(positions):
        for p in walls:
            solid[(slice(None),) * axis + (p,)] = True
    for axis, walls in enumerate(positions):
        others = [a for a in range(solid.ndim) if a != axis]
        pieces = [_pieces(positions[a], solid.shape[a]) for a in others]
        for p, piece in itertools.product(walls, list(itertools.product(*pieces))):
            where: list[int | slice] = [p] * solid.ndim
            for a, span in zip(others, piece, strict=True):
                where[a] = slice(*span)
            k = int(rng.integers(len(others)))  # the slit is two cells wide along this one of the others
            first, last = piece[k]
            start = int(rng.integers(first, max(first + 1, last - 1)))
            where[others[k]] = slice(start, min(start + 2, last))
            solid[tuple(where)] = False


def _wall_positions(n: int, rng: np.random.Generator) -> list[int]:
    steps = rng.integers(_ROOM * 3 // 4, _ROOM * 5 // 4 + 1, size=n // (_ROOM // 2) + 1)
    return [int(p) for p in np.cumsum(steps) if p < n - 2]


def _pieces(walls: Sequence[int], n: int) -> list[tuple[int, int]]:
    """Half-open cell ranges between walls."""
    edges = [-1, *walls, n]
    return [(a + 1, b) for a, b in itertools.pairwise(edges) if b > a + 1]


def _porous(solid: np.ndarray, rng: np.random.Generator) -> None:
    """Cells beside a change of sign: a watertight wall two cells thick along the zero level."""
    ndim, n = solid.ndim, solid.shape
    field = _RandomField(n, _PORE, rng)
    # In the plane the level set is a family of closed curves, so a second field cuts passages into it.
    passages = _RandomField(n, 2 * _PORE, rng) if ndim == 2 else None
    planes = max(1, _CELLS_AT_ONCE // math.prod(n[1:]))
    for start in range(0, n[0], planes):
        stop = min(start + planes, n[0])
        low, high = max(start - 1, 0), min(stop + 1, n[0])
        positive = field(low, high) > 0
        near = np.zeros_like(positive)
        for axis in range(ndim):
            ahead, behind = [slice(None)] * ndim, [slice(None)] * ndim
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            change = positive[tuple(ahead)] != positive[tuple(behind)]
            near[tuple(ahead)] |= change
            near[tuple(behind)] |= change
        wall = near[start - low : stop - low]
        if passages is not None:
            wall &= passages(start, stop) < 0.2
        solid[start:stop] = wall


class _RandomField:
    """A Gaussian random field smooth over about `cells` cells: cubic B-splines over random control values."""

    def __init__(self, shape: Sequence[int], cells: int, rng: np.random.Generator):
        control = [n // cells + 5 for n in shape]
        values = rng.standard_normal(control, dtype=np.float32)
        self._first, self._taps = _spline_weights(shape[0], cells)
        # All axes but the first are expanded now; the first is expanded plane by plane in __call__.
        for axis in range(1, len(shape)):
            values = np.moveaxis(values, axis, -1) @ _spline_matrix(shape[axis], control[axis], cells)
            values = np.moveaxis(values, -1, axis)
        self._values = np.ascontiguousarray(values)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, *self._values.shape[1:]), dtype=np.float32)
        for i in range(start, stop):
            first = self._first[i]
            np.einsum("k,k...->...", self._taps[i], self._values[first : first + 4], out=out[i - start])
        return out


def _spline_weights(n: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """First control point and four uniform cubic B-spline weights for each of `n` cells."""
    position = (np.arange(n) + 0.5) / cells
    first = np.floor(position).astype(int)
    t = position - first
    taps = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    )
    return first, taps.astype(np.float32)


def _spline_matrix(n: int, control: int, cells: int) -> np.ndarray:
    first, taps = _spline_weights(n, cells)
    matrix = np.zeros((control, n), dtype=np.float32)
    for k in range(4):
        matrix[first + k, np.arange(n)] = taps[:, k]
    return matrix


GEOMETRIES: dict[str, Callable[[np.ndarray, np.random.Generator], None]] = {
    "balls": _balls,
    "boxes": _boxes,
    "channels": _channels,
    "walls": _walls,
    "porous": _porous,
}
"""Name of each geometry and what draws it into a zeroed mask."""
