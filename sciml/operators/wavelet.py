"""Orthonormal wavelets over the array API, and the l1 norm of their coefficients as a regulariser."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    device,
    dtype_name,
    from_numpy,
    is_numpy,
)
from .base import BaseOperator
from .sets import Resolvent

__all__ = ["Wavelet", "WaveletL1"]

OFFSETS = ((0, 0), (3, 3), (1, 2), (2, 1))
"""Shifts of the proximal average in order of use: odd and even ones on both axes, as decimation is by two."""

COARSEST = 8
"""By default the approximation keeps at least this many entries per axis."""


class Wavelet(BaseOperator):
    """The two-dimensional orthonormal discrete wavelet transform with periodic boundaries.

    PyWavelets filters NumPy arrays. In the other libraries one level is a small orthogonal matrix per axis,
    which at the sizes of images is as fast, and torch differentiates through it. Coefficients stand in one
    array of the shape of the image, the approximation in its first corner.

    Parameters
    ----------
    shape : tuple of int
        Of the image, ``(H, W)``; leading axes are a batch.
    wavelet : str
        Name of an orthogonal wavelet of PyWavelets, such as ``"db4"``, ``"haar"`` or ``"sym4"``.
    levels : int, optional
        As many as leave eight entries per axis, by default; ``H`` and ``W`` must be divisible by
        ``2^levels``.
    dtype : dtype-like

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import Wavelet
    >>> W = Wavelet((16, 16), "haar")
    >>> coefficients = W @ np.ones((16, 16))
    >>> int(np.count_nonzero(np.abs(coefficients) > 1e-12))  # only the approximation of a constant
    64
    """

    def __init__(
        self, shape: Any, wavelet: str = "db4", levels: int | None = None, *, dtype: Any = "complex64"
    ):
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError(f"shape is {shape}; expected (..., H, W)")
        self.wavelet = wavelet
        self.levels = _levels(shape[-2:], levels)
        _check_wavelet(wavelet)
        self._copies: dict[tuple, list[tuple[Array, Array]]] = {}
        super().__init__(shape, shape, dtype)

    def _apply(self, x: Array) -> Array:
        if is_numpy(x):
            return self._decompose(x)
        xp = array_namespace(x)
        coarse, levels = x, []
        for rows, columns in self._for(x):
            level = rows @ coarse @ xp.matrix_transpose(columns)
            levels.append(level)
            coarse = level[..., : level.shape[-2] // 2, : level.shape[-1] // 2]
        for level in reversed(levels):
            coarse = _put_corner(xp, coarse, level)
        return coarse

    def _apply_adjoint(self, y: Array) -> Array:
        if is_numpy(y):
            return self._reconstruct(y)
        xp = array_namespace(y)
        coarse = self.approximation(y)
        for i, (rows, columns) in reversed(list(enumerate(self._for(y)))):
            level = _put_corner(xp, coarse, y[..., : self.in_shape[-2] >> i, : self.in_shape[-1] >> i])
            coarse = xp.matrix_transpose(rows) @ level @ columns
        return coarse

    def approximation(self, y: Array) -> Array:
        """The coefficients in the first corner: the image at the coarsest level."""
        return y[..., : self.in_shape[-2] >> self.levels, : self.in_shape[-1] >> self.levels]

    def _decompose(self, x: np.ndarray) -> np.ndarray:
        import pywt

        y, coarse = np.empty_like(x), x
        for _ in range(self.levels):
            coarse, details = pywt.dwt2(coarse, self.wavelet, mode="periodization")
            for target, band in zip(_bands(y, coarse), details, strict=True):
                target[...] = band
        self.approximation(y)[...] = coarse
        return y

    def _reconstruct(self, y: np.ndarray) -> np.ndarray:
        import pywt

        coarse = self.approximation(y)
        for _ in range(self.levels):
            coarse = pywt.idwt2((coarse, _bands(y, coarse)), self.wavelet, mode="periodization")
        return coarse

    def astype(self, dtype: Any) -> Wavelet:
        return Wavelet(self.in_shape, self.wavelet, self.levels, dtype=dtype)

    def _for(self, x: Array) -> list[tuple[Array, Array]]:
        """The matrices of all levels in the library, precision and place of `x`."""
        key = (backend_name(x), dtype_name(x), str(device(x)))
        if key not in self._copies:
            rows, columns = (
                [
                    from_numpy(_level(self.wavelet, n >> i), key[0], dtype=key[1], device=device(x))
                    for i in range(self.levels)
                ]
                for n in self.in_shape[-2:]
            )
            self._copies[key] = list(zip(rows, columns, strict=True))
        return self._copies[key]


class WaveletL1(Resolvent):
    """``weight ‖W u‖₁`` over the detail coefficients of an orthonormal wavelet transform `W`.

    Its resolvent thresholds the coefficients softly. With several `shifts` it is the mean of that over images
    moved by a few pixels, which removes most of the block pattern of a single transform: a mean of resolvents
    is the resolvent of their *proximal average* at a fixed step, so solvers converge and certify as before.

    Parameters
    ----------
    weight : float
    shape : tuple of int
        Of the images, ``(..., H, W)``.
    wavelet, levels
        As in `Wavelet`.
    shifts : int
        1 to 4.

    Notes
    -----
    Sources: Lustig, Donoho and Pauly, Magn. Reson. Med. 58 (2007) 1182-1195; proximal average: Yu, NeurIPS
    2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import WaveletL1
    >>> G = WaveletL1(1.0, (16, 16), "haar")
    >>> u = np.zeros((16, 16), dtype=complex)
    >>> u[0, 0], u[1, 0] = 0.5, -0.5  # a detail of size 1 / sqrt(2)
    >>> float(np.abs(G.resolvent(u, 1.0)).max().round(6))
    0.0
    """

    def __init__(
        self, weight: float, shape: Any, wavelet: str = "db4", levels: int | None = None, *, shifts: int = 1
    ):
        if not isinstance(weight, int | float | np.floating) or not math.isfinite(weight) or weight <= 0:
            raise ValueError(f"weight is {weight!r}; expected a positive finite number")
        if not isinstance(shifts, int) or not 1 <= shifts <= len(OFFSETS):
            raise ValueError(f"shifts is {shifts!r}; expected a positive number up to {len(OFFSETS)}")
        self.weight, self.shifts = float(weight), int(shifts)
        self.W = Wavelet(shape, wavelet, levels)

    def resolvent(self, u: Array, step: Any = 1.0) -> Array:
        xp = array_namespace(u)
        total = self._thresholded(u, step)
        for down, right in OFFSETS[1 : self.shifts]:
            moved = self._thresholded(xp.roll(u, shift=(down, right), axis=(-2, -1)), step)
            total = total + xp.roll(moved, shift=(-down, -right), axis=(-2, -1))
        return total / self.shifts

    def value(self, u: Array) -> float:
        """``weight ‖W u‖₁`` of the details of the transform without shifts."""
        xp = array_namespace(u)
        coefficients = self.W._apply(u)
        total = xp.sum(xp.abs(coefficients)) - xp.sum(xp.abs(self.W.approximation(coefficients)))
        return self.weight * float(total)

    def check(self, u: Array) -> None:
        if tuple(u.shape) != self.W.in_shape:
            raise ValueError(
                f"u0 has shape {tuple(u.shape)}; expected {self.W.in_shape}, the wavelet's images"
            )

    def _thresholded(self, u: Array, step: Any) -> Array:
        return self.W._apply_adjoint(self._shrink(self.W._apply(u), step))

    def _shrink(self, coefficients: Array, step: Any) -> Array:
        xp = array_namespace(coefficients)
        size = xp.abs(coefficients)
        excess = size - self.weight * step
        kept = xp.where(excess > 0, excess / xp.where(size > 0, size, size + 1), size * 0)
        return _put_corner(xp, self.W.approximation(coefficients), coefficients * kept)


def _bands(y: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the details around an approximation of the size of `coarse`, in PyWavelets' order."""
    h, w = coarse.shape[-2:]
    return y[..., h : 2 * h, :w], y[..., :h, w : 2 * w], y[..., h : 2 * h, w : 2 * w]


