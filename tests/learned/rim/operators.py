"""Small operators the tests of the recurrent inference machines share."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.backends.namespace import array_namespace, from_numpy
from sciml.operators import BaseOperator, CallableOperator


class MaskedFourier(BaseOperator):
    """Unitary Fourier transform, low frequencies in the middle, some set to zero: a scanner with one coil."""

    def __init__(self, mask: Any, dtype: Any = "complex128"):
        super().__init__(mask.shape, mask.shape, dtype)
        self.mask = mask

    def _apply(self, x):
        xp = array_namespace(x)
        return self.mask * xp.fft.fftshift(xp.fft.fftn(x, axes=(-2, -1), norm="ortho"), axes=(-2, -1))

    def _apply_adjoint(self, y):
        xp = array_namespace(y)
        return xp.fft.ifftn(xp.fft.ifftshift(self.mask * y, axes=(-2, -1)), axes=(-2, -1), norm="ortho")

    def astype(self, dtype):
        return self if np.dtype(dtype) == self.dtype else self.changed(dtype)

    def changed(self, dtype):
        xp = array_namespace(self.mask)
        real = {"complex64": "float32", "complex128": "float64"}[np.dtype(dtype).name]
        return MaskedFourier(xp.astype(self.mask, getattr(xp, real)), dtype)


def masked_fourier(rng, shape=(12, 10), share=0.6, library="numpy", dtype="complex128"):
    mask = (rng.random(shape) < share).astype("float32" if dtype == "complex64" else "float64")
    return MaskedFourier(from_numpy(mask, library), dtype)


def blur(shape=(12, 12), dtype="float64"):
    """A periodic blur of real images: every pixel with its four neighbours."""

    def apply(x):
        xp = array_namespace(x)
        neighbours = [xp.roll(x, s, axis=axis) for axis in (-2, -1) for s in (1, -1)]
        return 0.4 * x + 0.15 * sum(neighbours[1:], start=neighbours[0])

    return CallableOperator(apply, shape, dtype=dtype, properties={"linear", "symmetric"})


def image(rng, shape, dtype="complex128"):
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)
