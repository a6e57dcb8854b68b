"""Diffusion problems with coefficients that are hard for multigrid: anisotropy and jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..operators.geometry_checks import check_shape
from .geometry import obstacle_mask
from .poisson import _build, check_seed, side_lengths
from .problem import Problem

__all__ = ["anisotropic", "jump_coefficient"]

ORIENTATIONS = ("aligned", "checkerboard", "swirl")

_SQUARE = 7
"""Cells per side of the "squares" pattern: no power of two, so that coarse cells straddle its borders."""


def anisotropic(
    shape: Sequence[int],
    *,
    epsilon: float = 0.01,
    orientation: str = "aligned",
    bc: Any = "dirichlet",
    rhs: str = "random",
    seed: int = 0,
    dtype: Any = "float64",
    backend: str = "numpy",
    device: Any = None,
    length: float = 1.0,
) -> Problem:
    """An anisotropic problem ``−∇·(K ∇u) = f`` with `K` diagonal in the grid's axes.

    Parameters
    ----------
    epsilon : float
        Coefficient along the weak axis; values above one make that axis the strong one.
    orientation : {"aligned", "checkerboard", "swirl"}
        ``"aligned"``: ``−u_xx (− u_yy) − ε u_zz``, weak along the last axis. Stretching that coordinate by
        ``1/√ε`` makes it the plain Laplacian on stretched cells, which is how the operator is built;
        `Problem.grid` holds the stretched spacing. ``"checkerboard"``: the weak axis is another one from each
        of 4 blocks per axis to the next. ``"swirl"``: strong along the direction that runs around the centre,
        in its two components along the first and last axis (a 5/7-point stencil has no mixed derivatives).
    shape, bc, rhs, seed, dtype, backend, device, length
        As in `poisson`.

    Examples
    --------
    >>> from sciml.problems import anisotropic
    >>> anisotropic((16, 16), epsilon=0.01).grid.spacing
    (0.0625, 0.625)
    """
    if not isinstance(epsilon, int | float) or not math.isfinite(epsilon) or epsilon <= 0:
        raise ValueError(f"epsilon is {epsilon!r}; expected a positive number")
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation is {orientation!r}; expected one of {', '.join(ORIENTATIONS)}")
    name = f"anisotropic (ε = {epsilon:g}{'' if orientation == 'aligned' else ', ' + orientation})"
    rest = (rhs, seed, dtype, backend, device)
    if orientation == "aligned":
        cells = [float(h) for h in side_lengths(shape, length)]
        cells[-1] /= math.sqrt(epsilon)
        return _build(name, shape, bc, None, *rest, cells)
    shape = check_shape(shape)
    along = _turning(shape, float(epsilon), orientation)
    return _build(name, shape, bc, None, *rest, length, coefficient=along)


def jump_coefficient(
    shape: Sequence[int],
    *,
    contrast: float = 1e4,
    pattern: str = "checkerboard",
    bc: Any = "dirichlet",
    rhs: str = "random",
    seed: int = 0,
    dtype: Any = "float64",
    backend: str = "numpy",
    device: Any = None,
    length: float | Sequence[float] = 1.0,
) -> Problem:
    """A diffusion problem ``−∇·(k ∇u) = f`` whose `k` jumps between 1 and `contrast`.

    Parameters
    ----------
    contrast : float
        The largest (or smallest) value of `k`, positive.
    pattern : {"checkerboard", "balls", "layers", "squares", "oblique", "random"}
        Where it holds: every other of 4 blocks per axis; random balls; every other of 8 layers across the
        first axis; every other square (cube) of 7 cells, which no coarse grid fits; every other of 8 layers
        across a random direction. ``"random"``: every block of 4 cells has a value of its own between 1 and
        `contrast`, uniform in the logarithm.
    shape, bc, rhs, seed, dtype, backend, device, length
        As in `poisson`; ``rhs="manufactured"`` gives the exact discrete solution.

    Examples
    --------
    >>> from sciml.problems import jump_coefficient
    >>> print(jump_coefficient((16, 16), contrast=1e3, pattern="layers"))
    jump coefficient (layers, 1000:1) 16x16, 256 unknowns, dirichlet sides
    """
    if not isinstance(contrast, int | float) or not math.isfinite(contrast) or contrast <= 0:
        raise ValueError(f"contrast is {contrast!r}; expected a positive number")
    if pattern not in JUMP_PATTERNS:
        raise ValueError(f"pattern is {pattern!r}; expected one of {', '.join(JUMP_PATTERNS)}")
    shape = check_shape(shape)
    power = JUMP_PATTERNS[pattern](shape, check_seed(seed))
    coefficient = float(contrast) ** np.broadcast_to(power, shape).astype(float)
    name = f"jump coefficient ({pattern}, {contrast:g}:1)"
    return _build(name, shape, bc, None, rhs, seed, dtype, backend, device, length, coefficient=coefficient)


# -- where the coefficient is high: exponents of the contrast between 0 and 1 -----------------
def _every_other(indices: Sequence[np.ndarray]) -> np.ndarray:
    total: np.ndarray = sum(np.meshgrid(*indices, indexing="ij", sparse=True))  # type: ignore[assignment]
    return total % 2 == 1


def _checkerboard(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return _every_other([np.arange(n) * 4 // n for n in shape])


def _layers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return (np.arange(shape[0]) * 8 // shape[0] % 2 == 1).reshape((-1,) + (1,) * (len(shape) - 1))


def _squares(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return _every_other([np.arange(n) // _SQUARE for n in shape])


def _oblique(shape: tuple[int, ...], seed: int) -> np.ndarray:
    direction = np.random.default_rng([seed, 0xD1]).standard_normal(len(shape))
    direction /= np.linalg.norm(direction)
    axes = [c * (np.arange(n) + 0.5) / max(shape) for c, n in zip(direction, shape, strict=True)]
    return np.floor(8 * sum(np.meshgrid(*axes, indexing="ij", sparse=True))) % 2 == 1


def _random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    power = np.random.default_rng([seed, 0xD2]).random([-(-n // 4) for n in shape])
    for axis in range(len(shape)):
        power = np.repeat(power, 4, axis=axis)
    return power[tuple(slice(n) for n in shape)]


JUMP_PATTERNS: dict[str, Callable[[tuple[int, ...], int], np.ndarray]] = {
    "checkerboard": _checkerboard,
    "balls": lambda shape, seed: obstacle_mask("balls", shape, seed),
    "layers": _layers,
    "squares": _squares,
    "oblique": _oblique,
    "random": _random,
}


def _turning(shape: tuple[int, ...], epsilon: float, orientation: str) -> tuple[np.ndarray, ...]:
    """Coefficient on the faces of each axis; the axis that is weak depends on the place."""
    ndim, last = len(shape), len(shape) - 1
    cells = [np.ones(shape) for _ in shape]
    if orientation == "checkerboard":
        blocks = np.meshgrid(*(np.arange(n) * 4 // n for n in shape), indexing="ij", sparse=True)
        weak = np.broadcast_to(sum(blocks) % ndim, shape)
        for axis in range(ndim):
            cells[axis][weak == axis] = epsilon
    else:
        centred = [(np.arange(n) + 0.5) / n - 0.5 for n in (shape[0], shape[last])]
        x, y = np.meshgrid(*centred, indexing="ij")
        cosine2 = y**2 / np.maximum(x**2 + y**2, 1e-12)  # of the angle between the first axis and the swirl
        place = (slice(None),) + (None,) * (ndim - 2) + (slice(None),)
        cells[0][...] = (cosine2 + epsilon * (1 - cosine2))[place]
        cells[last][...] = (1 - cosine2 + epsilon * cosine2)[place]
    return tuple(_harmonic(k, axis) for axis, k in enumerate(cells))


def _harmonic(k: np.ndarray, axis: int) -> np.ndarray:
    """Harmonic means on the faces along `axis`; the outermost faces take the value of their cell."""
    low, high = np.take(k, [0], axis=axis), np.take(k, [-1], axis=axis)
    padded = np.concatenate([low, k, high], axis=axis)
    left, right = np.delete(padded, -1, axis=axis), np.delete(padded, 0, axis=axis)
    return 2.0 * left * right / (left + right)
