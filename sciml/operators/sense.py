r"""SENSE: the multi-coil Fourier encoding of magnetic resonance imaging, :math:`y_c = M F S_c x`."""

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
    is_array,
    real_dtype,
)
from .base import BaseOperator
from .fourier import NORMS, fft, ifft, modulation
from .least_squares import NormalEquations

__all__ = ["Sense", "SenseNormal"]


class Sense(BaseOperator):
    r"""Coil images of `x`, Fourier transformed and sampled: :math:`y_c = M F S_c x` for coils ``c = 1 … C``.

    A `LinearOperator` of images to k-space, so every solver takes it: CG-SENSE is
    ``cg(A.normal() + mu, A.H @ y)``. The adjoint is exact for both conventions, and torch differentiates
    through it.

    Parameters
    ----------
    maps : complex array of shape ``(..., C, *image)``
        Coil sensitivities; leading axes are a batch of independent scans.
    mask : array, optional
        Sampled locations (bool), or real weights ≥ 0; any shape that broadcasts to ``(..., *image)``, such as
        ``(H, W)``, or ``(W,)`` for fully sampled rows. Everything is sampled by default.
    centred : bool
        The origin is entry ``n // 2`` of every axis, in image and k-space (fastMRI, BART, ISMRMRD); otherwise
        it is the first entry.
    norm : {"ortho", "backward"}
        Unitary, or not scaled forward (the adjoint then is not scaled either).
    ndim : int
        Axes of an image: 2, or 3 for volumes.

    Attributes
    ----------
    coils : int
    acceleration : float
        Locations over sampled locations, over the whole batch: the true one, not what a mask was asked for.

    Raises
    ------
    TypeError, ValueError
        If maps are not complex, hold NaN, or do not fit the mask; if nothing is sampled.

    Notes
    -----
    Source: Pruessmann, Weiger, Scheidegger and Boesiger, Magn. Reson. Med. 42 (1999) 952-962.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import cg
    >>> from sciml.operators import Sense
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((4, 8, 8)) + 1j * rng.standard_normal((4, 8, 8))
    >>> mask = np.arange(8) % 2 == 0
    >>> A = Sense(maps, mask)
    >>> A
    <Sense 4 coils, 8 x 8, R = 2.00, complex128>
    >>> x = rng.standard_normal((8, 8)) + 0j
    >>> result = cg(A.normal(), A.H @ (A @ x), rtol=1e-10)
    >>> bool(np.allclose(result.x, x))
    True
    """

    def __init__(
        self,
        maps: Array,
        mask: Array | None = None,
        *,
        centred: bool = True,
        norm: str = "ortho",
        ndim: int = 2,
    ):
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
        if ndim not in (2, 3):
            raise ValueError(f"ndim is {ndim!r}; expected 2 or 3, the axes of an image")
        _check_maps(maps, ndim)
        self.maps, self.centred, self.norm, self.ndim = maps, bool(centred), norm, ndim
        shape = tuple(maps.shape)
        self.batch, self.coils, self.image_shape = shape[: -ndim - 1], shape[-ndim - 1], shape[-ndim:]
        self.mask = None if mask is None else _checked_mask(mask, maps, self.batch + self.image_shape)
        super().__init__(self.batch + self.image_shape, shape, dtype_name(maps))
        self._axes = tuple(range(-ndim, 0))
        self._coil_axis = -ndim - 1
        self._encode()

    def _encode(self) -> None:
        """Absorb the centring into maps and mask, so that only plain transforms remain."""
        xp, library, place = array_namespace(self.maps), backend_name(self.maps), device(self.maps)
        real = real_dtype(self.maps)
        weight = None
        if self.mask is not None:
            weight = xp.expand_dims(xp.astype(self.mask, getattr(xp, real)), axis=self._coil_axis)
        self._power = None if weight is None else weight * weight
        self._maps = self.maps
        if self.centred:
            a, s = modulation(self.image_shape)
            kind = real if a.dtype.kind == "f" else dtype_name(self.maps)
            self._maps = self.maps * from_numpy(a, library, dtype=kind, device=place)
            k_space = a * s.real if a.dtype.kind == "f" else a * s
            phases = from_numpy(k_space, library, dtype=kind, device=place)
            weight = phases if weight is None else weight * phases
        self._weight = weight
        self._conj_maps = xp.conj(self._maps)
        self._conj_weight = (
            weight if weight is None or xp.isdtype(weight.dtype, "real floating") else xp.conj(weight)
        )

    def _apply(self, x: Array) -> Array:
        xp = array_namespace(x)
        y = fft(self._maps * xp.expand_dims(x, axis=self._coil_axis), self._axes, self.norm)
        return y if self._weight is None else y * self._weight

    def _apply_adjoint(self, y: Array) -> Array:
        if self._conj_weight is not None:
            y = y * self._conj_weight
        return self._combine(y)

    def _combine(self, y: Array) -> Array:
        # The adjoint of the transform that is not scaled is the inverse that is not scaled.
        coil_images = ifft(y, self._axes, "ortho" if self.norm == "ortho" else "forward")
        return array_namespace(y).sum(self._conj_maps * coil_images, axis=self._coil_axis)

    # -- what solvers ask for -----------------------------------------------------------------
    def normal(self) -> SenseNormal:
        """``Aᴴ A`` as one operator, cheaper than the product and with a known diagonal."""
        return SenseNormal(self)

    def norm_bound(self) -> float:
        r"""An upper bound of ``‖A‖₂``: :math:`\max_p (\sum_c |S_c(p)|^2)^{1/2}` times the largest weight.

        It is 1 for maps whose squares sum to one.
        """
        xp = array_namespace(self.maps)
        bound = math.sqrt(float(xp.max(self._sum_of_squares())))
        if self.mask is not None:
            bound *= float(xp.max(xp.astype(self.mask, getattr(xp, real_dtype(self.maps)))))
        return bound * (1.0 if self.norm == "ortho" else math.sqrt(math.prod(self.image_shape)))

    def finite_sum(self, y: Array, *, G: Any = None) -> NormalEquations:
        """``Aᴴ (A x − y)`` as a sum over coils, for `sciml.halpern` and the other stochastic solvers.

        Parameters
        ----------
        y : array of ``A.out_shape``
        G : object with ``resolvent``, optional
            A regulariser, such as `sciml.operators.WaveletL1`.
        """
        if tuple(y.shape) != self.out_shape:
            raise ValueError(f"y has shape {tuple(y.shape)}; expected the k-space {self.out_shape}")
        parts, data = [], []
        for c in range(self.coils):
            coil = (..., slice(c, c + 1), *(slice(None),) * self.ndim)
            parts.append(self._with_maps(self.maps[coil]))
            data.append(y[coil])
        return NormalEquations(parts, data, norms=[part.norm_bound() for part in parts], G=G)

    @property
    def acceleration(self) -> float:
        if self.mask is None:
            return 1.0
        xp = array_namespace(self.mask)
        sampled = int(xp.count_nonzero(self.mask))
        return math.prod(self.mask.shape) / sampled

    def astype(self, dtype: Any) -> Sense:
        if np.dtype(dtype) == self.dtype:
            return self
        xp = array_namespace(self.maps)
        return self._with_maps(xp.astype(self.maps, getattr(xp, np.dtype(dtype).name)))

    def _with_maps(self, maps: Array) -> Sense:
        return Sense(maps, self.mask, centred=self.centred, norm=self.norm, ndim=self.ndim)

    def _sum_of_squares(self) -> Array:
        xp = array_namespace(self.maps)
        return xp.sum(xp.real(self.maps) ** 2 + xp.imag(self.maps) ** 2, axis=self._coil_axis)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_shape))
        batch = f"batch of {' x '.join(map(str, self.batch))}, " if self.batch else ""
        return (
            f"<Sense {batch}{self.coils} coils, {size}, R = {self.acceleration:.2f}, "
            f"{self.dtype.name}{'' if self.centred else ', not centred'}>"
        )


