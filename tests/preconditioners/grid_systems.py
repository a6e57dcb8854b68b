"""A plain stand-in for `PoissonOperator`: what the multigrid code reads, and a SciPy matrix beside it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


class GridSystem:
    """``-div(k grad) + shift`` on cell centres; `fluid` marks cells with unknowns, `dirichlet` cells hold 0.

    `bc` has one letter pair per axis ("DD", "DN", "PP", ...).
    """

    def __init__(self, fluid, bc, *, spacing=None, shift=0.0, k=None, dirichlet=None):
        fluid = np.asarray(fluid, bool)
        self.in_shape = fluid.shape
        spacing = tuple(spacing or (1.0,) * fluid.ndim)
        weights = tuple(1.0 / h**2 for h in spacing)
        dirichlet = np.zeros_like(fluid) if dirichlet is None else dirichlet
        bc = tuple(bc)
        if fluid.ndim == 2:
            fluid, dirichlet = fluid[None], dirichlet[None]
            bc, weights = ("NN", *bc), (0.0, *weights)
            k = None if k is None else k[None]
        self.grid3, self.weights3, self.shift = fluid.shape, weights, shift
        self.periodic3 = tuple(b == "PP" for b in bc)
        unknown = fluid & ~dirichlet
        diagonal = np.full(fluid.shape, float(shift))
        faces = []
        for axis, w in enumerate(weights):
            n = fluid.shape[axis]
            lower, upper = np.roll(unknown, 1, axis), np.roll(unknown, -1, axis)
            lower_held, upper_held = np.roll(dirichlet, 1, axis), np.roll(dirichlet, -1, axis)
            first, last = [slice(None)] * 3, [slice(None)] * 3
            first[axis], last[axis] = 0, n - 1
            first, last = tuple(first), tuple(last)
            if not self.periodic3[axis] or n == 1:
                lower[first] = lower_held[first] = False
                upper[last] = upper_held[last] = False
            c = np.ones(fluid.shape) if k is None else k
            face = w * 2 * c * np.roll(c, 1, axis) / (c + np.roll(c, 1, axis))
            above = np.roll(face, -1, axis)
            faces.append(np.where(unknown & lower, face, 0.0))
            diagonal += np.where(lower | lower_held, face, 0.0) + np.where(upper | upper_held, above, 0.0)
            if bc[axis][0] == "D":
                diagonal[first] += 2 * w * c[first]
            if bc[axis][1] == "D":
                diagonal[last] += 2 * w * c[last]
        unknown = unknown & (diagonal > 1e-12)  # isolated cells of a Neumann pocket
        self.unknown = unknown
        self.faces, self.diagonal3 = None, np.where(unknown, diagonal, 1.0)
        self.diagonal_table = np.ones(256)
        self.code = np.full(fluid.shape, 255, np.uint8)
        if k is None:
            values, index = np.unique(np.round(diagonal[unknown], 9), return_inverse=True)
            self.diagonal_table[: values.size] = values
            self.code[unknown] = index.astype(np.uint8)
            self.diagonal3 = self.diagonal_table[self.code]
        else:
            self.faces = tuple(faces)
            self.code[unknown] = 0
        self._faces = faces

    def tocsr(self) -> sp.csr_matrix:
        """The matrix on all cells; rows and columns of cells without unknown are zero."""
        n = self.code.size
        index = np.arange(n).reshape(self.grid3)
        A = sp.diags(np.where(self.unknown, self.diagonal3, 0.0).ravel()).tocsr()
        for axis, face in enumerate(self._faces):
            at = face > 0
            i, j = index[at], np.roll(index, 1, axis)[at]
            B = sp.coo_matrix((-face[at], (i, j)), shape=(n, n)).tocsr()
            A = A + B + B.T
        return A.tocsr()

    def rhs(self, seed=0) -> np.ndarray:
        """Random right-hand side, zero in cells without unknown, compatible on every connected component."""
        A = self.tocsr()
        b = np.random.default_rng(seed).standard_normal(self.code.size)
        b[~self.unknown.ravel()] = 0
        _, labels = sp.csgraph.connected_components(A, directed=False)
        sums = np.bincount(labels, A @ np.ones(b.size))
        sizes = np.bincount(labels)
        singular = np.abs(sums) < 1e-9 * np.abs(A).max()
        b -= np.where(singular, np.bincount(labels, b) / sizes, 0.0)[labels]
        b[~self.unknown.ravel()] = 0
        return b.reshape(self.in_shape)


def random_medium(shape, fill, seed):
    """Independent random cells, a share `fill` of them solid."""
    return np.random.default_rng(seed).random(shape) >= fill


SYSTEMS = {
    "box3d": lambda: GridSystem(np.ones((8, 7, 6)), ("DD", "DN", "NN")),
    "odd3d": lambda: GridSystem(random_medium((5, 9, 7), 0.2, 1), ("ND", "NN", "NN")),
    "porous3d": lambda: GridSystem(random_medium((8, 8, 10), 0.35, 2), ("ND", "DD", "NN")),
    "dirichlet-cells": lambda: GridSystem(
        random_medium((8, 6, 6), 0.2, 3), ("NN",) * 3, dirichlet=random_medium((8, 6, 6), 0.8, 4)
    ),
    "box2d": lambda: GridSystem(np.ones((12, 9)), ("DD", "DN")),
    "porous2d": lambda: GridSystem(random_medium((13, 16), 0.3, 5), ("ND", "NN")),
    "periodic3d": lambda: GridSystem(random_medium((6, 4, 8), 0.2, 6), ("PP", "DD", "PP")),
    "odd-periodic2d": lambda: GridSystem(random_medium((7, 9), 0.15, 7), ("PP", "DN")),
    "odd-blocks-periodic": lambda: GridSystem(np.ones((6, 10, 6)), ("PP", "PP", "DN")),
    "two-periodic": lambda: GridSystem(np.ones((2, 6, 4)), ("PP", "DD", "PP")),
    "thin": lambda: GridSystem(np.ones((1, 3, 17)), ("NN", "DD", "DD")),
    "line": lambda: GridSystem(np.ones((1, 33)), ("NN", "DD")),
    "anisotropic": lambda: GridSystem(
        random_medium((10, 8, 6), 0.2, 8), ("ND", "NN", "DD"), spacing=(1, 0.1, 3)
    ),
    "heat": lambda: GridSystem(random_medium((8, 9, 7), 0.3, 9), ("NN",) * 3, shift=0.7),
    "faces3d": lambda: GridSystem(
        random_medium((7, 8, 6), 0.25, 10),
        ("ND", "DD", "NN"),
        k=np.exp(np.random.default_rng(0).standard_normal((7, 8, 6))),
    ),
    "faces2d-periodic": lambda: GridSystem(
        random_medium((10, 8), 0.2, 11),
        ("PP", "DN"),
        k=np.exp(np.random.default_rng(1).standard_normal((10, 8))),
        spacing=(0.5, 0.7),
    ),
}
"""Small systems of every shape, boundary and medium."""

SINGULAR = {
    "neumann-box": lambda: GridSystem(np.ones((8, 8, 8)), ("NN",) * 3),
    "periodic-box": lambda: GridSystem(np.ones((8, 8, 8)), ("PP",) * 3),
    "periodic-odd": lambda: GridSystem(np.ones((5, 7, 9)), ("PP",) * 3),
    "neumann-2d": lambda: GridSystem(np.ones((33, 20)), ("NN", "NN")),
    "pockets": lambda: GridSystem(pockets(), ("ND", "NN", "NN")),
    "many-pockets": lambda: GridSystem(random_medium((20, 20, 20), 0.7, 3), ("NN",) * 3),
    "faces-neumann": lambda: GridSystem(
        np.ones((9, 8, 7)), ("NN",) * 3, k=np.exp(np.random.default_rng(2).standard_normal((9, 8, 7)))
    ),
}
"""Systems with pure-Neumann components."""


def pockets():
    """Three closed rooms beside an open one."""
    fluid = np.ones((16, 16, 16), bool)
    fluid[8] = False
    fluid[:8, 7] = False
    fluid[:8, :, 5] = False
    return fluid
