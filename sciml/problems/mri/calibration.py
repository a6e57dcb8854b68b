"""Coil maps estimated from the fully sampled centre of k-space (the autocalibration signal, ACS)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    compute_dtype,
    device,
    from_numpy,
    is_array,
    norm2,
    real_dtype,
)
from ...operators.fourier import centred_fft, centred_ifft

__all__ = ["espirit_maps", "low_resolution_maps"]


def espirit_maps(
    y: Array, *, acs: int = 24, kernel: int = 6, threshold: float = 0.02, crop: float = 0.8
) -> Array:
    """Coil maps by ESPIRiT: the eigenvectors of what neighbouring k-space samples have in common.

    Parameters
    ----------
    y : complex array of shape ``(C, H, W)``
        Centred k-space whose central ``acs x acs`` square is fully sampled.
    acs : int
        Side of that square; 24 is customary.
    kernel : int
        Side of the windows.
    threshold : float
        Singular values below this fraction of the largest count as noise.
    crop : float
        Maps are zero where the largest eigenvalue is below this: outside the object.

    Returns
    -------
    complex array of shape ``(C, H, W)``, in the library of `y`
        With a root sum of squares of one inside the object and zero outside. The phase is relative to the
        dominant combination of coils.

    Raises
    ------
    ValueError
        If the centre is not fully sampled, or too small for the kernel.

    Notes
    -----
    Source: Uecker et al., Magn. Reson. Med. 71 (2014) 990-1001. The operator is assembled as the
    autocorrelation of the row space, so that only ``C²`` small arrays are transformed.
    """
    xp = array_namespace(y)
    centre = _calibration(y, acs)
    if not isinstance(kernel, int) or not 2 <= kernel <= acs // 2:
        raise ValueError(f"kernel is {kernel!r}; expected 2 to {acs // 2} (half of acs)")
    coils, h, w = (int(n) for n in y.shape)
    projection = _row_space(centre, kernel, threshold)
    correlation = _autocorrelation(projection, kernel, coils)
    grid = _embed(xp, correlation, h, w)
    gram = centred_fft(grid) * (math.sqrt(h * w) / kernel**2)
    gram = xp.permute_dims(xp.reshape(gram, (coils, coils, h, w)), (2, 3, 0, 1))
    values, vectors = xp.linalg.eigh(gram)
    maps = vectors[..., -1]
    inside = xp.expand_dims(values[..., -1] > crop, axis=-1)
    maps = xp.where(inside, maps, maps * 0)
    # The direction of most energy among the coils gives every point a phase.
    flat = xp.reshape(centre, (coils, -1))
    _, directions = xp.linalg.eigh(flat @ xp.conj(xp.matrix_transpose(flat)))
    virtual = xp.sum(maps * xp.conj(directions[:, -1]), axis=-1, keepdims=True)
    size = xp.abs(virtual)
    maps = maps * xp.conj(virtual) / xp.where(size > 0, size, size + 1)
    return xp.astype(xp.permute_dims(maps, (2, 0, 1)), y.dtype)


def low_resolution_maps(y: Array, *, acs: int = 24, crop: float = 0.05) -> Array:
    """Coil maps as low-resolution coil images over their root sum of squares: quick, and blurred at edges.

    Parameters
    ----------
    y : complex array of shape ``(C, H, W)``
    acs : int
        Side of the fully sampled centre, weighted by a Hann window.
    crop : float
        Maps are zero where the root sum of squares is below this fraction of its largest value.

    Returns
    -------
    complex array of shape ``(C, H, W)``
    """
    xp = array_namespace(y)
    centre = _calibration(y, acs)
    window = np.outer(*(np.hanning(acs + 2)[1:-1],) * 2)
    centre = centre * from_numpy(window, backend_name(y), dtype=real_dtype(centre), device=device(y))
    images = centred_ifft(_embed(xp, centre, int(y.shape[-2]), int(y.shape[-1])))
    rss = xp.sqrt(xp.sum(xp.abs(images) ** 2, axis=0, keepdims=True))
    inside = rss > crop * xp.max(rss)
    maps = xp.where(inside, images / xp.where(inside, rss, xp.ones_like(rss)), images * 0)
    return xp.astype(maps, y.dtype)


def _calibration(y: Any, acs: int) -> Array:
    """The central square of `y` in double precision, checked to be sampled."""
    if not is_array(y) or len(y.shape) != 3:
        shape = tuple(y.shape) if is_array(y) else type(y).__name__
        raise ValueError(f"y is {shape}; expected one k-space of shape (coils, H, W)")
    h, w = int(y.shape[-2]), int(y.shape[-1])
    if not isinstance(acs, int) or not 4 <= acs <= min(h, w):
        raise ValueError(f"acs is {acs!r}; expected 4 to {min(h, w)}")
    xp = array_namespace(y)
    top, left = h // 2 - acs // 2, w // 2 - acs // 2
    centre = xp.astype(y[:, top : top + acs, left : left + acs], getattr(xp, compute_dtype(y)))
    if not math.isfinite(norm2(centre)):
        raise ValueError("y holds a value that is not finite (NaN or infinity) in its centre")
    missing = int(xp.sum(xp.astype(xp.all(centre == 0, axis=0), xp.int64)))
    if missing:
        raise ValueError(
            f"the central {acs} x {acs} samples of y are not all measured ({missing} are zero in all coils); "
            "maps need a fully sampled centre: lower acs, or sample with acs="
        )
    return centre


def _row_space(centre: Array, kernel: int, threshold: float) -> Array:
    """The projection onto what all windows of the centre span, as ``(k, k, C, k, k, C)``."""
    xp = array_namespace(centre)
    coils, acs = int(centre.shape[0]), int(centre.shape[1])
    n = acs - kernel + 1
    windows = [centre[:, p : p + n, q : q + n] for p in range(kernel) for q in range(kernel)]
    columns = xp.reshape(xp.stack(windows), (kernel * kernel * coils, n * n))
    values, vectors = xp.linalg.eigh(columns @ xp.conj(xp.matrix_transpose(columns)))
    largest = float(values[-1])
    keep = int(xp.sum(xp.astype(values > threshold**2 * largest, xp.int64)))
    basis = vectors[:, int(values.shape[0]) - keep :]
    projection = basis @ xp.conj(xp.matrix_transpose(basis))
    return xp.reshape(projection, (kernel, kernel, coils) * 2)


def _autocorrelation(projection: Array, kernel: int, coils: int) -> Array:
    r"""Sums of the projection over pairs of positions with one offset, as ``(C, C, 2k − 1, 2k − 1)``."""
    xp = array_namespace(projection)
    size = 2 * kernel - 1
    total = xp.zeros((size, size, coils, coils), dtype=projection.dtype, device=device(projection))
    for p in range(kernel):
        for q in range(kernel):
            block = xp.permute_dims(projection[p, q, ...], (1, 2, 0, 3))
            total[kernel - 1 - p : size - p, kernel - 1 - q : size - q, :, :] += block
    return xp.permute_dims(total, (2, 3, 0, 1))


def _embed(xp: Any, x: Array, h: int, w: int) -> Array:
    """`x` in the middle of zeros of shape ``(..., h, w)``: its entry ``n // 2`` at the centre."""
    rows, columns = int(x.shape[-2]), int(x.shape[-1])
    grid = xp.zeros((*x.shape[:-2], h, w), dtype=x.dtype, device=device(x))
    top, left = h // 2 - rows // 2, w // 2 - columns // 2
    grid[..., top : top + rows, left : left + columns] = x
    return grid
