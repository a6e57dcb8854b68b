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

from .noise import Box, normal, whole

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


def obstacle_mask(name: str, shape: Sequence[int], seed: int, box: Box | None = None) -> np.ndarray:
    """Solid cells of the geometry `name`.

    Parameters
    ----------
    name : {"balls", "boxes", "channels", "walls", "porous"}
        ``balls``: random solid balls. ``boxes``: random solid boxes. ``channels``: plates that leave one
        long meandering channel. ``walls``: walls one cell thick across every axis, each piece of wall with a
        gap two cells wide. ``porous``: curved walls two cells thick (the zero level of a smooth random
        field) with passages of a few cells; about three quarters are fluid.
    shape : tuple of int
        Of the whole grid.
    seed : int
    box : tuple of slice, optional
        Draw only this part of the grid, at the price of this part.

    Returns
    -------
    ndarray of bool
        True in solid cells; of the shape of `box`, if given.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> from sciml.problems import obstacle_mask
    >>> round(float(obstacle_mask("porous", (64, 64, 64), seed=1).mean()), 1)
    0.2
    """
    if name not in GEOMETRIES:
        raise ValueError(
            f"obstacles is {name!r}; expected None, a mask array or one of {', '.join(GEOMETRIES)}"
        )
    canvas = Canvas(shape, whole(shape) if box is None else box)
    GEOMETRIES[name](canvas, seed)
    return canvas.solid


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 0x6E0])


