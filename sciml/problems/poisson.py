"""Ready-made Poisson and heat systems on grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..operators import PoissonOperator
from ..operators.geometry_checks import check_shape
from .geometry import GEOMETRIES, obstacle_mask
from .manufactured import Manufactured
from .noise import Box, normal, whole
from .problem import Grid, Problem, size_name, to_backend

__all__ = ["heat", "open_top", "poisson"]

RIGHT_HAND_SIDES = ("random", "smooth", "manufactured")


def poisson(
    shape: Sequence[int],
    *,
    bc: Any = None,
    obstacles: Any = None,
    rhs: str = "random",
    seed: int = 0,
    dtype: Any = "float64",
    backend: str = "numpy",
    device: Any = None,
    length: float | Sequence[float] = 1.0,
) -> Problem:
    """A Poisson problem in a box, with obstacles if wanted.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis, two or three axes of any size.
    bc : str or sequence, optional
        As `PoissonOperator` takes it, or ``"open-top"``: no flux through any side but the high side of the
        last axis, where the value is zero. Default: Dirichlet on all sides of an empty box, ``"open-top"``
        with obstacles. Obstacles themselves let no flux through.
    obstacles : None, str or array of bool
        ``"balls"``, ``"boxes"``, ``"channels"``, ``"walls"``, ``"porous"`` (see `obstacle_mask`), or a
        mask of the grid, True in solid cells. In the named geometries fluid that no Dirichlet side reaches
        is filled, so that the system is regular (without any Dirichlet side, all but the largest region is
        filled); a given mask is used as it is.
    rhs : {"random", "smooth", "manufactured"}
        Standard normal values; a smooth source and sink; or the source of a known solution.
    seed : int
        Of the geometry and the random right-hand side.
    dtype : {"float64", "float32"}
    backend : {"numpy", "torch", "cupy", "array-api-strict"}
    device : optional
        Device of `b`, as the backend names it.
    length : float or sequence of float
        Length of the longest side (cells are cubes), or of every side.

    Returns
    -------
    Problem

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit; the message names the argument, its value and what was expected.

    Examples
    --------
    >>> from sciml import cg
    >>> from sciml.problems import poisson
    >>> problem = poisson((32, 32, 32), obstacles="balls")
    >>> print(problem)
    poisson 32x32x32 balls, 31,007 unknowns, dirichlet/neumann sides, 5.4 % solid
    >>> cg(problem.A, problem.b, rtol=1e-6).converged
    True
    """
    return _build("poisson", shape, bc, obstacles, rhs, seed, dtype, backend, device, length)


def heat(
    shape: Sequence[int],
    dt: float,
    *,
    kappa: float = 1.0,
    bc: Any = "dirichlet",
    obstacles: Any = None,
    rhs: str = "smooth",
    seed: int = 0,
    dtype: Any = "float64",
    backend: str = "numpy",
    device: Any = None,
    length: float | Sequence[float] = 1.0,
) -> Problem:
    """One implicit Euler step of the heat equation ``∂u/∂t = κ Δu``.

    Divided by ``κ``, the step is ``(−Δ + c) u_new = c u_old`` with ``c = 1/(κ Δt)``.

    Parameters
    ----------
    shape : sequence of int
    dt : float
        Time step, in the unit of ``length² / kappa``.
    kappa : float
        Diffusivity.
    rhs : {"smooth", "random", "manufactured"}
        The old state `u_old`: smooth, or random; ``"manufactured"`` instead prescribes the new state and
        takes the source that leads there.
    bc, obstacles, seed, dtype, backend, device, length
        As in `poisson`.

    Examples
    --------
    >>> from sciml.problems import heat
    >>> float(heat((8, 8), dt=0.01, kappa=0.5).A.shift)
    200.0
    """
    for name, value in (("dt", dt), ("kappa", kappa)):
        if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"{name} is {value!r}; expected a positive number")
    shift = 1.0 / (kappa * dt)
    return _build("heat", shape, bc, obstacles, rhs, seed, dtype, backend, device, length, shift=shift)


def open_top(ndim: int) -> list[tuple[str, str]]:
    """Boundary conditions of a box open at the high side of its last axis and closed elsewhere."""
    return [("neumann", "neumann")] * (ndim - 1) + [("neumann", "dirichlet")]


def _build(
    name: str, shape: Sequence[int], bc: Any, obstacles: Any, rhs: str, seed: int, dtype: Any, backend: str,
    device: Any, length: Any, *, shift: float = 0.0, coefficient: Any = None,
) -> Problem:  # fmt: skip
    shape = check_shape(shape)
    seed = check_seed(seed)
    if rhs not in RIGHT_HAND_SIDES:
        raise ValueError(f"rhs is {rhs!r}; expected one of {', '.join(RIGHT_HAND_SIDES)}")
    spacing = tuple(side / n for side, n in zip(side_lengths(shape, length), shape, strict=True))
    if bc is None:
        bc = "dirichlet" if obstacles is None else "open-top"
    if isinstance(bc, str) and bc == "open-top":
        bc = open_top(len(shape))
    settings = {
        "spacing": spacing, "bc": bc, "shift": shift, "coefficient": coefficient, "dtype": dtype,
        "backend": backend, "device": device,
    }  # fmt: skip
    A, mask, label, notes = _operator_with_obstacles(shape, obstacles, seed, settings)
    grid = Grid(shape, A.spacing)
    b, exact = _right_hand_side(A, grid, mask, rhs, seed)
    if rhs == "manufactured" and (mask is not None or coefficient is not None):
        notes += ("exact is the discrete solution: obstacles and jumps leave no closed form",)
    return Problem(
        name=f"{name} {size_name(shape)}{label}",
        A=A,
        b=to_backend(b, backend, device),
        grid=grid,
        mask=mask,
        exact=None if exact is None else to_backend(exact, backend, device),
        notes=notes,
    )


def _operator_with_obstacles(
    shape: tuple[int, ...], obstacles: Any, seed: int, settings: dict[str, Any]
) -> tuple[PoissonOperator, np.ndarray | None, str, tuple[str, ...]]:
    if obstacles is None:
        return PoissonOperator(shape, **settings), None, "", ()
    if not isinstance(obstacles, str):
        mask = np.asarray(obstacles)
        if mask.dtype != bool:
            raise TypeError(
                f"obstacles has dtype {mask.dtype}; expected a boolean mask or one of {', '.join(GEOMETRIES)}"
            )
        if mask.shape != shape:
            raise ValueError(f"obstacles has shape {mask.shape}; expected {shape}")
        return PoissonOperator(shape, cells=mask, **settings), mask, " given mask", ()
    mask = obstacle_mask(obstacles, shape, seed)
    A = PoissonOperator(shape, cells=mask, **settings)
    filled = _unreachable(A)
    if filled is None:
        return A, mask, f" {obstacles}", ()
    count = int(np.count_nonzero(filled))
    mask |= filled
    A = PoissonOperator(shape, cells=mask, **settings)
    return A, mask, f" {obstacles}", (f"enclosed fluid was filled: {count} cell(s)",)


def _unreachable(A: PoissonOperator) -> np.ndarray | None:
    """Cells of singular fluid regions, the largest spared when there is no regular one."""
    if A.singular is None:
        return None
    labels = A.singular.labels.reshape(A.in_shape)
    cut_off = labels > 0
    if np.count_nonzero(cut_off) == np.count_nonzero(A.cells == 0):
        if A.singular.count == 1:
            return None
        cut_off &= labels != 1 + int(np.argmax(A.singular.sizes))
    return cut_off


def _right_hand_side(
    A: PoissonOperator, grid: Grid, mask: np.ndarray | None, rhs: str, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    exact = None
    if rhs != "manufactured":
        b = source(rhs, grid.shape, seed, dtype=A.dtype)
    elif mask is None and A.faces is None:
        # Not homogeneous: a product of waves would be an eigenvector, which CG finds in one iteration.
        solution = Manufactured(A.bc, grid.lengths, homogeneous=False, shift=float(A.shift))
        x = grid.coordinates()
        b = (solution.source(*x) + A.boundary_rhs(solution.boundary)).astype(A.dtype)
        exact = solution.exact(*x).astype(A.dtype)
    else:
        solution = Manufactured(A.bc, grid.lengths, homogeneous=False)
        exact = A.project(np.where(A.fluid, solution.exact(*grid.coordinates()), 0.0)).astype(A.dtype)
        b = _apply(A, exact)
    if float(A.shift) > 0 and rhs != "manufactured":
        b *= A.dtype.type(A.shift)  # the old state of an implicit heat step, times c
    if mask is not None or A.singular is not None:
        b[~A.fluid] = 0
    return A.project(b), exact


def _apply(A: PoissonOperator, x: np.ndarray) -> np.ndarray:
    """``A x`` on the CPU, whatever the backend of `A`."""
    import copy

    on_cpu = copy.copy(A)
    on_cpu.backend, on_cpu._device = "numpy", None
    on_cpu.__dict__.pop("_geometry_cache", None)
    return on_cpu._apply(x)


def source(
    rhs: str, shape: Sequence[int], seed: int, *, dtype: Any = "float64", box: Box | None = None
) -> np.ndarray:
    """The right-hand side ``"random"`` or ``"smooth"`` on the part `box` of a grid, obstacles ignored.

    Examples
    --------
    >>> from sciml.problems.poisson import source
    >>> source("smooth", (64, 64), seed=0, box=(slice(0, 8), slice(60, 64))).shape
    (8, 4)
    """
    if rhs == "random":
        return normal(shape, [seed, 0xB], dtype=dtype, box=box)
    return _source_and_sink(shape, np.dtype(dtype), whole(shape) if box is None else box)


def _source_and_sink(shape: Sequence[int], dtype: np.dtype, box: Box) -> np.ndarray:
    """A Gaussian source and a weaker sink, separable, so that no temporary has the size of the grid."""
    b = np.zeros([part.stop - part.start for part in box], dtype=dtype)
    for centre, strength in ((0.3, 1.0), (0.7, -0.5)):
        axes = [
            np.exp(-(((np.arange(part.start, part.stop) + 0.5) / n - centre) ** 2) / (2 * 0.12**2))
            for part, n in zip(box, shape, strict=True)
        ]
        axes = [a.astype(dtype) for a in axes]
        rest = axes[1] if len(axes) == 2 else np.multiply.outer(axes[1], axes[2])
        for i, weight in enumerate(axes[0]):
            b[i] += dtype.type(strength * weight) * rest
    return b


# -- argument checks --------------------------------------------------------------------------
def check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}; expected an integer >= 0")
    return int(seed)


def side_lengths(shape: Sequence[int], length: Any) -> list[float]:
    shape = check_shape(shape)
    if np.ndim(length) == 0:
        h = float(length) / max(shape)
        sides = [n * h for n in shape]
    else:
        sides = [float(side) for side in length]
    if len(sides) != len(shape) or not all(math.isfinite(side) and side > 0 for side in sides):
        raise ValueError(f"length is {length!r}; expected a positive number or {len(shape)} of them")
    return sides
