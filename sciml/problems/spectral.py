"""Periodic grids with Fourier transforms: derivatives, filters, and operators diagonal in Fourier space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, backend_name, device, from_numpy, real_dtype
from ..operators import BaseOperator

__all__ = ["Fields", "FourierMultiplier", "PeriodicGrid", "Symbol", "random_phases"]


class Symbol:
    """Numbers per wavenumber, handed out in the library, precision and place of the array they multiply."""

    def __init__(self, values: np.ndarray):
        self.values = np.asarray(values)
        self._copies: dict[Any, Array] = {}

    def like(self, u: Array) -> Array:
        """The numbers as an array that multiplies the transform of `u` (or that transform itself)."""
        single = real_dtype(u) == "float32"
        kind = {"c": "complex", "f": "float"}[self.values.dtype.kind]
        bits = (64, 32) if single else (128, 64)
        dtype = f"{kind}{bits[0] if kind == 'complex' else bits[1]}"
        key = (backend_name(u), str(device(u)), dtype)
        if key not in self._copies:
            self._copies[key] = from_numpy(self.values, key[0], dtype=dtype, device=device(u))
        return self._copies[key]


class PeriodicGrid:
    """A periodic box with equidistant nodes, the low corner first.

    Parameters
    ----------
    shape : int or sequence of int
        Nodes per axis.
    lengths : float or sequence of float
        Side lengths.

    Attributes
    ----------
    wavenumbers : list of ndarray
        ``2π j / length`` per axis, open-mesh shaped, in the layout of a real transform.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.problems.spectral import PeriodicGrid
    >>> grid = PeriodicGrid(32, 2 * np.pi)
    >>> x, = grid.coordinates()
    >>> bool(np.allclose(grid.derivative(np.sin(3 * x), 2), -9 * np.sin(3 * x)))
    True
    """

    def __init__(self, shape: int | Sequence[int], lengths: float | Sequence[float]):
        self.shape = (shape,) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
        sides = [float(lengths)] if isinstance(lengths, int | float) else [float(s) for s in lengths]
        if len(sides) == 1:
            sides *= len(self.shape)
        self.lengths = tuple(sides)
        if len(self.lengths) != len(self.shape):
            raise ValueError(
                f"lengths is {lengths}; expected one number or one per axis of shape {self.shape}"
            )
        if min(self.shape) < 4:
            raise ValueError(f"shape is {self.shape}; expected at least 4 nodes per axis")
        if not all(math.isfinite(side) and side > 0 for side in self.lengths):
            raise ValueError(f"lengths is {lengths}; expected positive numbers")
        self.ndim = len(self.shape)
        self.spacing = tuple(side / n for side, n in zip(self.lengths, self.shape, strict=True))
        self.axes = tuple(range(-self.ndim, 0))
        modes = [np.fft.fftfreq(n, 1.0 / n) for n in self.shape[:-1]]
        modes.append(np.arange(self.shape[-1] // 2 + 1, dtype=float))
        waves = [2.0 * math.pi / side * m for side, m in zip(self.lengths, modes, strict=True)]
        self.wavenumbers = list(np.meshgrid(*waves, indexing="ij", sparse=True))
        self.spectral_shape = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        self._derivatives: dict[tuple[int, int], Symbol] = {}
        self._inverse_laplacian: Symbol | None = None

    def coordinates(self) -> list[np.ndarray]:
        """Node coordinates per axis, open-mesh shaped; the first node is the origin."""
        axes = [np.arange(n) * h for n, h in zip(self.shape, self.spacing, strict=True)]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))

    def magnitude(self) -> np.ndarray:
        """``|k|`` for every coefficient of the real transform."""
        return np.sqrt(sum(k**2 for k in self.wavenumbers))

    def transform(self, u: Array) -> Array:
        """The real Fourier transform over the axes of the grid; leading axes are a batch."""
        if self.ndim == 1:
            return array_namespace(u).fft.rfft(u)
        return array_namespace(u).fft.rfftn(u, axes=self.axes)

    def inverse(self, u_hat: Array) -> Array:
        """The inverse of `transform`."""
        if self.ndim == 1:
            return array_namespace(u_hat).fft.irfft(u_hat, n=self.shape[0])
        return array_namespace(u_hat).fft.irfftn(u_hat, s=self.shape, axes=self.axes)

    def derivative_symbol(self, order: int, axis: int = 0) -> Symbol:
        """``(i k)^order`` along an axis; of odd orders the Nyquist mode, which has no sign, is zero."""
        key = (order, axis)
        if key not in self._derivatives:
            k = self.wavenumbers[axis]
            values = (1j * k) ** order + np.zeros(self.spectral_shape)
            if order % 2 and self.shape[axis] % 2 == 0:
                values = np.where(np.abs(k) >= np.abs(k).max() * (1 - 1e-12), 0.0, values)
            self._derivatives[key] = Symbol(values)
        return self._derivatives[key]

    def inverse_laplacian_symbol(self) -> Symbol:
        """``1 / |k|²``, zero for the mean: what turns a vorticity into a stream function."""
        if self._inverse_laplacian is None:
            k2 = self.magnitude() ** 2
            self._inverse_laplacian = Symbol(np.where(k2 > 0, 1.0 / np.where(k2 > 0, k2, 1.0), 0.0))
        return self._inverse_laplacian

    def derivative(self, u: Array, order: int, axis: int = 0, scheme: str = "spectral") -> Array:
        """A derivative of a periodic field; leading axes of `u` are a batch.

        Parameters
        ----------
        u : array of shape ``(..., *shape)``
        order : int
        axis : int
            Of the grid.
        scheme : {"spectral", "fd2"}
            Fourier, or second-order central differences (orders above three by repetition, as PDE-FIND does).
        """
        if order == 0:
            return u
        if scheme == "spectral":
            return self.inverse(self.derivative_symbol(order, axis).like(u) * self.transform(u))
        if scheme != "fd2":
            raise ValueError(f"scheme is {scheme!r}; expected 'spectral' or 'fd2'")
        h, where = self.spacing[axis], axis - self.ndim
        xp = array_namespace(u)
        if order > 3:
            return self.derivative(self.derivative(u, 3, axis, scheme), order - 3, axis, scheme)
        ahead, behind = xp.roll(u, -1, axis=where), xp.roll(u, 1, axis=where)
        if order == 1:
            return (ahead - behind) / (2.0 * h)
        if order == 2:
            return (ahead - 2.0 * u + behind) / h**2
        ahead2, behind2 = xp.roll(u, -2, axis=where), xp.roll(u, 2, axis=where)
        return (0.5 * (ahead2 - behind2) - ahead + behind) / h**3

    def resample(self, u: Array, other: PeriodicGrid) -> Array:
        """The trigonometric interpolant of `u` on the nodes of another grid of the same box.

        Going coarser, modes the coarse grid cannot hold are dropped (not aliased).
        """
        xp = array_namespace(u)
        hat = self.transform(u)
        for axis in range(self.ndim):
            n, m = self.shape[axis], other.shape[axis]
            keep = (min(n, m) + 1) // 2  # modes |j| < keep exist, with both signs, on either grid
            where = axis - self.ndim
            low = _take(hat, 0, keep, where)
            parts = [low]
            if axis == self.ndim - 1:
                missing = m // 2 + 1 - keep
            else:
                missing = m - (2 * keep - 1)
            if missing > 0:
                shape = list(hat.shape)
                shape[where] = missing
                parts.append(xp.zeros(tuple(shape), dtype=hat.dtype, device=device(hat)))
            if axis != self.ndim - 1 and keep > 1:
                parts.append(_take(hat, n - keep + 1, n, where))
            hat = xp.concat(parts, axis=where) if len(parts) > 1 else low
        return other.inverse(hat) * (math.prod(other.shape) / math.prod(self.shape))

    def lowpass(self, u: Array, cutoff: float) -> Array:
        """`u` without wavenumbers above `cutoff`."""
        mask = Symbol((self.magnitude() <= cutoff).astype(float))
        return self.inverse(mask.like(u) * self.transform(u))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeriodicGrid) and self.shape == other.shape and self.lengths == other.lengths

    def __hash__(self) -> int:
        return hash((self.shape, self.lengths))

    def __repr__(self) -> str:
        return f"PeriodicGrid({self.shape}, {self.lengths})"


class Fields:
    """One state and what is computed from it, each once: its transform and its derivatives.

    Terms of a model or of a candidate library are functions of this object: ``lambda f: f.u * f.d(1)``.

    Attributes
    ----------
    u : array
        The state; leading axes are a batch.
    grid : PeriodicGrid or None
        None for ordinary differential equations.
    """

    def __init__(
        self, u: Array, grid: PeriodicGrid | None = None, hat: Array | None = None, scheme: str = "spectral"
    ):
        self.u, self.grid, self.scheme = u, grid, scheme
        self._hat = hat
        self._derivatives: dict[tuple[int, int], Array] = {}
        self.memory: dict[str, Array] = {}

    @property
    def hat(self) -> Array:
        """The Fourier transform of the state."""
        if self._hat is None:
            self._hat = self._grid().transform(self.u)
        return self._hat

    def d(self, order: int, axis: int = 0) -> Array:
        """A derivative of the state."""
        if order == 0:
            return self.u
        key = (order, axis)
        if key not in self._derivatives:
            grid = self._grid()
            if self.scheme == "spectral":
                value = grid.inverse(grid.derivative_symbol(order, axis).like(self.u) * self.hat)
            else:
                value = grid.derivative(self.u, order, axis, self.scheme)
            self._derivatives[key] = value
        return self._derivatives[key]

    def once(self, name: str, compute: Any) -> Array:
        """``compute()``, remembered under `name`: what several terms share (a stream function)."""
        if name not in self.memory:
            self.memory[name] = compute()
        return self.memory[name]

    def _grid(self) -> PeriodicGrid:
        if self.grid is None:
            raise ValueError("this state lives on no grid, so it has no spatial derivatives")
        return self.grid


class FourierMultiplier(BaseOperator):
    """A linear operator that multiplies every Fourier coefficient by a number: ``Δ``, ``I − dt/2 L``.

    Parameters
    ----------
    grid : PeriodicGrid
    symbol : array
        One number per coefficient of the real transform. Real numbers make the operator symmetric.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import cg
    >>> from sciml.problems.spectral import FourierMultiplier, PeriodicGrid
    >>> grid = PeriodicGrid(64, 1.0)
    >>> A = FourierMultiplier(grid, 1.0 + grid.wavenumbers[0] ** 2)     # I - Δ
    >>> b = np.random.default_rng(0).standard_normal(64)
    >>> x = cg(A, b, M=A.inverse(), rtol=1e-10).x
    >>> bool(np.allclose(x, A.inverse() @ b))
    True
    """

    def __init__(self, grid: PeriodicGrid, symbol: np.ndarray, dtype: Any = "float64"):
        values = np.broadcast_to(np.asarray(symbol), grid.spectral_shape)
        values = values.astype(complex if values.dtype.kind == "c" else float)
        if values.dtype.kind == "c" and not np.any(values.imag):
            values = values.real
        properties: set[str] = {"linear"}
        if values.dtype.kind == "f":
            properties.add("symmetric")
            if values.min() > 0:
                properties.add("positive_definite")
            elif values.min() == 0:
                properties.add("positive_semidefinite")
        super().__init__(grid.shape, grid.shape, dtype, properties)
        self.grid, self.symbol = grid, Symbol(values)
        self._conjugate = Symbol(values.conj()) if values.dtype.kind == "c" else self.symbol

    def _apply(self, x: Array) -> Array:
        return self.grid.inverse(self.symbol.like(x) * self.grid.transform(x))

    def _apply_adjoint(self, y: Array) -> Array:
        return self.grid.inverse(self._conjugate.like(y) * self.grid.transform(y))

    def inverse(self) -> FourierMultiplier:
        """The operator that divides instead.

        Raises
        ------
        ValueError
            If a number of the symbol is zero.
        """
        if not np.all(self.symbol.values):
            raise ValueError("the symbol has a zero, so the operator is singular")
        return FourierMultiplier(self.grid, 1.0 / self.symbol.values, self.dtype)

    def astype(self, dtype: Any) -> FourierMultiplier:
        return FourierMultiplier(self.grid, self.symbol.values, dtype)


def random_phases(
    grid: PeriodicGrid,
    rng: np.random.Generator,
    *,
    rms: float = 1.0,
    cutoff: float = 1.0,
    batch: Iterable[int] = (),
) -> np.ndarray:
    """Smooth random fields without any symmetry: normal coefficients for ``0 < |k| <= cutoff``.

    A symmetric initial condition (such as a product of sines) keeps many equations on an invariant
    subspace on which odd and even library terms are orthogonal; discovery is then easier than it should be.

    Parameters
    ----------
    grid : PeriodicGrid
    rng : numpy Generator
    rms : float
        Root mean square of each field.
    cutoff : float
        Largest wavenumber.
    batch : sequence of int
        Leading shape of the result.
    """
    k = grid.magnitude()
    noise = grid.transform(rng.standard_normal((*batch, *grid.shape)))
    u = grid.inverse(np.where((k > 0) & (k <= cutoff), noise, 0.0))
    return u * (rms / np.sqrt(np.mean(u**2, axis=grid.axes, keepdims=True)))


def _take(x: Array, start: int, stop: int, axis: int) -> Array:
    index: list[Any] = [slice(None)] * len(x.shape)
    index[axis] = slice(start, stop)
    return x[tuple(index)]