def _put_corner(xp: Any, corner: Array, whole: Array) -> Array:
    """`whole` with its first entries replaced by `corner`, without writing to either."""
    h, w = corner.shape[-2], corner.shape[-1]
    top = xp.concat([corner, whole[..., :h, w:]], axis=-1)
    return xp.concat([top, whole[..., h:, :]], axis=-2)


def _levels(shape: tuple[int, ...], levels: int | None) -> int:
    most = 0
    while all(n % 2 ** (most + 1) == 0 and n >> (most + 1) >= COARSEST for n in shape):
        most += 1
    if levels is None:
        if most == 0:
            raise ValueError(
                f"images of {shape} allow no level; expected even sizes of at least {2 * COARSEST}"
            )
        return most
    if not isinstance(levels, int) or levels < 1 or any(n % 2**levels or n >> levels < 1 for n in shape):
        raise ValueError(f"levels is {levels!r}; expected a number >= 1 whose power of two divides {shape}")
    return levels


def _check_wavelet(wavelet: str) -> None:
    import pywt

    if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
        raise ValueError(f"wavelet is {wavelet!r}; expected an orthogonal one of PyWavelets, such as 'db4'")


def _level(wavelet: str, n: int) -> np.ndarray:
    """The orthogonal matrix of one level: low-pass rows first."""
    import pywt

    low, high = pywt.dwt(np.eye(n), wavelet, mode="periodization", axis=0)
    return np.concatenate([low, high])
