"""From a geometry to the numbers of its stencil: diagonal codes, face weights, boundary values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .geometry_checks import DIRICHLET, FLUID, SOLID, faces_shape

if TYPE_CHECKING:
    from .stencil import PoissonOperator

__all__ = [
    "NOT_AN_UNKNOWN",
    "assemble_faces",
    "boundary_rhs",
    "coefficient_on_faces",
    "diagonal_codes",
    "layer",
    "neighbours",
]

NOT_AN_UNKNOWN = 255
"""Diagonal code of cells without an unknown. The others count open faces per axis in base 5."""

Faces = tuple[np.ndarray, np.ndarray, np.ndarray]


def diagonal_codes(A: PoissonOperator, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """One byte per cell that names its diagonal: open faces per axis, in base 5.

    A Dirichlet side counts twice (half a cell away), so an axis counts at most 4. The diagonal
    is all a constant-coefficient stencil needs to know of the geometry, because the neighbours
    that do not exist hold zero.
    """
    cells = A.cells.reshape(A.grid3)
    open_cell = (cells != SOLID).view(np.uint8)
    code = np.zeros(A.grid3, dtype=np.uint8)
    for axis in range(3 - len(A.spacing), 3):
        code += np.uint8(5 ** (2 - axis)) * _open_faces(A, open_cell, axis)
    digits = np.arange(125)
    counts = np.stack([digits // 25, digits // 5 % 5, digits % 5])
    table = np.full(256, scale)
    table[:125] = np.asarray(A.weights3) @ counts + float(A.shift)
    code[cells != FLUID] = NOT_AN_UNKNOWN
    if float(A.shift) == 0.0:
        code[code == 0] = NOT_AN_UNKNOWN  # a fluid cell walled in on all sides: 0 x = b
    return code, table


def _open_faces(A: PoissonOperator, open_cell: np.ndarray, axis: int) -> np.ndarray:
    count = np.zeros(A.grid3, dtype=np.uint8)
    low, high = A.bc[axis - 3]
    here, there = neighbours(axis)
    count[here] += open_cell[there]
    count[there] += open_cell[here]
    first, last = layer(axis, 0), layer(axis, -1)
    if A.periodic3[axis]:
        count[first] += open_cell[last]
        count[last] += open_cell[first]
    elif low != "periodic":
        count[first] += np.uint8(2 if low == "dirichlet" else 0)
        count[last] += np.uint8(2 if high == "dirichlet" else 0)
    return count


def assemble_faces(A: PoissonOperator, scale: float) -> tuple[Faces, np.ndarray, np.ndarray]:
    """Face weights (lower face of each cell), diagonal and codes, for variable coefficients."""
    ndim, pad = len(A.spacing), 3 - len(A.spacing)
    cells = A.cells.reshape(A.grid3)
    fluid, solid = cells == FLUID, cells == SOLID
    diagonal = np.broadcast_to(np.reshape(A.shift, (1,) * pad + np.shape(A.shift)), A.grid3).astype(float)
    faces = [np.zeros(A.grid3) for _ in range(3)]
    for a in range(ndim):
        axis, weight = a + pad, A.weights3[a + pad]
        k = coefficient_on_faces(A, a).reshape(faces_shape(A.grid3, axis))
        k_low, k_high = np.delete(k, -1, axis=axis), np.delete(k, 0, axis=axis)
        here, there = neighbours(axis)
        first, last = layer(axis, 0), layer(axis, -1)
        flux = np.zeros(A.grid3)  # weight of the lower face wherever it is open
        flux[here] = weight * k_low[here] * ~(solid[here] | solid[there])
        low, high = A.bc[a]
        if low == "periodic":
            if A.periodic3[axis]:
                flux[first] = weight * k_low[first] * ~(solid[first] | solid[last])
            upper = np.roll(flux, -1, axis=axis)
        else:
            upper = np.zeros(A.grid3)
            upper[there] = flux[here]
            if low == "dirichlet":
                diagonal[first] += 2.0 * weight * k_low[first]
            if high == "dirichlet":
                diagonal[last] += 2.0 * weight * k_high[last]
        diagonal += flux + upper
        both = np.zeros(A.grid3, dtype=bool)
        both[here] = fluid[here] & fluid[there]
        if A.periodic3[axis]:
            both[first] = fluid[first] & fluid[last]
        faces[axis] = np.where(both, flux, 0.0)
    walled_in = fluid & (diagonal == 0.0)
    diagonal[~fluid | walled_in] = scale
    code = np.where(fluid & ~walled_in, np.uint8(0), np.uint8(NOT_AN_UNKNOWN))
    return (faces[0], faces[1], faces[2]), diagonal, code


def coefficient_on_faces(A: PoissonOperator, axis: int) -> np.ndarray:
    """`k` on the ``n + 1`` faces along `axis`."""
    given = A._face_coefficients
    if given is None:
        return np.ones(faces_shape(A.cells.shape, axis))
    if isinstance(given, tuple):
        return given[axis]
    low = np.take(given, [0], axis=axis)
    high = np.take(given, [-1], axis=axis)
    if A.bc[axis][0] == "periodic":
        low, high = high, low
    padded = np.concatenate([low, given, high], axis=axis)
    left, right = np.delete(padded, -1, axis=axis), np.delete(padded, 0, axis=axis)
    return 2.0 * left * right / (left + right)


def boundary_rhs(A: PoissonOperator, value: Any) -> np.ndarray:
    """See `PoissonOperator.boundary_rhs`."""
    functions = value if isinstance(value, dict) else {"dirichlet": value, "neumann": value}
    unknown_keys = set(functions) - {"dirichlet", "neumann"}
    if unknown_keys:
        raise ValueError(f"value has keys {sorted(unknown_keys)}; expected 'dirichlet' and 'neumann'")
    b = np.zeros(A.in_shape)
    fluid = A.fluid
    for axis, sides in enumerate(A.bc):
        h = A.spacing[axis]
        k = coefficient_on_faces(A, axis)
        for side, kind in zip((0, -1), sides, strict=True):
            if kind == "periodic" or kind not in functions:
                continue
            where = layer(axis, side, len(A.in_shape))
            points = A.coordinates()
            on_side = 0.0 if side == 0 else A.in_shape[axis] * h
            points[axis] = np.full((1,) * len(A.in_shape), on_side)
            boundary = np.broadcast_to(functions[kind](*points), b[where].shape)
            factor = 2.0 * k[where] / h**2 if kind == "dirichlet" else 1.0 / h
            b[where] += factor * boundary
    if "dirichlet" in functions and np.any(A.cells == DIRICHLET):
        inside = np.where(A.cells == DIRICHLET, functions["dirichlet"](*A.coordinates()), 0.0)
        for axis, weight in enumerate(w for w in A.weights3[3 - len(A.in_shape) :]):
            here, there = neighbours(axis, len(A.in_shape))
            k = coefficient_on_faces(A, axis)
            lower = np.delete(k, -1, axis=axis)
            b[here] += weight * lower[here] * inside[there]
            b[there] += weight * lower[here] * inside[here]
            if A.bc[axis][0] == "periodic":
                first, last = (layer(axis, i, len(A.in_shape)) for i in (0, -1))
                b[first] += weight * lower[first] * inside[last]
                b[last] += weight * lower[first] * inside[first]
    return np.where(fluid, b, 0.0)


def neighbours(axis: int, ndim: int = 3) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all cells that have a lower neighbour along `axis`, and of those neighbours."""
    here, there = [slice(None)] * ndim, [slice(None)] * ndim
    here[axis], there[axis] = slice(1, None), slice(None, -1)
    return tuple(here), tuple(there)


def layer(axis: int, side: int, ndim: int = 3) -> tuple[slice, ...]:
    """Slice of the first (``side=0``) or last (``side=-1``) layer along `axis`, keeping the axis."""
    where = [slice(None)] * ndim
    where[axis] = slice(0, 1) if side == 0 else slice(-1, None)
    return tuple(where)
