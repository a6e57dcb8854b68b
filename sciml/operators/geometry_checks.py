"""Argument checks of the Poisson operator: one clear error each, before any work starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "BOUNDARY_CONDITIONS",
    "DIRICHLET",
    "FLUID",
    "SOLID",
    "check_bc",
    "check_cells",
    "check_coefficient",
    "check_shape",
    "check_shift",
    "check_spacing",
    "faces_shape",
]

FLUID, SOLID, DIRICHLET = 0, 1, 2
"""Cell marks: an unknown; no flow through its faces; value prescribed (zero in the operator)."""

BOUNDARY_CONDITIONS = ("dirichlet", "neumann", "periodic")


def faces_shape(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    """Shape of the faces normal to `axis`: one more than there are cells along it."""
    return tuple(n + (a == axis) for a, n in enumerate(shape))


def check_shape(shape: Any) -> tuple[int, ...]:
    try:
        checked = tuple(int(n) for n in shape)
    except TypeError:
        raise TypeError(f"shape is {shape!r}; expected a sequence of two or three integers") from None
    if (
        len(checked) not in (2, 3)
        or min(checked) < 1
        or any(n != m for n, m in zip(checked, shape, strict=True))
    ):
        raise ValueError(f"shape is {shape!r}; expected two or three positive integers")
    return checked


def check_spacing(spacing: Any, ndim: int) -> tuple[float, ...]:
    values = tuple(float(h) for h in (spacing if np.ndim(spacing) else [spacing] * ndim))
    if len(values) != ndim or not all(math.isfinite(h) and h > 0 for h in values):
        raise ValueError(f"spacing is {spacing!r}; expected a positive number or {ndim} of them")
    return values


def check_bc(bc: Any, ndim: int) -> tuple[tuple[str, str], ...]:
    expected = (
        f"expected one of {', '.join(BOUNDARY_CONDITIONS)}, or {ndim} entries (one per axis), "
        "each a name or a pair (low side, high side)"
    )
    axes = [bc] * ndim if isinstance(bc, str) else list(bc)
    if len(axes) != ndim:
        raise ValueError(f"bc is {bc!r}; {expected}")
    pairs = []
    for axis in axes:
        pair = (axis, axis) if isinstance(axis, str) else tuple(axis)
        if len(pair) != 2 or any(side not in BOUNDARY_CONDITIONS for side in pair):
            raise ValueError(f"bc is {bc!r}; {expected}")
        if (pair[0] == "periodic") != (pair[1] == "periodic"):
            raise ValueError(f"bc is {bc!r}; a periodic axis is periodic on both of its sides")
        pairs.append(pair)
    return tuple(pairs)


def check_cells(cells: Any, shape: tuple[int, ...]) -> np.ndarray:
    if cells is None:
        return np.zeros(shape, dtype=np.uint8)
    marks = np.asarray(cells)
    if marks.shape != shape:
        raise ValueError(f"cells has shape {marks.shape}; expected {shape}")
    if marks.dtype.kind not in "bui":
        raise TypeError(f"cells has dtype {marks.dtype}; expected booleans (True = solid) or integer marks")
    if marks.size and (marks.min() < FLUID or marks.max() > DIRICHLET):
        raise ValueError(
            f"cells holds marks {np.unique(marks)[:5]}; expected 0 (fluid), 1 (solid), 2 (Dirichlet)"
        )
    marks = np.ascontiguousarray(marks).astype(np.uint8, copy=False)
    if not np.any(marks == FLUID):
        raise ValueError("cells marks no fluid cell; expected at least one unknown")
    return marks


def check_shift(shift: Any, shape: tuple[int, ...]) -> Any:
    values = np.asarray(shift, dtype=float)
    if values.shape not in ((), shape):
        raise ValueError(f"shift has shape {values.shape}; expected a number or an array of shape {shape}")
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError("shift must be finite and non-negative; the operator would be indefinite")
    return float(values) if values.shape == () else values


def check_coefficient(coefficient: Any, shape: tuple[int, ...]) -> Any:
    if coefficient is None:
        return None
    if isinstance(coefficient, tuple | list):
        if len(coefficient) != len(shape):
            raise ValueError(
                f"coefficient holds {len(coefficient)} face arrays; expected {len(shape)}, one per axis"
            )
        faces = tuple(np.asarray(k, dtype=float) for k in coefficient)
        for axis, k in enumerate(faces):
            if k.shape != faces_shape(shape, axis):
                raise ValueError(
                    f"coefficient[{axis}] has shape {k.shape}; expected {faces_shape(shape, axis)}"
                )
            if not np.all(np.isfinite(k)) or np.any(k < 0):
                raise ValueError(f"coefficient[{axis}] must be finite and non-negative on every face")
        return faces
    values = np.asarray(coefficient, dtype=float)
    if values.shape != shape:
        raise ValueError(f"coefficient has shape {values.shape}; expected {shape}, or a tuple of face arrays")
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise ValueError("coefficient must be finite and positive in every cell")
    return values
