"""The classical reconstructions a learned one has to beat, on the same operator and solvers."""

from __future__ import annotations

import math
from typing import Any

from ...backends.namespace import Array, array_namespace, is_array, norm2, require_same_backend
from ...operators.finite_sum import AffineSum
from ...operators.sense import Sense
from ...operators.wavelet import WaveletL1
from ...solvers.cg import cg
from ...solvers.forward_backward import forward_backward
from ...solvers.result import SolveResult

__all__ = ["cg_sense", "compressed_sensing", "zero_filled"]


def zero_filled(A: Sense, y: Array) -> Array:
    """``Aᴴ y``: what is seen without any reconstruction.

    Raises
    ------
    ValueError
        If `y` does not fit `A`, is zero everywhere or holds NaN.
    """
    _check_k_space(A, y)
    return A.rmatvec(y)


def cg_sense(
    A: Sense, y: Array, *, mu: float = 1e-3, rtol: float = 1e-3, maxiter: int = 100, on_failure: str = "warn"
) -> SolveResult:
    r"""CG-SENSE: :math:`(A^H A + \mu\|A\|^2)\,x = A^H y` by conjugate gradients.

    Parameters
    ----------
    A : Sense
    y : array of ``A.out_shape``
    mu : float
        Weight of ``‖x‖²`` relative to the squared norm of `A`.
    rtol, maxiter, on_failure
        As in `sciml.cg`.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Pruessmann et al., Magn. Reson. Med. 46 (2001) 638-651.

    Examples
    --------
    >>> from sciml.problems.mri import cg_sense, load_slices, psnr, sampling_mask, simulate, zero_filled
    >>> head = load_slices("validation").images[5]
    >>> scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 4))
    >>> result = cg_sense(scan.A, scan.y, mu=0.01)
    >>> psnr(result.x, scan.image) > psnr(zero_filled(scan.A, scan.y), scan.image) + 5
    True
    """
    if not isinstance(mu, int | float) or not 0 <= mu < math.inf:
        raise ValueError(f"mu is {mu!r}; expected a finite number >= 0")
    _check_k_space(A, y)
    shift = float(mu) * A.norm_bound() ** 2
    return cg(A.normal() + shift, A.rmatvec(y), rtol=rtol, maxiter=maxiter, on_failure=on_failure)


def compressed_sensing(
    A: Sense,
    y: Array,
    *,
    weight: float = 2e-3,
    wavelet: str = "db4",
    levels: int | None = None,
    shifts: int = 4,
    rtol: float = 3e-5,
    maxiter: int = 300,
    on_failure: str = "warn",
) -> SolveResult:
    r"""l1-wavelet compressed sensing: :math:`\min_x \tfrac12\|A x - y\|^2 + \lambda\|W x\|_1` by FISTA.

    Parameters
    ----------
    A : Sense
    y : array of ``A.out_shape``
    weight : float
        ``λ`` relative to the largest magnitude of the zero-filled image, so that it does not depend on the
        scale of the data.
    wavelet, levels, shifts
        As in `sciml.operators.WaveletL1`.
    rtol : float
        Stop when the residual of the optimality condition is below this fraction of ``‖Aᴴ y‖``.
    maxiter, on_failure
        As in `sciml.forward_backward`, which does the work.

    Returns
    -------
    SolveResult

    Notes
    -----
    Source: Lustig, Donoho and Pauly, Magn. Reson. Med. 58 (2007) 1182-1195.

    Examples
    --------
    >>> from sciml.problems.mri import cg_sense, compressed_sensing, load_slices, psnr
    >>> from sciml.problems.mri import sampling_mask, simulate
    >>> head = load_slices("validation").images[5]
    >>> scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 8))
    >>> result = compressed_sensing(scan.A, scan.y)
    >>> psnr(result.x, scan.image) > psnr(cg_sense(scan.A, scan.y, mu=0.01).x, scan.image) + 1
    True
    """
    if not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError(f"weight is {weight!r}; expected a positive finite number")
    _check_k_space(A, y)
    xp = array_namespace(y)
    start = A.rmatvec(y)
    regulariser = WaveletL1(weight * float(xp.max(xp.abs(start))), A.in_shape, wavelet, levels, shifts=shifts)
    F = AffineSum(A.normal(), start, lipschitz_full=A.norm_bound() ** 2, G=regulariser)
    return forward_backward(
        F, start, accelerated=True, rtol=0.0, atol=rtol * norm2(start), maxiter=maxiter, on_failure=on_failure
    )


def _check_k_space(A: Any, y: Any) -> None:
    if not isinstance(A, Sense):
        raise TypeError(f"A is a {type(A).__name__}; expected a Sense operator")
    if not is_array(y):
        raise TypeError(f"y is a {type(y).__name__}; expected an array of k-space samples")
    if tuple(y.shape) != A.out_shape:
        raise ValueError(f"y has shape {tuple(y.shape)}; expected {A.out_shape}: coils and sizes of the maps")
    require_same_backend(A.maps, y=y)
    size = norm2(y)
    if not math.isfinite(size):
        raise ValueError("y holds a value that is not finite (NaN or infinity); expected finite samples")
    if size == 0:
        raise ValueError("y is zero everywhere; expected measured samples")
