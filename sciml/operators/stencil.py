"""The matrix-free Poisson operator ``-div(k grad x) + c x`` on a cell-centred grid with obstacles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.grid import Grid
from ..backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    from_numpy,
    is_numpy,
    namespace_named,
    real_dtype,
)
from ..backends.namespace import device as device_of
from ..backends.threads import parallel
from .base import BaseOperator, check_properties
from .components import SingularComponents, find_singular_components
from .geometry_checks import (
    DIRICHLET,
    FLUID,
    SOLID,
    check_bc,
    check_cells,
    check_coefficient,
    check_shape,
    check_shift,
    check_spacing,
    faces_shape,
)

__all__ = ["DIRICHLET", "FLUID", "SOLID", "PoissonOperator"]

NOT_AN_UNKNOWN = 255
"""Diagonal code of cells without an unknown. The others count open faces per axis in base 5."""


class PoissonOperator(BaseOperator):
    r"""Cell-centred finite-volume operator :math:`-\nabla\cdot(k\nabla x) + c\,x` in 2D or 3D, matrix-free.

    Unknowns sit at cell centres; the standard 5-point (7-point) stencil couples fluid cells through
    their common faces. A face towards a solid cell or a Neumann side is closed (no flux). A
    Dirichlet side prescribes the value on the face, half a cell away, so it adds
    :math:`2k/h^2` to the diagonal; a Dirichlet *cell* prescribes the value at its centre and adds
    :math:`k/h^2`. Second-order accurate for smooth solutions.

    Solid and Dirichlet cells are not unknowns. So that the operator is one square matrix over the
    whole grid, each of them carries the equation ``s x = b`` with ``s`` the diagonal of a free
    interior cell, which lies inside the spectrum and disturbs neither its ends nor CG.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis; two or three axes of any size, not only powers of two.
    spacing : float or tuple of float
        Cell size per axis, in the user's length unit.
    bc : str or sequence
        ``"dirichlet"``, ``"neumann"`` or ``"periodic"`` for all sides, or one entry per axis, each a
        name or a pair ``(low side, high side)``.
    cells : array of shape `shape`, optional
        Boolean, ``True`` marks solid cells; or integers ``FLUID`` (0), ``SOLID`` (1), ``DIRICHLET`` (2).
    coefficient : array of shape `shape` or tuple of face arrays, optional
        Positive `k` per cell, averaged harmonically to faces; or per axis an array of face values, one
        longer than `shape` along that axis.
    shift : float or array of shape `shape`
        The non-negative `c`, for instance ``1/(κ Δt)`` of an implicit heat step.
    dtype : dtype-like
        ``float64`` or ``float32``.
    backend : {"numpy", "torch", "cupy", "array-api-strict"}
        Library of the arrays the operator is applied to.
    device : optional
        Device of those arrays, as the library names it.

    Attributes
    ----------
    cells : ndarray of uint8
        The cell marks.
    singular : SingularComponents or None
        Connected fluid regions without any Dirichlet contact (and ``c = 0``), on which the operator is
        singular: constants are in its null space, and `b` must have zero mean there.

    Raises
    ------
    ValueError
        Shapes that disagree, unknown marks, non-positive coefficients, a negative shift, no fluid cell.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg
    >>> A = PoissonOperator((32, 32), spacing=1 / 32)
    >>> result = cg(A, np.ones((32, 32)), rtol=1e-8)
    >>> result.converged
    True
    >>> bool(abs(result.x.max() - 0.0737) < 2e-4)   # the membrane's deflection
    True
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        spacing: float | Sequence[float] = 1.0,
        bc: Any = "dirichlet",
        cells: Any = None,
        coefficient: Any = None,
        shift: Any = 0.0,
        dtype: Any = "float64",
        backend: str = "numpy",
        device: Any = None,
    ):
        shape = check_shape(shape)
        super().__init__(shape, shape, dtype)
        if self.dtype.name not in ("float32", "float64"):
            raise TypeError(f"dtype is {self.dtype.name}; expected float32 or float64")
        self.spacing = check_spacing(spacing, len(shape))
        self.bc = check_bc(bc, len(shape))
        self.cells = check_cells(cells, shape)
        self.shift = check_shift(shift, shape)
        self._face_coefficients = check_coefficient(coefficient, shape)
        if backend != "numpy":
            namespace_named(backend)  # an unknown or missing library is an error now, not later
        self.backend, self._device = backend, device

        # 2D grids are stored as one-plane 3D grids, so that one set of kernels serves both.
        pad = 3 - len(shape)
        self.grid3 = (1,) * pad + shape
        self.weights3 = (0.0,) * pad + tuple(1.0 / h**2 for h in self.spacing)
        # A periodic axis of one cell couples every cell to itself: no flux, like a closed axis.
        self.periodic3 = (False,) * pad + tuple(
            low == "periodic" and n > 1 for (low, _), n in zip(self.bc, shape, strict=True)
        )
        self.faces: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self.diagonal3: np.ndarray | None = None
        # The diagonal of a free cell: the equation of cells without an unknown, see the class notes.
        scale = 2.0 * sum(self.weights3) + float(np.max(self.shift))
        constant = self._face_coefficients is None and np.ndim(self.shift) == 0
        if constant:
            self.code, self.diagonal_table = self._diagonal_codes(scale)
        else:
            self._assemble_faces(scale)
        self.singular: SingularComponents | None = find_singular_components(self)
        definite = "positive_semidefinite" if self.singular else "positive_definite"
        self.properties = check_properties({"symmetric", definite})

    # -- set-up -------------------------------------------------------------------------------
    def _diagonal_codes(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """One byte per cell that names its diagonal: open faces per axis, in base 5.

        A Dirichlet side counts twice (half a cell away), so an axis counts at most 4. The diagonal
        is all a constant-coefficient stencil needs to know of the geometry, because the neighbours
        that do not exist hold zero.
        """
        cells = self.cells.reshape(self.grid3)
        open_cell = (cells != SOLID).view(np.uint8)
        code = np.zeros(self.grid3, dtype=np.uint8)
        for axis in range(3 - len(self.spacing), 3):
            code += np.uint8(5 ** (2 - axis)) * self._open_faces(open_cell, axis)
        digits = np.arange(125)
        counts = np.stack([digits // 25, digits // 5 % 5, digits % 5])
        table = np.full(256, scale)
        table[:125] = np.asarray(self.weights3) @ counts + float(self.shift)
        code[cells != FLUID] = NOT_AN_UNKNOWN
        if float(self.shift) == 0.0:
            code[code == 0] = NOT_AN_UNKNOWN  # a fluid cell walled in on all sides: 0 x = b
        return code, table

    def _open_faces(self, open_cell: np.ndarray, axis: int) -> np.ndarray:
        count = np.zeros(self.grid3, dtype=np.uint8)
        low, high = self.bc[axis - 3]
        here, there = _both(axis)
        count[here] += open_cell[there]
        count[there] += open_cell[here]
        first, last = _end(axis, 0), _end(axis, -1)
        if self.periodic3[axis]:
            count[first] += open_cell[last]
            count[last] += open_cell[first]
        elif low != "periodic":
            count[first] += np.uint8(2 if low == "dirichlet" else 0)
            count[last] += np.uint8(2 if high == "dirichlet" else 0)
        return count

    def _assemble_faces(self, scale: float) -> None:
        """Face weights (lower face of each cell) and the diagonal, for variable coefficients."""
        ndim, pad = len(self.spacing), 3 - len(self.spacing)
        cells = self.cells.reshape(self.grid3)
        fluid, solid = cells == FLUID, cells == SOLID
        diagonal = np.broadcast_to(
            np.reshape(self.shift, (1,) * pad + np.shape(self.shift)), self.grid3
        ).astype(float)
        faces = [np.zeros(self.grid3) for _ in range(3)]
        for a in range(ndim):
            axis, weight = a + pad, self.weights3[a + pad]
            k = self._coefficient_on_faces(a).reshape(faces_shape(self.grid3, axis))
            k_low, k_high = np.delete(k, -1, axis=axis), np.delete(k, 0, axis=axis)
            here, there = _both(axis)
            first, last = _end(axis, 0), _end(axis, -1)
            flux = np.zeros(self.grid3)  # weight of the lower face wherever it is open
            flux[here] = weight * k_low[here] * ~(solid[here] | solid[there])
            low, high = self.bc[a]
            if low == "periodic":
                if self.periodic3[axis]:
                    flux[first] = weight * k_low[first] * ~(solid[first] | solid[last])
                upper = np.roll(flux, -1, axis=axis)
            else:
                upper = np.zeros(self.grid3)
                upper[there] = flux[here]
                if low == "dirichlet":
                    diagonal[first] += 2.0 * weight * k_low[first]
                if high == "dirichlet":
                    diagonal[last] += 2.0 * weight * k_high[last]
            diagonal += flux + upper
            both = np.zeros(self.grid3, dtype=bool)
            both[here] = fluid[here] & fluid[there]
            if self.periodic3[axis]:
                both[first] = fluid[first] & fluid[last]
            faces[axis] = np.where(both, flux, 0.0)
        walled_in = fluid & (diagonal == 0.0)
        diagonal[~fluid | walled_in] = scale
        self.code = np.where(fluid & ~walled_in, np.uint8(0), np.uint8(NOT_AN_UNKNOWN))
        self.diagonal_table = np.full(256, scale)
        self.faces, self.diagonal3 = (faces[0], faces[1], faces[2]), diagonal

    def _coefficient_on_faces(self, axis: int) -> np.ndarray:
        """`k` on the ``n + 1`` faces along `axis`."""
        given = self._face_coefficients
        if given is None:
            return np.ones(faces_shape(self.cells.shape, axis))
        if isinstance(given, tuple):
            return given[axis]
        low = np.take(given, [0], axis=axis)
        high = np.take(given, [-1], axis=axis)
        if self.bc[axis][0] == "periodic":
            low, high = high, low
        padded = np.concatenate([low, given, high], axis=axis)
        left, right = np.delete(padded, -1, axis=axis), np.delete(padded, 0, axis=axis)
        return 2.0 * left * right / (left + right)

    # -- application --------------------------------------------------------------------------
    def _apply(self, x: Array) -> Array:
        if backend_name(x) != self.backend:
            raise TypeError(
                f"x is a {backend_name(x)} array but this PoissonOperator was made for {self.backend}; "
                f"expected backend={backend_name(x)!r} when it is created"
            )
        if self.compiled_for(x):
            return self._apply_compiled(x)
        return self._apply_sliced(x)

    def compiled_for(self, x: Array) -> bool:
        """Whether compiled kernels serve arrays like `x` (real NumPy arrays)."""
        return self.backend == "numpy" and is_numpy(x) and x.dtype.name in ("float32", "float64")

    @cached_property
    def kernel_grid(self) -> Grid:
        """The operator as compiled kernels read it."""
        return Grid.from_operator(self)

    def _apply_compiled(self, x: np.ndarray) -> np.ndarray:
        from ..backends.kernels.numba import stencil  # compiles on first use

        grid = self.kernel_grid
        # Kernels read zeros beyond the box and in cells without an unknown.
        padded = np.zeros(grid.padded, x.dtype)
        padded[: grid.cells] = x.reshape(-1)
        blank = None if grid.unknowns == grid.cells else np.flatnonzero(grid.q == grid.none)
        if blank is not None:
            padded[blank] = 0
        y = np.empty(grid.cells, x.dtype)
        parallel(stencil.apply, grid.shape[0], padded, y, grid.stencil(x.dtype), grain=grid.grain)
        if blank is not None:
            y[blank] = x.reshape(-1)[blank] * x.dtype.type(self.diagonal_table[NOT_AN_UNKNOWN])
        return y.reshape(x.shape)

    def _apply_sliced(self, x: Array) -> Array:
        """The stencil as shifted slices: runs in every namespace, and is what kernels are tested against."""
        xp = array_namespace(x)
        dtype = x.dtype
        unknown, diagonal, faces = self._arrays_like(x)
        x3 = xp.reshape(x, self.grid3)
        zero = xp.zeros((), dtype=dtype, device=device_of(x))
        inside = xp.where(unknown, x3, zero)
        y = diagonal * x3
        for axis in range(3):
            weight = self.weights3[axis]
            if self.grid3[axis] == 1 and not self.periodic3[axis]:
                continue
            here, there = _both(axis)
            first, last = _end(axis, 0), _end(axis, -1)
            if faces is None:
                y[here] -= weight * inside[there]
                y[there] -= weight * inside[here]
                if self.periodic3[axis]:
                    y[first] -= weight * inside[last]
                    y[last] -= weight * inside[first]
            else:
                w = faces[axis]
                y[here] -= w[here] * inside[there]
                y[there] -= w[here] * inside[here]
                if self.periodic3[axis]:
                    y[first] -= w[first] * inside[last]
                    y[last] -= w[first] * inside[first]
        return xp.reshape(xp.where(unknown, y, diagonal * x3), self.in_shape)

    def _arrays_like(self, x: Array) -> tuple[Array, Array, tuple[Array, ...] | None]:
        """Geometry in the namespace, precision and device of `x`, made once per precision."""
        key = (str(x.dtype), str(device_of(x)))
        cache = self.__dict__.setdefault("_geometry_cache", {})
        if key not in cache:
            self._check_device(x)
            place = device_of(x)

            def put(values: np.ndarray, dtype: str) -> Array:
                return from_numpy(values, self.backend, dtype=dtype, device=place)

            real = real_dtype(x)
            faces = None if self.faces is None else tuple(put(f, real) for f in self.faces)
            unknown = put(self.code != NOT_AN_UNKNOWN, "bool")
            cache[key] = (unknown, put(self._diagonal_grid(), real), faces)
        return cache[key]

    def _check_device(self, x: Array) -> None:
        if self._device is not None and str(device_of(x)) != str(self._device):
            raise TypeError(
                f"x lives on {device_of(x)} but this PoissonOperator on {self._device}; expected the same"
            )

    def _diagonal_grid(self) -> np.ndarray:
        return self.diagonal_table[self.code] if self.diagonal3 is None else self.diagonal3

    # -- what users and preconditioners read --------------------------------------------------
    @cached_property
    def unknowns(self) -> np.ndarray:
        """Flat indices of the cells that carry an unknown, ascending."""
        return np.flatnonzero(self.code != NOT_AN_UNKNOWN)

    @property
    def fluid(self) -> np.ndarray:
        """Boolean array of `shape`: cells that carry an unknown."""
        return (self.code != NOT_AN_UNKNOWN).reshape(self.in_shape)

    def diagonal(self) -> Array:
        """The main diagonal, flat, in the operator's backend."""
        values = self._diagonal_grid().reshape(-1).astype(self.dtype)
        return self._from_numpy(values)

    def project(self, x: Array) -> Array:
        """Remove the null space: subtract the mean over every singular component. Identity elsewhere."""
        return x if self.singular is None else self.singular.project(x)

    def coordinates(self) -> list[np.ndarray]:
        """Cell-centre coordinates per axis, open-mesh shaped, origin at the low corner of the box."""
        axes = [(np.arange(n) + 0.5) * h for n, h in zip(self.in_shape, self.spacing, strict=True)]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))

    def boundary_rhs(self, value: Any) -> np.ndarray:
        """What prescribed boundary values add to the right-hand side.

        Parameters
        ----------
        value : callable or dict
            ``value(*coordinates)`` evaluated at face centres of Dirichlet sides (the value) and of Neumann
            sides (the outward flux ``k dx/dn``), and at Dirichlet cells; or a dict with keys ``"dirichlet"``
            and ``"neumann"`` holding one callable each.

        Returns
        -------
        ndarray of `shape`
            Add it to ``b``.
        """
        functions = value if isinstance(value, dict) else {"dirichlet": value, "neumann": value}
        unknown_keys = set(functions) - {"dirichlet", "neumann"}
        if unknown_keys:
            raise ValueError(f"value has keys {sorted(unknown_keys)}; expected 'dirichlet' and 'neumann'")
        b = np.zeros(self.in_shape)
        fluid = self.fluid
        for axis, sides in enumerate(self.bc):
            h = self.spacing[axis]
            k = self._coefficient_on_faces(axis)
            for side, kind in zip((0, -1), sides, strict=True):
                if kind == "periodic" or kind not in functions:
                    continue
                where = _end(axis, side, len(self.in_shape))
                points = self.coordinates()
                on_side = 0.0 if side == 0 else self.in_shape[axis] * h
                points[axis] = np.full((1,) * len(self.in_shape), on_side)
                boundary = np.broadcast_to(functions[kind](*points), b[where].shape)
                factor = 2.0 * k[where] / h**2 if kind == "dirichlet" else 1.0 / h
                b[where] += factor * boundary
        if "dirichlet" in functions and np.any(self.cells == DIRICHLET):
            inside = np.where(self.cells == DIRICHLET, functions["dirichlet"](*self.coordinates()), 0.0)
            for axis, weight in enumerate(w for w in self.weights3[3 - len(self.in_shape) :]):
                here, there = _both(axis, len(self.in_shape))
                k = self._coefficient_on_faces(axis)
                lower = np.delete(k, -1, axis=axis)
                b[here] += weight * lower[here] * inside[there]
                b[there] += weight * lower[here] * inside[here]
                if self.bc[axis][0] == "periodic":
                    first, last = (_end(axis, i, len(self.in_shape)) for i in (0, -1))
                    b[first] += weight * lower[first] * inside[last]
                    b[last] += weight * lower[first] * inside[first]
        return np.where(fluid, b, 0.0)

    def tocsr(self, unknowns_only: bool = False) -> scipy.sparse.csr_array:
        """The matrix in SciPy's CSR form.

        Parameters
        ----------
        unknowns_only : bool
            Keep only the rows and columns of `unknowns`, as solvers without a grid prefer.
        """
        unknown = self.code != NOT_AN_UNKNOWN
        number = np.full(self.grid3, -1, dtype=np.int64)
        if unknowns_only:
            number[unknown] = np.arange(np.count_nonzero(unknown))
        else:
            number = np.arange(number.size).reshape(self.grid3)
        n = int(np.count_nonzero(unknown)) if unknowns_only else number.size
        index = np.int32 if 7 * n < 2**31 else np.int64
        diagonal = self._diagonal_grid()
        everywhere = np.arange(n)
        rows, columns = [everywhere], [everywhere]
        values = [diagonal[unknown] if unknowns_only else diagonal.reshape(-1)]
        for axis in range(3):
            here, there = _both(axis)
            pairs = [(here, there)]
            if self.periodic3[axis]:
                pairs.append((_end(axis, 0), _end(axis, -1)))
            for low, high in pairs:
                both = unknown[low] & unknown[high]
                i, j = number[low][both], number[high][both]
                if self.faces is None:
                    w = np.full(i.size, self.weights3[axis])
                else:
                    w = self.faces[axis][low][both]
                rows += [i, j]
                columns += [j, i]
                values += [-w, -w]
        entries = (np.concatenate(rows).astype(index), np.concatenate(columns).astype(index))
        coo = scipy.sparse.coo_array((np.concatenate(values).astype(self.dtype), entries), shape=(n, n))
        csr = coo.tocsr()
        csr.sum_duplicates()
        csr.eliminate_zeros()
        return csr

    def astype(self, dtype: Any) -> PoissonOperator:
        """The same geometry, sharing all arrays, with another nominal dtype."""
        import copy

        other = copy.copy(self)
        other.dtype = np.dtype(dtype)
        other.__dict__.pop("_geometry_cache", None)  # the kernel grid serves both precisions
        return other

    def shifted(self, shift: Any) -> PoissonOperator:
        """``A + shift`` as a PoissonOperator, which preconditioners made for grids still know.

        Parameters
        ----------
        shift : float or array of ``A.in_shape``
            Not negative.

        Examples
        --------
        >>> from sciml import PoissonOperator
        >>> A = PoissonOperator((4, 4), bc="neumann")
        >>> A.singular is None, A.shifted(2.0).singular is None
        (False, True)
        """
        return PoissonOperator(
            self.in_shape,
            spacing=self.spacing,
            bc=self.bc,
            cells=self.cells,
            coefficient=self._face_coefficients,
            shift=self.shift + check_shift(shift, self.in_shape),
            dtype=self.dtype,
            backend=self.backend,
            device=self._device,
        )

    def _from_numpy(self, values: np.ndarray) -> Array:
        if self.backend == "numpy":
            return values
        return from_numpy(values, self.backend, device=self._device)

    def __repr__(self) -> str:
        sides = sorted({side for pair in self.bc for side in pair})
        size = "x".join(map(str, self.in_shape))
        unknowns = np.count_nonzero(self.code != NOT_AN_UNKNOWN)
        parts = [f"{size} cells", f"{unknowns} unknowns", "+".join(sides)]
        if self._face_coefficients is not None:
            parts.append("variable coefficient")
        if self.singular:
            parts.append(f"{self.singular.count} singular component(s)")
        return f"<PoissonOperator {', '.join(parts)}, {self.dtype.name}>"


def _both(axis: int, ndim: int = 3) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all cells that have a lower neighbour along `axis`, and of those neighbours."""
    here, there = [slice(None)] * ndim, [slice(None)] * ndim
    here[axis], there[axis] = slice(1, None), slice(None, -1)
    return tuple(here), tuple(there)


def _end(axis: int, side: int, ndim: int = 3) -> tuple[slice, ...]:
    """Slice of the first (``side=0``) or last (``side=-1``) layer along `axis`, keeping the axis."""
    where = [slice(None)] * ndim
    where[axis] = slice(0, 1) if side == 0 else slice(-1, None)
    return tuple(where)