class SenseNormal(BaseOperator):
    """``Aᴴ A`` of a `Sense` operator `A`: Hermitian, positive semidefinite; made by ``A.normal()``."""

    def __init__(self, A: Sense):
        self.A = A
        super().__init__(A.in_shape, A.in_shape, A.dtype, {"symmetric", "positive_semidefinite"})

    def _apply(self, x: Array) -> Array:
        A = self.A
        # The phases of the centring in k-space cancel between transform and adjoint.
        y = fft(A._maps * array_namespace(x).expand_dims(x, axis=A._coil_axis), A._axes, A.norm)
        return A._combine(y if A._power is None else y * A._power)

    def diagonal(self) -> Array:
        A, xp = self.A, array_namespace(self.A.maps)
        values = A._sum_of_squares()
        if A._power is not None:
            power = xp.squeeze(A._power, axis=A._coil_axis)
            values = values * xp.mean(power, axis=A._axes, keepdims=True)
        if A.norm == "backward":
            values = values * math.prod(A.image_shape)
        return xp.reshape(xp.astype(values, A.maps.dtype), (-1,))

    def astype(self, dtype: Any) -> SenseNormal:
        return SenseNormal(self.A.astype(dtype))


def _check_maps(maps: Any, ndim: int) -> None:
    if not is_array(maps):
        raise TypeError(f"maps is a {type(maps).__name__}; expected an array")
    shape = tuple(maps.shape)
    if len(shape) < ndim + 1 or 0 in shape:
        axes = ", ".join("ZHW"[3 - ndim :])
        raise ValueError(f"maps has shape {shape}; expected (..., coils, {axes}) without empty axes")
    if dtype_name(maps) not in ("complex64", "complex128"):
        raise TypeError(f"maps has dtype {dtype_name(maps)}; expected complex64 or complex128")
    xp = array_namespace(maps)
    if not bool(xp.all(xp.isfinite(maps))):
        raise ValueError("maps holds a value that is not finite (NaN or infinity); expected finite numbers")


