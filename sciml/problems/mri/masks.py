"""Sampling masks of accelerated scans, and the acceleration they truly have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = [
    "MASKS",
    "Mask",
    "equispaced1d",
    "gaussian1d",
    "gaussian2d",
    "partial_fourier",
    "poisson2d",
    "random1d",
    "sampling_mask",
]


@dataclass(frozen=True)
class Mask:
    """Sampled locations of a centred k-space.

    Attributes
    ----------
    array : ndarray of bool, shape ``(H, W)``
    kind : str
    nominal : float
        The acceleration that was asked for.
    """

    array: np.ndarray
    kind: str
    nominal: float

    @property
    def acceleration(self) -> float:
        """Locations over sampled locations: what the scan truly saves."""
        return self.array.size / int(np.count_nonzero(self.array))

    @property
    def centre(self) -> tuple[int, int]:
        """Height and width of the largest centred rectangle that is fully sampled, grown evenly."""
        return fully_sampled_centre(self.array)

    def __str__(self) -> str:
        h, w = self.centre
        return f"{self.kind}: R = {self.acceleration:.2f} (asked for {self.nominal:g}), centre {h} x {w}"


def gaussian2d(
    shape: Sequence[int],
    acceleration: float,
    *,
    seed: Any = 0,
    fwhm: float = 0.7,
    scale: float = 0.02,
    acs: int = 0,
) -> Mask:
    """Points drawn from a Gaussian density without replacement, and a fully sampled centre.

    The density is the square root of a product of Gaussians of full width `fwhm` (1 is half the k-space), as
    in the published code. The centre is an ellipse of half-axes ``scale H`` and ``scale W``.

    Parameters
    ----------
    shape : (int, int)
    acceleration : float
        Locations over drawn points; the centre lowers what results.
    seed : int or numpy.random.Generator
    fwhm, scale : float
    acs : int
        Side of a fully sampled square on top of it, for the estimation of coil maps (24 or more).
    """
    h, w = _checked(shape, acceleration)
    rng = np.random.default_rng(seed)
    rows, columns = (
        np.exp(-0.25 * (np.linspace(-1, 1, n) / (fwhm / math.sqrt(8 * math.log(2)))) ** 2) for n in (h, w)
    )
    density = np.outer(rows, columns).reshape(-1)
    count = max(1, int(h * w / acceleration))
    chosen = rng.choice(h * w, count, replace=False, p=density / density.sum(), shuffle=False)
    array = np.zeros(h * w, dtype=bool)
    array[chosen] = True
    array = array.reshape(h, w) | _ellipse(h, w, scale)
    return Mask(_with_square(array, acs), "gaussian2d", float(acceleration))


def gaussian1d(
    shape: Sequence[int],
    acceleration: float,
    *,
    seed: Any = 0,
    fwhm: float = 0.7,
    scale: float = 0.02,
    acs: int = 0,
) -> Mask:
    """Columns drawn from a Gaussian density without replacement, and a band in the centre.

    Parameters
    ----------
    shape, acceleration, seed, fwhm
        As in `gaussian2d`.
    scale : float
        Fraction of the columns in the fully sampled band.
    acs : int
        Least number of columns in the band.
    """
    h, w = _checked(shape, acceleration)
    rng = np.random.default_rng(seed)
    density = np.exp(-0.25 * (np.linspace(-1, 1, w) / (fwhm / math.sqrt(8 * math.log(2)))) ** 2)
    chosen = rng.choice(w, max(1, int(w / acceleration)), replace=False, p=density / density.sum())
    lines = _band(w, max(round(w * scale), acs))
    lines[chosen] = True
    return _from_lines(lines, h, "gaussian1d", acceleration)


def equispaced1d(
    shape: Sequence[int],
    acceleration: float,
    *,
    seed: Any = 0,
    center_fraction: float | None = None,
    acs: int = 0,
) -> Mask:
    """Evenly spaced columns from a random offset, and a band in the centre; the fastMRI recipe.

    The spacing makes up for the band, so the true acceleration is near the one asked for.

    Parameters
    ----------
    shape, acceleration, seed
        As in `gaussian2d`.
    center_fraction : float, optional
        Of the columns in the band; ``0.32 / acceleration`` by default (0.08 at 4, 0.04 at 8).
    acs : int
        Least number of columns in the band.
    """
    h, w = _checked(shape, acceleration)
    rng = np.random.default_rng(seed)
    band = max(round(w * (0.32 / acceleration if center_fraction is None else center_fraction)), acs)
    lines = _band(w, band)
    if band * acceleration < w:
        spacing = acceleration * (band - w) / (band * acceleration - w)
        offset = int(rng.integers(0, max(1, round(spacing))))
        lines[np.rint(np.arange(offset, w - 1, spacing)).astype(int)] = True
    return _from_lines(lines, h, "equispaced1d", acceleration)


def random1d(
    shape: Sequence[int],
    acceleration: float,
    *,
    seed: Any = 0,
    center_fraction: float | None = None,
    acs: int = 0,
) -> Mask:
    """Columns kept independently with one probability, and a band in the centre; the fastMRI recipe.

    Parameters
    ----------
    shape, acceleration, seed, center_fraction, acs
        As in `equispaced1d`.
    """
    h, w = _checked(shape, acceleration)
    rng = np.random.default_rng(seed)
    band = max(round(w * (0.32 / acceleration if center_fraction is None else center_fraction)), acs)
    keep = max(0.0, (w / acceleration - band) / max(1, w - band))
    lines = _band(w, band) | (rng.random(w) < keep)
    return _from_lines(lines, h, "random1d", acceleration)


def poisson2d(
    shape: Sequence[int],
    acceleration: float,
    *,
    seed: Any = 0,
    scale: float = 0.02,
    tolerance: float = 0.1,
    acs: int = 0,
) -> Mask:
    """A Poisson disc whose spacing grows with the distance from the centre; corners are left out.

    No two points are closer than ``1 + slope r`` at radius `r` (1 at the edge). Bisection finds the slope
    whose true acceleration, centre included, is within `tolerance` of the one asked for.

    Parameters
    ----------
    shape, acceleration, seed, scale, acs
        As in `gaussian2d`.
    tolerance : float
        In units of the acceleration.

    Raises
    ------
    ValueError
        If no slope gets there, as when the fully sampled centre alone is too large.
    """
    from ...backends.kernels.numba.poisson_disc import poisson_disc

    h, w = _checked(shape, acceleration)
    order = np.random.default_rng(seed).permutation(h * w).astype(np.int64)
    y, x = (np.linspace(-1, 1, n) for n in (h, w))
    radius = np.hypot(y[:, None], x[None, :])
    centre = _with_square(_ellipse(h, w, scale), acs)
    low, high = 0.0, float(max(h, w))
    for _ in range(30):
        slope = 0.5 * (low + high)
        spacing = np.where(radius < 1.0, 1.0 + slope * radius, -1.0)
        mask = Mask(poisson_disc(order, spacing) | centre, "poisson2d", float(acceleration))
        if abs(mask.acceleration - acceleration) <= tolerance:
            return mask
        low, high = (slope, high) if mask.acceleration < acceleration else (low, slope)
    raise ValueError(
        f"acceleration is {acceleration}; no Poisson disc of shape {(h, w)} with this centre comes within "
        f"{tolerance} of it (the nearest has {mask.acceleration:.2f})"
    )


def partial_fourier(mask: Mask, fraction: float = 0.75, *, axis: int = 0) -> Mask:
    """Leave out the first ``1 − fraction`` of the rows (``axis=1``: columns) of a mask: half-scan.

    Examples
    --------
    >>> from sciml.problems.mri import equispaced1d, partial_fourier
    >>> print(partial_fourier(equispaced1d((64, 64), 4), 0.75))
    equispaced1d, 75 % of rows: R = 5.69 (asked for 4), centre 33 x 5
    """
    if not isinstance(fraction, int | float) or not 0.5 < fraction <= 1.0:
        raise ValueError(f"fraction is {fraction!r}; expected more than 0.5 and at most 1")
    if axis not in (0, 1):
        raise ValueError(f"axis is {axis!r}; expected 0 (rows) or 1 (columns)")
    array = mask.array.copy()
    first = round(array.shape[axis] * (1.0 - fraction))
    array[(slice(0, first),) if axis == 0 else (slice(None), slice(0, first))] = False
    kind = f"{mask.kind}, {100 * fraction:g} % of {'rows' if axis == 0 else 'columns'}"
    return replace(mask, array=array, kind=kind)


MASKS: dict[str, Callable[..., Mask]] = {
    "gaussian2d": gaussian2d,
    "gaussian1d": gaussian1d,
    "equispaced1d": equispaced1d,
    "random1d": random1d,
    "poisson2d": poisson2d,
}


def sampling_mask(kind: str, shape: Sequence[int], acceleration: float, **settings: Any) -> Mask:
    """The mask called `kind`; `settings` go to its function.

    Examples
    --------
    >>> from sciml.problems.mri import sampling_mask
    >>> print(sampling_mask("gaussian2d", (128, 128), 8, seed=1))
    gaussian2d: R = 7.95 (asked for 8), centre 4 x 5
    """
    if kind not in MASKS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(MASKS)}")
    return MASKS[kind](shape, acceleration, **settings)


def fully_sampled_centre(mask: np.ndarray) -> tuple[int, int]:
    """Height and width of a centred rectangle without gaps: square as far as it goes, then longer."""
    h, w = mask.shape

    def box(height: int, width: int) -> bool:
        top, left = h // 2 - height // 2, w // 2 - width // 2
        return bool(mask[top : top + height, left : left + width].all())

    height = width = 0
    while height < min(h, w) and box(height + 1, width + 1):
        height, width = height + 1, width + 1
    while width and height < h and box(height + 1, width):
        height += 1
    while height and width < w and box(height, width + 1):
        width += 1
    return height, width


def _checked(shape: Sequence[int], acceleration: float) -> tuple[int, int]:
    if len(shape) != 2 or any(not isinstance(n, int | np.integer) or n < 2 for n in shape):
        raise ValueError(f"shape is {tuple(shape)}; expected two numbers >= 2")
    h, w = int(shape[0]), int(shape[1])
    if not isinstance(acceleration, int | float | np.number) or not 1 <= acceleration <= h * w:
        raise ValueError(f"acceleration is {acceleration!r}; expected a number from 1 to {h * w}")
    return h, w


def _ellipse(h: int, w: int, scale: float) -> np.ndarray:
    y, x = np.arange(h) - h // 2, np.arange(w) - w // 2
    return (y[:, None] / max(scale * h, 1e-9)) ** 2 + (x[None, :] / max(scale * w, 1e-9)) ** 2 <= 1.0


def _with_square(array: np.ndarray, side: int) -> np.ndarray:
    h, w = array.shape
    if side:
        top, left = max(0, h // 2 - side // 2), max(0, w // 2 - side // 2)
        array[top : top + side, left : left + side] = True
    return array


def _band(w: int, width: int) -> np.ndarray:
    lines, width = np.zeros(w, dtype=bool), max(1, width)  # the centre itself is always sampled
    start = w // 2 - width // 2
    lines[max(0, start) : start + width] = True
    return lines


def _from_lines(lines: np.ndarray, h: int, kind: str, nominal: float) -> Mask:
    return Mask(np.repeat(lines[None, :], h, axis=0), kind, float(nominal))
