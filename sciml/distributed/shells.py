"""Any operator that works on boxes of the grid, as a matrix or a preconditioner without entries."""

from __future__ import annotations

import math
from typing import Any

from ..operators import as_operator
from .engine import python_matrix
from .layout import Halo, Layout

__all__ = ["LocalPreconditioner", "shell_matrix"]


class _OnBox:
    """Applies an operator to a rank's box with ghost cells and keeps what belongs to the rank."""

    def __init__(self, layout: Layout, operator: Any, width: int):
        self._layout, self._halo = layout, Halo(layout, width) if width else None
        self._operator = as_operator(operator)
        self._shape = layout.local_shape if self._halo is None else self._halo.shape
        if self._halo is not None:
            self._padded, self._view = self._halo.array()
        if tuple(self._operator.in_shape) != self._shape or tuple(self._operator.out_shape) != self._shape:
            raise ValueError(
                f"the operator maps {self._operator.in_shape} to {self._operator.out_shape}; expected one "
                f"on this rank's box with {width} layer(s) of ghost cells, {self._shape}"
            )

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """PETSc's product."""
        if self._halo is None:
            y.array[:] = self._operator.matvec(x.array_r.reshape(self._shape)).reshape(-1)
            return
        self._halo.dm.globalToLocal(x, self._view)
        result = self._operator.matvec(self._padded[: self._halo.cells].reshape(self._shape))
        y.array[:] = result[self._halo.inner].reshape(-1)

    def apply(self, pc: Any, x: Any, y: Any) -> None:
        """PETSc's application of a preconditioner."""
        self.mult(None, x, y)


def shell_matrix(layout: Layout, operator: Any, *, width: int = 1, symmetric: bool = False) -> Any:
    """A PETSc matrix (MATSHELL) whose product is `operator` on every rank's box with its ghost cells.

    Parameters
    ----------
    layout : Layout
    operator : operator
        On arrays of the shape ``Halo(layout, width).shape``. Its values in ghost cells are dropped; what it
        does in a cell may depend on cells up to `width` away along the axes.
    width : int
        Layers of ghost cells.
    symmetric : bool
        Whether the whole matrix is.

    Returns
    -------
    petsc4py.PETSc.Mat
    """
    rows = (layout.cells, math.prod(layout.shape))
    mat = python_matrix(rows, rows, _OnBox(layout, operator, width), layout.comm)
    mat.setOption(mat.Option.SYMMETRIC, symmetric)
    return mat


class LocalPreconditioner:
    """Any operator on a rank's own box as a preconditioner (PCSHELL).

    Without ghost cells this is block Jacobi with a block per rank: symmetric where the operator is. With them
    it is the restricted additive Schwarz method, which is not symmetric; use it with ``gmres``.

    Parameters
    ----------
    layout : Layout
    operator : operator
        On arrays of the shape of the rank's box, ghost cells included: a `Multigrid` of the local operator, a
        trained network.
    width : int
        Layers of ghost cells.
    """

    def __init__(self, layout: Layout, operator: Any, *, width: int = 0):
        self._context = _OnBox(layout, operator, width)
        self.label = f"{type(operator).__name__} per rank"

    def matrix(self, A: Any) -> Any:
        """The matrix to set up from: that of the solver."""
        return None

    def configure(self, pc: Any, A: Any) -> None:
        """Make `pc` this preconditioner."""
        pc.setType("python")
        pc.setPythonContext(self._context)
