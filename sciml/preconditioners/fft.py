"""Fast Poisson solver: sine, cosine and Fourier transforms diagonalise the operator of an empty box."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from ..backends.capabilities import require_array
from ..backends.namespace import Array
from ..backends.threads import num_threads
from ..operators import BaseOperator, PoissonOperator
from ..operators.stencil_setup import coefficient_on_faces
from .unknowns import square_operator

__all__ = ["FFT"]

# Cell-centred unknowns with the boundary half a cell away: (low side, high side) -> transform and its type.
TRANSFORMS = {
    ("dirichlet", "dirichlet"): ("dst", 2),
    ("neumann", "neumann"): ("dct", 2),
    ("dirichlet", "neumann"): ("dst", 4),
    ("neumann", "dirichlet"): ("dct", 4),
}


class FFT(BaseOperator):
    r"""The inverse of a constant-coefficient Poisson operator on an empty box, by fast transforms.

    Exact when `A` is such an operator: one application solves. Otherwise a symmetric positive definite
    preconditioner: residuals are embedded in the box, whose coefficient and shift are the means of those
    of `A`, and the result is restricted to the unknowns. The zero mode of a pure Neumann or periodic box is
    dropped.

    Per axis the eigenvectors are those of DST-II (Dirichlet), DCT-II (Neumann), DST-IV and DCT-IV (mixed),
    or of the discrete Fourier transform (periodic), with eigenvalues
    :math:`\frac{2k}{h^2}\left(1-\cos\frac{\pi(j+δ)}{n}\right)`.

    Parameters
    ----------
    A : PoissonOperator
        For NumPy arrays.

    Attributes
    ----------
    exact : bool
        Whether one application solves.

    Raises
    ------
    TypeError
        If `A` is not a `PoissonOperator` on NumPy arrays.

    References
    ----------
    Swarztrauber, The methods of cyclic reduction, Fourier analysis and the FACR algorithm for the discrete
    solution of Poisson's equation on a rectangle, SIAM Review 19 (1977) 490–501; staggered cases: Schumann
    and Sweet, J. Comput. Phys. 75 (1988) 123–137.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator
    >>> from sciml.preconditioners import FFT
    >>> A = PoissonOperator((40, 30), bc=[("dirichlet", "neumann"), "periodic"])
    >>> b = np.random.default_rng(0).standard_normal((40, 30))
    >>> bool(np.linalg.norm(b - A @ (FFT(A) @ b)) < 1e-12 * np.linalg.norm(b))
    True
    """

    def __init__(self, A: Any):
        A = square_operator("M:fft", A)
        if not isinstance(A, PoissonOperator):
            raise TypeError(f"FFT expects a PoissonOperator, but A is a {type(A).__name__}")
        definite = "positive_semidefinite" if A.singular else "positive_definite"
        super().__init__(A.in_shape, A.out_shape, A.dtype, {"symmetric", definite})
        self.A = A
        coefficients, uniform = _mean_coefficients(A)
        shift = float(np.mean(A.shift))
        self.exact = bool(uniform and np.all(A.shift == shift) and not A.cells.any())
        self._periodic = tuple(a for a, (low, _) in enumerate(A.bc) if low == "periodic")
        self._eigenvalues = []
        for axis, (sides, n) in enumerate(zip(A.bc, A.in_shape, strict=True)):
            weight = coefficients[axis] / A.spacing[axis] ** 2
            self._eigenvalues.append(2.0 * weight * (1.0 - np.cos(np.pi / n * _frequencies(sides, n))))
        self._eigenvalues[0] = self._eigenvalues[0] + shift
        # The null space of the box; rounding cannot hide it, because its eigenvalues are exact zeros.
        self._drop_zero_mode = all(values[0] == 0.0 for values in self._eigenvalues)

    def _apply(self, x: Array) -> Array:
        require_array("M:fft", x)
        if x.dtype.kind == "c":
            return self._apply(x.real) + 1j * self._apply(x.imag)
        A = self.A
        boxed = A.cells.any()
        y = np.where(A.fluid, x, 0) if boxed else np.array(x, order="C")
        if A.singular is not None:  # off both sides, which keeps the map symmetric
            y = A.project(y)
        y = self._solve_box(y)
        if boxed:
            y = np.where(A.fluid, y, x / x.dtype.type(A.diagonal_table[255]))
        return y if A.singular is None else A.project(y)

    def _solve_box(self, y: np.ndarray) -> np.ndarray:
        """Transform, divide by the eigenvalues plane by plane, transform back; overwrites `y`."""
        workers = num_threads()
        kinds = [
            (axis, *TRANSFORMS[sides]) for axis, sides in enumerate(self.A.bc) if axis not in self._periodic
        ]
        for axis, kind, number in kinds:
            forward = getattr(scipy.fft, kind)
            y = forward(y, number, axis=axis, norm="ortho", overwrite_x=True, workers=workers)
        shape = [y.shape[axis] for axis in self._periodic]
        eigenvalues = list(self._eigenvalues)
        if self._periodic:
            y = scipy.fft.rfftn(y, axes=self._periodic, workers=workers)
            last = self._periodic[-1]
            eigenvalues[last] = eigenvalues[last][: y.shape[last]]
        first, *others = eigenvalues
        plane = others[0] if len(others) == 1 else others[0][:, None] + others[1]
        real = y.real.dtype
        for i, value in enumerate(first):  # never an array of all eigenvalues
            layer = (value + plane).astype(real)
            if i == 0 and self._drop_zero_mode:
                layer.flat[0] = np.inf
            y[i] /= layer
        if self._periodic:
            y = scipy.fft.irfftn(y, s=shape, axes=self._periodic, overwrite_x=True, workers=workers)
        for axis, kind, number in reversed(kinds):
            backward = getattr(scipy.fft, "i" + kind)
            y = backward(y, number, axis=axis, norm="ortho", overwrite_x=True, workers=workers)
        return y

    def astype(self, dtype: Any) -> FFT:
        return FFT(self.A.astype(dtype))

    def __repr__(self) -> str:
        sides = ", ".join(low if low == high else f"{low}-{high}" for low, high in self.A.bc)
        return f"<FFT ({sides}), {'exact' if self.exact else 'approximate'} for {self.A!r}>"


def _frequencies(sides: tuple[str, str], n: int) -> np.ndarray:
    """``j + δ`` of the eigenvalues ``1 − cos(π (j + δ) / n)`` along an axis, in the transform's order."""
    j = np.arange(n, dtype=float)
    if sides[0] == "periodic":
        return 2.0 * np.minimum(j, n - j)
    return j + {"dst2": 1.0, "dct2": 0.0, "dst4": 0.5, "dct4": 0.5}["{}{}".format(*TRANSFORMS[sides])]


def _mean_coefficients(A: PoissonOperator) -> tuple[list[float], bool]:
    """Mean face coefficient per axis, and whether all are equal to theirs."""
    if A.faces is None or A._face_coefficients is None:
        return [1.0] * len(A.in_shape), True
    means, uniform = [], True
    for axis in range(len(A.in_shape)):
        k = coefficient_on_faces(A, axis)
        means.append(float(np.mean(k[k > 0])) if np.any(k > 0) else 1.0)
        uniform = uniform and bool(np.all(np.abs(k - means[-1]) <= 1e-14 * means[-1]))
    return means, uniform