def _checked_mask(mask: Any, maps: Array, domain: tuple[int, ...]) -> Array:
    """`mask` broadcast to the axes of `domain` (kept thin), checked."""
    if not is_array(mask):
        raise TypeError(f"mask is a {type(mask).__name__}; expected an array like maps")
    if backend_name(mask) != backend_name(maps) or device(mask) != device(maps):
        raise TypeError(
            f"mask is a {backend_name(mask)} array on {device(mask)} but maps a {backend_name(maps)} array "
            f"on {device(maps)}; expected the same. Convert explicitly: sciml never moves data silently."
        )
    xp, shape = array_namespace(mask), tuple(mask.shape)
    padded = (1,) * (len(domain) - len(shape)) + shape
    if len(shape) > len(domain) or any(m not in (1, n) for m, n in zip(padded, domain, strict=True)):
        raise ValueError(f"mask has shape {shape}; expected one that broadcasts to the k-space {domain}")
    if xp.isdtype(mask.dtype, "complex floating"):
        raise TypeError(f"mask has dtype {dtype_name(mask)}; expected bool or real weights")
    if xp.isdtype(mask.dtype, "integral"):
        mask = xp.astype(mask, getattr(xp, real_dtype(maps)))
    if not xp.isdtype(mask.dtype, "bool") and not bool(xp.all((mask >= 0) & (mask <= _FINITE))):
        raise ValueError("mask holds a value that is negative or not finite; expected weights >= 0")
    if not bool(xp.any(mask)):
        raise ValueError("mask samples nothing: all its entries are zero")
    return xp.reshape(mask, padded)


_FINITE = 1e30
"""Weights above this overflow when squared in single precision."""
