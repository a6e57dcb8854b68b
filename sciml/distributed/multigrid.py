"""Our multigrid as PETSc's PCMG: our transfer, coarse operators, relaxation and scalings, in parts."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..preconditioners.multigrid import Multigrid
from ..preconditioners.multigrid.aggregation import all_coarsened
from ..preconditioners.multigrid.parameters import CUT_UP, Parameters
from .engine import clean_up, load_petsc, world
from .hierarchy import Below, Level, cells_as_blocks, coupled, first_level, gather, next_level, pieces
from .poisson import DistributedPoisson
from .smoothers import ChebyshevSmoother, ColourParts, ColourSmoother, RedBlackSmoother, Redundant

__all__ = ["DistributedMultigrid"]

REDUNDANT_SIZE = 20_000
"""A level of at most this many unknowns is cheaper to hold on every rank than to divide."""


class DistributedMultigrid:
    """`sciml.preconditioners.Multigrid` for a `DistributedPoisson`, set up and run in parts.

    Parameters
    ----------
    redundant_size : int
        The first level of at most this many unknowns, and those below it, are held by every rank.
    **parameters
        Of `sciml.preconditioners.Multigrid`, omegas and scalings found by training for instance.

    Attributes
    ----------
    levels : list of Level
        The coarse levels that are divided, after `configure`.
    below : Below
        Those that are not.

    Notes
    -----
    The cycle runs in double precision, PETSc's, where the serial one runs in single. Levels that couple more
    than neighbouring blocks are smoothed by a Chebyshev polynomial while they are divided, and as in the
    serial cycle once every rank holds them.
    """

    label = "Multigrid"

    def __init__(self, *, redundant_size: int = REDUNDANT_SIZE, **parameters: Any):
        if not isinstance(redundant_size, int) or redundant_size < 1:
            raise ValueError(f"redundant_size is {redundant_size!r}; expected a positive integer")
        self._redundant_size = redundant_size
        self._parameters = _Parameters(parameters)
        self.levels: list[Level] = []
        self.below: Below | None = None

    def matrix(self, A: Any) -> Any:
        """The matrix to set up from: that of the solver."""
        return None

    def configure(self, pc: Any, A: Any) -> None:
        """Set up the hierarchy of `A` and make `pc` this cycle."""
        if not isinstance(A, DistributedPoisson):
            raise TypeError(
                f"multigrid expects a distributed Poisson operator, but A is a {type(A).__name__}; for "
                "matrices there are gamg and hypre"
            )
        if any(p and n % 2 for p, n in zip(A.layout.periodic, A.layout.shape, strict=True)):
            raise ValueError(
                f"the grid {A.layout.shape} is periodic along an axis with an odd number of cells, which "
                "blocks of two do not fill; expected an even number, or gamg"
            )
        M = self._parameters
        M.fit(A)
        self._set_up(A, M)
        assert self.below is not None
        pc.setType("mg")
        pc.setMGLevels(1 + len(self.levels))
        top = len(self.levels)
        pc.setMGType(load_petsc().PC.MGType.MULTIPLICATIVE)
        _smooth(pc, top, A.matrix, _grid_smoothers(A, M))
        for depth, level in enumerate(self.levels, start=1):
            number = top - depth  # PETSc counts from the coarsest
            pc.setMGInterpolation(number + 1, level.P)
            if number > 0:
                _smooth(pc, number, level.A, _level_smoothers(level, depth, M))
                if M.cycle == "W":
                    pc.setMGCycleTypeOnLevel(number, load_petsc().PC.MGCycleType.W)
        last = self.levels[-1].A
        _by_context(pc.getMGCoarseSolve(), Redundant(self.below, self._order, last.createVecLeft()), last)

    def _set_up(self, A: DistributedPoisson, M: Parameters) -> None:
        unit = A.local.kernel_grid.unit
        level = first_level(A, M)
        self.levels = [level]
        while level.unknowns > self._redundant_size:
            if A.shift > 0 and _smoothing_suffices(level):
                break
            depth = len(self.levels)
            if M._auto and depth == 2 and pieces(level) < CUT_UP:
                M._smooth_from = 3
            if not level.blocks.divisible(M._coarser(depth, level.blocks.shape, level.blocks.weights)[0]):
                break
            coarser = next_level(level, depth, M)
            if coarser is None:
                break
            level = coarser
            self.levels.append(level)
            clean_up(A.layout.comm)
        self.below, self._order = gather(level, len(self.levels), M, A.shift / unit, unit)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{level.unknowns:,}" for level in self.levels) or "not set up"
        return f"<DistributedMultigrid, coarse levels: {sizes}, the last one on every rank>"


class _Parameters(Parameters):
    """The parameters of a `Multigrid`, checked, without an operator."""

    def __init__(self, given: dict[str, Any]):
        signature = inspect.signature(Multigrid.__init__).parameters.values()
        defaults = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise TypeError(f"multigrid has no parameter {unknown[0]!r}; expected {', '.join(defaults)}")
        self._set_parameters(defaults | given)

    def fit(self, A: DistributedPoisson) -> None:
        """Smooth interpolation from the level on from which the serial cycle of this grid smooths it."""
        blocks = cells_as_blocks(A)
        factors = blocks.factors()
        if max(factors) == 1:
            raise ValueError(
                f"the grid {A.layout.shape} is too small for multigrid; expected two cells along an axis"
            )
        self._fit(all_coarsened(factors, blocks.shape), A.local.faces is not None)


def _smooth(pc: Any, number: int, A: Any, smoothers: tuple[Any, Any]) -> None:
    """Relax level `number` of PCMG by one context before and one after the coarse correction."""
    for ksp, context in zip(
        (pc.getMGSmootherDown(number), pc.getMGSmootherUp(number)), smoothers, strict=True
    ):
        _by_context(ksp, context, A)


def _by_context(ksp: Any, context: Any, A: Any) -> None:
    """Have ``context.solve`` do what `ksp` is asked for."""
    ksp.setType("python")
    ksp.setPythonContext(context)
    ksp.setNormType(load_petsc().KSP.NormType.UNPRECONDITIONED)  # never taken; PETSc's own default is refused
    ksp.getPC().setType("none")
    ksp.setOperators(A)


def _grid_smoothers(A: DistributedPoisson, M: Parameters) -> tuple[Any, Any]:
    if M.parameters["smoother"] == "chebyshev":
        # The stencil is diagonally dominant: no eigenvalue of D⁻¹A exceeds two.
        smoother = ChebyshevSmoother(A.matrix, M._sweeps(0), 2.0)
        return smoother, smoother
    before = RedBlackSmoother(A, M._omega(0), M._sweeps(0))
    return before, before.adjoint()


def _level_smoothers(level: Level, depth: int, M: Parameters) -> tuple[Any, Any]:
    if level.smoothed or not level.blocks.two_colourable() or coupled(level):
        smoother = ChebyshevSmoother(level.A, M._sweeps(depth))
        return smoother, smoother
    parity = np.sum(level.blocks.places(level.block_of), axis=0) & 1
    parts = ColourParts(level.A, parity)
    settings = {"omega": M._omega(depth), "sweeps": M._sweeps(depth)}
    return ColourSmoother(parts, **settings), ColourSmoother(parts, **settings, backward=True)


def _smoothing_suffices(level: Level) -> bool:
    """Whether the diagonal outweighs each row so far that a coarser level has nothing to add."""
    indptr, _, data = level.A.getValuesCSR()
    sums = np.concatenate([[0.0], np.cumsum(np.abs(data))])
    rows, diagonal = np.diff(sums[indptr]), level.A.getDiagonal().array_r
    return all(world(level.A.comm).allgather(bool(np.all(rows <= 1.7 * diagonal))))
