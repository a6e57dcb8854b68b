"""Connected regions on which a Poisson operator is singular, and the projection off its null space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
import scipy.sparse.csgraph

from ..backends.namespace import Array, array_namespace, backend_name, device, from_numpy, is_numpy

if TYPE_CHECKING:
    from .stencil import PoissonOperator

__all__ = ["SingularComponents", "find_singular_components"]

FLOODED = 2**16
"""Cells from which on a compiled flood that usually reaches every cell is tried before labelling them."""

SWEEPS = 4
"""Of the flood; mazes that take more are labelled."""


@dataclass(frozen=True)
class SingularComponents:
    """Regions without Dirichlet contact and without shift, where only differences of `x` matter.

    Attributes
    ----------
    labels : ndarray of int32, shape of the 3D grid
        0 where the operator is regular, ``1 … count`` on the singular components.
    count : int
    """

    labels: np.ndarray
    count: int

    @cached_property
    def sizes(self) -> np.ndarray:
        """Cells per component, index 0 being component 1."""
        return np.bincount(self.labels.reshape(-1), minlength=self.count + 1)[1:]

    def means(self, x: np.ndarray) -> np.ndarray:
        """Mean of `x` over every component."""
        sums = np.bincount(self.labels.reshape(-1), weights=x.reshape(-1), minlength=self.count + 1)[1:]
        return sums / self.sizes

    def project(self, x: Array) -> Array:
        """Subtract from `x` its mean over every component."""
        if is_numpy(x) and x.dtype.kind == "f":
            if self.count == 1 and self.labels.all():
                return x - x.mean(dtype=np.float64).astype(x.dtype)
            means = np.concatenate([[0.0], self.means(x)]).astype(x.dtype)
            return x - means[self.labels].reshape(x.shape)
        xp = array_namespace(x)
        flat = xp.reshape(x, (-1,))
        out = xp.reshape(x, (-1,)) * 1
        for component in range(1, self.count + 1):
            here = self.labels.reshape(-1) == component
            inside = from_numpy(here, backend_name(x), device=device(x))
            mean = xp.sum(xp.where(inside, flat, flat * 0)) / float(self.sizes[component - 1])
            out = xp.where(inside, flat - mean, out)
        return xp.reshape(out, x.shape)


def find_singular_components(A: PoissonOperator) -> SingularComponents | None:
    """Label the connected fluid regions of `A` on which constants lie in its null space.

    Cells walled in on all sides count as components of one cell.
    """
    if np.max(A.shift) > 0 and np.min(A.shift) > 0:
        return None
    anchored = _anchored_cells(A)
    fluid = A.cells.reshape(A.grid3) == 0
    if A.faces is None and fluid.all():  # a box is one component
        return None if anchored.any() else SingularComponents(np.ones(A.grid3, dtype=np.int32), 1)
    if A.faces is None and fluid.size >= FLOODED and _all_reached(fluid, anchored):
        return None
    labels, count = _connected_components(A, fluid)
    regular = np.zeros(count + 1, dtype=bool)
    regular[labels[anchored]] = True
    regular[0] = True
    if regular.all():
        return None
    renumber = np.zeros(count + 1, dtype=np.int32)
    renumber[~regular] = np.arange(1, np.count_nonzero(~regular) + 1)
    return SingularComponents(renumber[labels], int(np.count_nonzero(~regular)))


def _all_reached(fluid: np.ndarray, anchored: np.ndarray) -> bool:
    """Whether a short flood from the anchored cells reaches all of `fluid`; False says nothing."""
    from ..backends.kernels.numba.flood import reach  # compiles on first use

    cells, reached = fluid.view(np.uint8), anchored.astype(np.uint8)
    left = fluid.size
    for _ in range(SWEEPS):
        before, left = left, reach(cells, reached)
        if left in (0, before):
            break
    return left == 0


def _anchored_cells(A: PoissonOperator) -> np.ndarray:
    """Unknowns whose value a Dirichlet side, a Dirichlet cell or a positive shift pins."""
    unknown = A.code != 255
    if A.faces is not None:
        # Row sums, in double precision whatever the operator's dtype: only an anchor makes them positive.
        assert A.diagonal3 is not None
        couplings = sum(face + np.roll(face, -1, axis=axis) for axis, face in enumerate(A.faces))
        return unknown & (A.diagonal3 - couplings > 1e-10 * A.diagonal3)
    anchored = np.zeros(A.grid3, dtype=bool)
    given = (A.cells == 2).reshape(A.grid3)
    any_given = given.any()
    for axis, (low, high) in enumerate(A.bc, start=3 - len(A.bc)):
        layer = [slice(None)] * 3
        for side, kind in ((0, low), (-1, high)):
            layer[axis] = slice(side, 1 if side == 0 else None)
            if kind == "dirichlet":
                anchored[tuple(layer)] = True
            elif kind == "periodic" and any_given:
                opposite = list(layer)
                opposite[axis] = slice(-1, None) if side == 0 else slice(0, 1)
                anchored[tuple(layer)] |= given[tuple(opposite)]
        if any_given:
            upper, lower = [slice(None)] * 3, [slice(None)] * 3
            upper[axis], lower[axis] = slice(1, None), slice(None, -1)
            anchored[tuple(upper)] |= given[tuple(lower)]
            anchored[tuple(lower)] |= given[tuple(upper)]
    return unknown & anchored


def _connected_components(A: PoissonOperator, fluid: np.ndarray) -> tuple[np.ndarray, int]:
    if A.faces is not None:
        # Zero face coefficients may close faces between fluid cells, which only the matrix shows.
        _, flat = scipy.sparse.csgraph.connected_components(A.tocsr(), directed=False)
        present, of_fluid = np.unique(flat[fluid.reshape(-1)], return_inverse=True)
        labels = np.zeros(A.grid3, dtype=np.int32)
        labels[fluid] = of_fluid + 1
        return labels, int(present.size)
    labels, count = scipy.ndimage.label(fluid)
    joins = []
    for axis in range(3):
        if A.periodic3[axis]:
            low, high = labels.take(0, axis=axis), labels.take(-1, axis=axis)
            both = (low > 0) & (high > 0)
            joins.append(np.stack([low[both], high[both]]))
    if not joins:
        return labels, count
    i, j = np.concatenate(joins, axis=1)
    graph = scipy.sparse.coo_array((np.ones(i.size), (i, j)), shape=(count + 1, count + 1))
    merged, of_label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    # Label 0 (solid) joins nothing, so it stays alone; number it 0 again.
    of_label = np.where(of_label == of_label[0], 0, np.where(of_label == 0, of_label[0], of_label))
    return of_label[labels].astype(np.int32), merged - 1
