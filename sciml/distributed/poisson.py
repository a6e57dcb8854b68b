"""Poisson problems of which every rank makes and holds only its own part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.ndimage

from ..backends.kernels.numba import stencil
from ..backends.threads import parallel
from ..operators import PoissonOperator
from ..operators.geometry_checks import FLUID, SOLID, check_bc, check_cells, check_shape, check_spacing
from ..problems.geometry import GEOMETRIES, obstacle_mask
from ..problems.manufactured import Manufactured
from ..problems.poisson import RIGHT_HAND_SIDES, check_seed, open_top, side_lengths, source
from ..problems.problem import Grid, size_name
from .engine import clean_up, load_petsc, python_matrix
from .layout import Halo, Layout

__all__ = ["DistributedPoisson", "DistributedProblem", "poisson"]


class DistributedPoisson:
    """`sciml.PoissonOperator` with constant coefficients, divided among ranks, matrix-free.

    Every rank applies the serial operator's compiled kernel to its own box with one layer of ghost cells.

    Parameters
    ----------
    layout : Layout
    spacing : float or sequence of float
    bc : str or sequence
        As `PoissonOperator` takes it; at least one Dirichlet side, or a positive `shift`.
    cells : ndarray, optional
        Marks of this rank's own cells: True or ``SOLID`` where solid, ``FLUID`` elsewhere. Fluid that no
        Dirichlet side reaches is taken as it is; see `unreachable`.
    shift : float

    Attributes
    ----------
    shape : tuple of int
        As of the matrix.
    in_shape : tuple of int
        Of the part of a vector that a rank holds.
    local : PoissonOperator
        On this rank's box with its ghost cells; sides that continue on other ranks are Dirichlet there, which
        changes ghost cells only.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        spacing: float | Sequence[float] = 1.0,
        bc: Any = "dirichlet",
        cells: np.ndarray | None = None,
        shift: float = 0.0,
    ):
        self.layout = layout
        self.bc = check_bc(bc, len(layout.shape))
        self.spacing = check_spacing(spacing, len(layout.shape))
        self.shift = float(shift)
        n = int(np.prod(layout.shape))
        self.shape, self.in_shape, self.dtype = (n, n), layout.local_shape, np.dtype(np.float64)
        self.halo = Halo(layout)
        self.cells = None if cells is None else np.asarray(cells).astype(np.uint8)
        self.local = self.on_box(self.halo)
        self.fluid = self.local.fluid[self.halo.inner]
        self.unknowns = layout.total(int(np.count_nonzero(self.fluid)))
        if self.unknowns == 0:
            raise ValueError("the obstacles fill the whole box; expected at least one fluid cell")

    def on_box(self, halo: Halo) -> PoissonOperator:
        """The serial operator on this rank's box with the ghost cells of `halo`."""
        cells = None if self.cells is None else halo.exchange(self.cells)
        if cells is not None and not np.any(cells == FLUID):
            raise ValueError(
                f"rank {self.layout.comm.rank} of {self.layout.comm.size} holds no fluid cell; expected some "
                "on every rank, so use fewer ranks or another geometry"
            )
        sides = [
            tuple("dirichlet" if cut else side for side, cut in zip(pair, cuts, strict=True))
            for pair, cuts in zip(self.bc, halo.cut, strict=True)
        ]
        # An axis of one cell may be called periodic: it has no neighbours and no sides.
        sides = [("neumann", "neumann") if "periodic" in pair else pair for pair in sides]
        return PoissonOperator(halo.shape, spacing=self.spacing, bc=sides, cells=cells, shift=self.shift)

    @cached_property
    def outside(self) -> float:
        """The equation ``outside x = b`` of cells without an unknown."""
        return float(self.local.diagonal_table[-1])

    @cached_property
    def scratch(self) -> tuple[np.ndarray, Any, np.ndarray]:
        """Two padded arrays with ghost cells for whoever works on the grid; between them PETSc's view of the
        first."""
        x, view = self.halo.array()
        return x, view, self.halo.array()[0]

    @cached_property
    def matrix(self) -> Any:
        """The operator as a PETSc matrix without entries (MATSHELL)."""
        layout = self.layout
        rows = (layout.cells, self.shape[0])
        mat = python_matrix(rows, rows, _Stencil(self), layout.comm)
        mat.setOption(mat.Option.SYMMETRIC, True)
        mat.setOption(mat.Option.SPD, True)
        return mat

    def assembled(self) -> Any:
        """The same matrix with its entries (AIJ), as algebraic multigrid wants it."""
        layout, halo = self.layout, self.halo
        numbers = halo.exchange(_numbers(layout)).reshape(-1).astype(np.int64)
        inner = np.zeros(halo.shape, dtype=bool)
        inner[halo.inner] = True
        rows = self.local.tocsr()[np.flatnonzero(inner)]
        index = load_petsc().IntType
        csr = (rows.indptr.astype(index), numbers[rows.indices].astype(index), rows.data)
        sizes = (layout.cells, self.shape[0])
        mat = load_petsc().Mat().createAIJ((sizes, sizes), csr=csr, comm=layout.comm)
        mat.setOption(mat.Option.SYMMETRIC, True)
        mat.setOption(mat.Option.SPD, True)
        return mat

    def __repr__(self) -> str:
        ranks = self.layout.comm.size
        return f"<DistributedPoisson {size_name(self.layout.shape)} cells on {ranks} rank(s)>"


