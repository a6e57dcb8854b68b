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
)
from .stencil_setup import NOT_AN_UNKNOWN, assemble_faces, boundary_rhs, diagonal_codes, layer, neighbours

__all__ = ["DIRICHLET", "FLUID", "SOLID", "PoissonOperator"]


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
            self.code, self.diagonal_table = diagonal_codes(self, scale)
        else:
            self.faces, self.diagonal3, self.code = assemble_faces(self, scale)
            self.diagonal_table = np.full(256, scale)
        self.singular: SingularComponents | None = find_singular_components(self)
        definite = "positive_semidefinite" if self.singular else "positive_definite"
        self.properties = check_properties({"symmetric", definite})

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
        padded, held = grid.enclose(x)
        y = np.empty(grid.cells, x.dtype)
        parallel(stencil.apply, grid.shape[0], padded, y, grid.stencil(x.dtype), grain=grid.grain)
        if held:
            blank = grid.blank()
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
            here, there = neighbours(axis)
            first, last = layer(axis, 0), layer(axis, -1)
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
        return boundary_rhs(self, value)

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
            here, there = neighbours(axis)
            pairs = [(here, there)]
            if self.periodic3[axis]:
                pairs.append((layer(axis, 0), layer(axis, -1)))
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