class Canvas:
    """The part `box` of a grid of `shape` cells, painted with indices of the whole grid.

    Attributes
    ----------
    solid : ndarray of bool
        The part itself.
    """

    def __init__(self, shape: Sequence[int], box: Box):
        self.shape, self.box, self.ndim = tuple(shape), box, len(shape)
        self.solid = np.zeros([b.stop - b.start for b in box], dtype=bool)

    def span(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """The indices start..stop that lie inside the box; empty ones start and stop at the same index."""
        low = min(max(start, self.box[axis].start), self.box[axis].stop)
        return low, max(low, min(stop, self.box[axis].stop))

    def view(self, *where: slice | int) -> np.ndarray:
        """A writable view of the cells `where` that lie inside the box; axes left out are taken whole."""
        local = []
        for axis, (n, own) in enumerate(zip(self.shape, self.box, strict=True)):
            wanted = where[axis] if axis < len(where) else slice(None)
            start, stop, _ = (slice(wanted, wanted + 1) if isinstance(wanted, int) else wanted).indices(n)
            low, high = self.span(axis, start, stop)
            local.append(slice(low - own.start, high - own.start))
        return self.solid[tuple(local)]


def _balls(canvas: Canvas, seed: int) -> None:
    rng = _generator(seed)
    size = min(canvas.shape)  # balls stay round: lengths in units of the shortest side
    box = np.array(canvas.shape) / size
    for _ in range(_BODIES[canvas.ndim]):
        centre = rng.uniform(size=canvas.ndim) * box * size
        radius = rng.uniform(*_RADIUS[canvas.ndim]) * size
        where, distance2 = [], []
        for axis in range(canvas.ndim):
            first, last = canvas.span(
                axis, math.floor(centre[axis] - radius), math.ceil(centre[axis] + radius)
            )
            where.append(slice(first, last))
            distance2.append((np.arange(first, last) + 0.5 - centre[axis]) ** 2)
        inside = sum(np.meshgrid(*distance2, indexing="ij", sparse=True)) < radius**2
        np.logical_or(canvas.view(*where), inside, out=canvas.view(*where))


def _boxes(canvas: Canvas, seed: int) -> None:
    rng = _generator(seed)
    n = np.array(canvas.shape)
    low, high = _RADIUS[canvas.ndim]
    for _ in range(_BODIES[canvas.ndim]):
        centre, half = rng.uniform(size=n.size), rng.uniform(low, high, size=n.size)
        first = np.maximum(np.rint((centre - half) * n), 0).astype(int)
        last = np.minimum(np.rint((centre + half) * n), n).astype(int)
        canvas.view(*(slice(int(a), int(b)) for a, b in zip(first, last, strict=True)))[...] = True


def _channels(canvas: Canvas, seed: int) -> None:
    """Plates across the first axis that leave an opening alternately at either end of the second."""
    rng = _generator(seed)
    n, length = canvas.shape[0], canvas.shape[1]
    plates = 7
    thickness = max(1, n // 40)
    opening = max(2, length // 10)
    for i in range(plates):
        start = round((i + 1 + rng.uniform(-0.2, 0.2)) * n / (plates + 1))
        along = slice(opening, None) if i % 2 else slice(None, -opening)
        canvas.view(slice(start, start + thickness), along)[...] = True


def _walls(canvas: Canvas, seed: int) -> None:
    """Walls one cell thick across every axis; each piece between crossing walls has a slit two cells wide."""
    rng = _generator(seed)
    positions = [_wall_positions(n, rng) for n in canvas.shape]
    for axis, walls in enumerate(positions):
        for p in walls:
            canvas.view(*(slice(None),) * axis, p)[...] = True
    for axis, walls in enumerate(positions):
        others = [a for a in range(canvas.ndim) if a != axis]
        pieces = [_pieces(positions[a], canvas.shape[a]) for a in others]
        for p, piece in itertools.product(walls, list(itertools.product(*pieces))):
            where: list[int | slice] = [p] * canvas.ndim
            for a, span in zip(others, piece, strict=True):
                where[a] = slice(*span)
            k = int(rng.integers(len(others)))  # the slit is two cells wide along this one of the others
            first, last = piece[k]
            start = int(rng.integers(first, max(first + 1, last - 1)))
            where[others[k]] = slice(start, min(start + 2, last))
            canvas.view(*where)[...] = False


def _wall_positions(n: int, rng: np.random.Generator) -> list[int]:
    steps = rng.integers(_ROOM * 3 // 4, _ROOM * 5 // 4 + 1, size=n // (_ROOM // 2) + 1)
    return [int(p) for p in np.cumsum(steps) if p < n - 2]


def _pieces(walls: Sequence[int], n: int) -> list[tuple[int, int]]:
    """Half-open cell ranges between walls."""
    edges = [-1, *walls, n]
    return [(a + 1, b) for a, b in itertools.pairwise(edges) if b > a + 1]


def _porous(canvas: Canvas, seed: int) -> None:
    """Cells beside a change of sign: a watertight wall two cells thick along the zero level."""
    ndim, shape = canvas.ndim, canvas.shape
    # A cell looks at its neighbours, so the field reaches one cell beyond the box.
    grown = tuple(
        slice(max(b.start - 1, 0), min(b.stop + 1, n)) for b, n in zip(canvas.box, shape, strict=True)
    )
    inner = tuple(slice(b.start - g.start, b.stop - g.start) for b, g in zip(canvas.box, grown, strict=True))
    field = _RandomField(shape, _PORE, [seed, 0x6E0, 1], grown)
    # In the plane the level set is a family of closed curves, so a second field cuts passages into it.
    passages = _RandomField(shape, 2 * _PORE, [seed, 0x6E0, 2], canvas.box) if ndim == 2 else None
    planes = max(1, _CELLS_AT_ONCE // math.prod(b.stop - b.start for b in grown[1:]))
    for start in range(canvas.box[0].start, canvas.box[0].stop, planes):
        stop = min(start + planes, canvas.box[0].stop)
        low, high = max(start - 1, 0), min(stop + 1, shape[0])
        positive = field(low, high) > 0
        near = np.zeros_like(positive)
        for axis in range(ndim):
            ahead, behind = [slice(None)] * ndim, [slice(None)] * ndim
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            change = positive[tuple(ahead)] != positive[tuple(behind)]
            near[tuple(ahead)] |= change
            near[tuple(behind)] |= change
        wall = near[(slice(start - low, stop - low), *inner[1:])]
        if passages is not None:
            wall &= passages(start, stop) < 0.2
        canvas.view(slice(start, stop))[...] = wall


class _RandomField:
    """A Gaussian random field smooth over about `cells` cells: cubic B-splines over random control values.

    Values in a cell are the same to the last bit whatever part of the grid is evaluated, because sums run
    over the four control values in a fixed order.
    """

    def __init__(self, shape: Sequence[int], cells: int, key: Sequence[int], box: Box):
        splines = [_spline_weights(b, cells) for b in box]
        control = tuple(slice(int(first[0]), int(first[-1]) + 4) for first, _ in splines)
        values = normal([n // cells + 5 for n in shape], key, dtype="float32", box=control)
        # All axes but the first are expanded now; the first is expanded plane by plane in __call__.
        for axis in range(1, len(shape)):
            first, taps = splines[axis]
            values = _expand(values, axis, first - control[axis].start, taps)
        self._values, self._start = values, box[0].start
        self._first, self._taps = splines[0][0] - control[0].start, splines[0][1]

    def __call__(self, start: int, stop: int) -> np.ndarray:
        planes = slice(start - self._start, stop - self._start)
        return _expand(self._values, 0, self._first[planes], self._taps[planes])


def _spline_weights(span: slice, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """First control point and four uniform cubic B-spline weights for each of the cells of `span`."""
    position = (np.arange(span.start, span.stop) + 0.5) / cells
    first = np.floor(position).astype(int)
    t = position - first
    taps = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    )
    return first, taps.astype(np.float32)


def _expand(values: np.ndarray, axis: int, first: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Control values along `axis` to the cells whose first control points and weights are given."""
    along = [1] * values.ndim
    along[axis] = -1
    out = np.take(values, first, axis=axis) * taps[:, 0].reshape(along)
    for k in range(1, 4):
        out += np.take(values, first + k, axis=axis) * taps[:, k].reshape(along)
    return out


GEOMETRIES: dict[str, Callable[[Canvas, int], None]] = {
    "balls": _balls,
    "boxes": _boxes,
    "channels": _channels,
    "walls": _walls,
    "porous": _porous,
}
"""Name of each geometry and what draws it, from a seed, into an empty canvas."""