class _Stencil:
    """What PETSc calls for a product with a `DistributedPoisson`."""

    def __init__(self, A: DistributedPoisson):
        grid = A.local.kernel_grid
        self._planes, self._grain, self._kernel = grid.shape[0], grid.grain, grid.stencil(np.float64)
        self._halo, self._own_shape, self._outside = A.halo, A.in_shape, A.outside
        self._x, self._view, self._y = A.scratch
        self._local = A.local
        self._blank = np.flatnonzero(A.local.code == 255)
        self._own_blank = np.flatnonzero(~A.fluid)

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        halo = self._halo
        halo.dm.globalToLocal(x, self._view)
        self._x[self._blank] = 0  # kernels read zeros in cells without an unknown
        parallel(stencil.apply, self._planes, self._x, self._y, self._kernel, grain=self._grain)
        out = y.array.reshape(self._own_shape)
        out[...] = self._y[: halo.cells].reshape(halo.shape)[halo.inner]
        out.reshape(-1)[self._own_blank] = self._outside * x.array_r[self._own_blank]

    def multTranspose(self, mat: Any, x: Any, y: Any) -> None:  # noqa: N802 (PETSc's name)
        self.mult(mat, x, y)

    def getDiagonal(self, mat: Any, d: Any) -> None:  # noqa: N802
        diagonal = self._local.diagonal().reshape(self._local.in_shape)
        d.array[:] = diagonal[self._halo.inner].reshape(-1)


def _numbers(layout: Layout) -> np.ndarray:
    """PETSc's number of each of this rank's cells."""
    first, last = layout.vector().getOwnershipRange()
    return np.arange(first, last, dtype=np.float64).reshape(layout.local_shape)


