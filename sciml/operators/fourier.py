"""Fourier transforms over the array API, in the two conventions in use for k-space."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft

from ..backends.namespace import Array, array_namespace, is_numpy

__all__ = ["NORMS", "centred_fft", "centred_ifft", "fft", "ifft", "modulation"]

NORMS = ("ortho", "backward")
"""``ortho``: unitary. ``backward``: the forward transform is not scaled."""


def fft(x: Array, axes: Sequence[int], norm: str = "ortho") -> Array:
    """The discrete Fourier transform over `axes`; the origin is the first entry."""
    return _library(x).fftn(x, axes=tuple(axes), norm=norm)


def ifft(x: Array, axes: Sequence[int], norm: str = "ortho") -> Array:
    """The inverse of `fft` with the same `norm`."""
    return _library(x).ifftn(x, axes=tuple(axes), norm=norm)


def centred_fft(x: Array, axes: Sequence[int] = (-2, -1)) -> Array:
    """The unitary transform of images whose origin is entry ``n // 2`` of every axis, in both domains.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators.fourier import centred_fft
    >>> point = np.zeros((4, 4), dtype=complex)
    >>> point[2, 2] = 4.0
    >>> centred_fft(point).real.round(6).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """
    return _shifted(fft, x, axes)


def centred_ifft(x: Array, axes: Sequence[int] = (-2, -1)) -> Array:
    """The inverse and the adjoint of `centred_fft`."""
    return _shifted(ifft, x, axes)


def modulation(shape: Sequence[int]) -> tuple[np.ndarray, complex]:
    r"""What makes a plain transform a centred one: :math:`F_c = s\,\mathrm{diag}(a)\,F\,\mathrm{diag}(a)`.

    Multiplying by `a` on both sides costs less than moving the data twice, and nothing where it is absorbed
    into coil maps and masks. Even sizes give a chequerboard of exact signs.

    Returns
    -------
    a : ndarray of `shape`, real if all sizes are even
    s : complex
        Of modulus one.
    """
    total, factor = np.ones((1,) * len(shape)), 1.0 + 0.0j
    for axis, n in enumerate(shape):
        h = n // 2
        if n % 2 == 0:
            a, s = np.where(np.arange(n) % 2 == 0, 1.0, -1.0), (1.0 if h % 2 == 0 else -1.0) + 0.0j
        else:
            a = np.exp(2j * math.pi * h * np.arange(n) / n)
            s = cmath.exp(-2j * math.pi * h * h / n)
        view = [1] * len(shape)
        view[axis] = n
        total, factor = total * a.reshape(view), factor * s
    return total, factor


def _shifted(transform: Any, x: Array, axes: Sequence[int]) -> Array:
    shifts = _library(x)
    return shifts.fftshift(transform(shifts.ifftshift(x, axes=tuple(axes)), axes), axes=tuple(axes))


def _library(x: Array) -> Any:
    # On NumPy arrays SciPy's transforms are several times faster than NumPy's own.
    return scipy.fft if is_numpy(x) else array_namespace(x).fft