@dataclass(frozen=True, eq=False)
class DistributedProblem:
    """`sciml.problems.Problem` divided among ranks: arrays hold this rank's part, ``layout.box`` says which.

    Attributes
    ----------
    name, A, b, grid, mask, exact, notes
        As of `sciml.problems.Problem`; `grid` is that of the whole problem.
    layout : Layout
    """

    name: str
    A: DistributedPoisson
    b: np.ndarray
    grid: Grid
    layout: Layout
    mask: np.ndarray | None = None
    exact: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def unknowns(self) -> int:
        """Number of unknowns on all ranks."""
        return self.A.unknowns

    def error(self, x: np.ndarray) -> float:
        """Relative error of `x` against `exact` in the 2-norm over all ranks."""
        if self.exact is None:
            raise ValueError(
                f"{self.name} knows no exact solution; expected a problem with rhs='manufactured'"
            )
        difference = x.reshape(self.exact.shape) - self.exact
        wrong = self.layout.total(float(np.sum(difference**2)))
        scale = self.layout.total(float(np.sum(self.exact**2)))
        return float(np.sqrt(wrong / scale)) if scale > 0 else float(np.sqrt(wrong))

    def __str__(self) -> str:
        boxes = " x ".join(str(p) for p in self.layout.parts)
        sides = sorted({side for pair in self.A.bc for side in pair})
        return (
            f"{self.name}, {self.unknowns:,} unknowns, {'/'.join(sides)} sides, "
            f"on {self.layout.comm.size} rank(s) ({boxes})"
        )


def poisson(
    shape: Sequence[int],
    *,
    bc: Any = None,
    obstacles: Any = None,
    rhs: str = "random",
    seed: int = 0,
    shift: float = 0.0,
    length: float | Sequence[float] = 1.0,
    comm: Any = None,
) -> DistributedProblem:
    """`sciml.problems.poisson`, made in parts: every rank makes the cells of its own box only.

    The whole is the serial problem of the same arguments, whatever the number of ranks. To be called by all
    ranks with the same arguments.

    Parameters
    ----------
    shape, bc, obstacles, rhs, seed, length
        As in `sciml.problems.poisson`; at least one side must be Dirichlet, unless `shift` is positive.
    shift : float
        The `c` of ``−Δx + c x = b``.
    comm : communicator, optional
        An mpi4py or PETSc communicator; all ranks by default.

    Returns
    -------
    DistributedProblem

    Raises
    ------
    ImportError
        Saying what to install, without petsc4py or mpi4py.
    TypeError, ValueError
        For arguments that do not fit; the message names the argument, its value and what was expected.
    """
    shape, seed = check_shape(shape), check_seed(seed)
    if rhs not in RIGHT_HAND_SIDES:
        raise ValueError(f"rhs is {rhs!r}; expected one of {', '.join(RIGHT_HAND_SIDES)}")
    if not isinstance(shift, int | float) or not 0 <= shift < np.inf:
        raise ValueError(f"shift is {shift!r}; expected a finite number >= 0")
    if bc is None:
        bc = "dirichlet" if obstacles is None else "open-top"
    bc = check_bc(open_top(len(shape)) if isinstance(bc, str) and bc == "open-top" else bc, len(shape))
    if shift == 0 and not any("dirichlet" in pair for pair in bc):
        raise ValueError(
            f"bc is {bc!r}, which leaves the solution determined up to a constant; the engine 'petsc' "
            "expects a Dirichlet side or a positive shift"
        )
    spacing = tuple(side / n for side, n in zip(side_lengths(shape, length), shape, strict=True))
    grid = Grid(shape, spacing)
    layout = Layout(shape, ["periodic" in pair for pair in bc], comm)
    mask, label, notes = _obstacles(layout, obstacles, seed, bc, shift)
    A = DistributedPoisson(layout, spacing=spacing, bc=bc, cells=mask, shift=shift)
    b, exact = _right_hand_side(A, grid, rhs, seed)
    if rhs == "manufactured" and mask is not None:
        notes += ("exact is the discrete solution: obstacles leave no closed form",)
    clean_up(layout.comm)
    return DistributedProblem(
        name=f"poisson {size_name(shape)}{label}",
        A=A, b=b, grid=grid, layout=layout, mask=mask, exact=exact, notes=notes,
    )  # fmt: skip


def _obstacles(
    layout: Layout, obstacles: Any, seed: int, bc: Any, shift: float
) -> tuple[np.ndarray | None, str, tuple[str, ...]]:
    """Solid cells of this rank, the geometry's label, and what was decided about them."""
    if obstacles is None:
        return None, "", ()
    if isinstance(obstacles, str):
        if obstacles not in GEOMETRIES:
            obstacle_mask(obstacles, layout.shape, seed)  # raises, naming those that exist
        mask = obstacle_mask(obstacles, layout.shape, seed, layout.box)
        label = f" {obstacles}"
    else:
        marks = np.asarray(obstacles)
        if marks.dtype != bool:
            raise TypeError(
                f"obstacles has dtype {marks.dtype}; expected booleans or one of {', '.join(GEOMETRIES)}"
            )
        mask = check_cells(marks, layout.shape)[layout.box] == SOLID
        label = " given mask"
    if shift > 0:
        return mask, label, ()
    filled = unreachable(layout, mask, bc)
    count = layout.total(int(np.count_nonzero(filled)))
    if count == 0:
        return mask, label, ()
    if not isinstance(obstacles, str):
        raise ValueError(
            f"obstacles enclose {count} fluid cell(s) that no Dirichlet side reaches, where the system is "
            "singular; the engine 'petsc' expects them to be marked solid"
        )
    return mask | filled, label, (f"enclosed fluid was filled: {count} cell(s)",)


def unreachable(layout: Layout, mask: np.ndarray, bc: Any) -> np.ndarray:
    """This rank's fluid cells that no path through fluid joins to a Dirichlet side.

    Every rank labels the connected fluid of its own box once; whether a label is reached then spreads from
    rank to rank through ghost cells until nothing changes.
    """
    halo = Halo(layout)
    solid = halo.exchange(mask)
    depth = np.zeros(halo.shape, dtype=np.int8)  # ghost cells at edges and corners hold nothing
    for axis, inner in enumerate(halo.inner):
        outside = np.ones(halo.shape[axis], dtype=np.int8)
        outside[inner] = 0
        along = [1] * len(halo.shape)
        along[axis] = -1
        depth += outside.reshape(along)
    labels, count = scipy.ndimage.label(~solid & (depth < 2))
    reached = np.zeros(count + 1, dtype=bool)
    for axis, pair in enumerate(bc):
        for side, (kind, cut) in enumerate(zip(pair, halo.cut[axis], strict=True)):
            if kind == "dirichlet" and not cut:
                reached[np.take(labels, -side, axis=axis)] = True
    own = labels[halo.inner]
    while True:
        reached[0] = False
        before = int(np.count_nonzero(reached))
        ghosts = halo.exchange(reached[own])
        reached[labels[ghosts]] = True
        reached[0] = False
        if layout.total(int(np.count_nonzero(reached)) - before) == 0:
            return ~mask & ~reached[own]


def _right_hand_side(
    A: DistributedPoisson, grid: Grid, rhs: str, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    layout, halo = A.layout, A.halo
    if rhs != "manufactured":
        b = source(rhs, layout.shape, seed, box=layout.box)
        if A.shift > 0:
            b *= A.shift  # the old state of an implicit heat step, times c
        b[~A.fluid] = 0
        return b, None
    solution = Manufactured(A.bc, grid.lengths, homogeneous=False, shift=A.shift)
    points = halo.coordinates(A.spacing)
    exact = solution.exact(*points)
    if A.cells is None:
        origin = [start * h for start, h in zip(halo.start, A.spacing, strict=True)]

        def moved(function: Any) -> Any:
            return lambda *x: function(*(c + o for c, o in zip(x, origin, strict=True)))

        boundary = {name: moved(function) for name, function in solution.boundary.items()}
        b = solution.source(*points) + A.local.boundary_rhs(boundary)
        return np.ascontiguousarray(b[halo.inner]), np.ascontiguousarray(exact[halo.inner])
    exact = np.ascontiguousarray(np.where(A.fluid, exact[halo.inner], 0.0))
    x, y = layout.vector(exact), layout.vector()
    A.matrix.mult(x, y)
    return y.array.reshape(layout.local_shape).copy(), exact
