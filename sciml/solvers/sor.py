"""Successive over-relaxation: in natural order on matrices, red-black on Poisson grids."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from ..backends.namespace import Array, backend_name, is_numpy, norm2
from ..backends.namespace import device as device_of
from ..operators import PoissonOperator
from .iteration import Callback, System, iterate_until_verified, run
from .result import SolveResult, Status

__all__ = ["sor"]

ORDERS = ("auto", "natural", "red-black")

CHUNK = 4096
"""Sweeps per compiled call, which bounds the memory of the history of a long run."""


def sor(
    A: Any,
    b: Array,
    *,
    x0: Array | None = None,
    M: None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
    omega: float = 1.0,
    order: str = "auto",
) -> SolveResult:
    """Solve ``A x = b`` by successive over-relaxation.

    One iteration is one sweep ``x += (D/ω + L)⁻¹ (b − A x)``. It converges for symmetric positive definite
    `A` and every ``0 < ω < 2``; ``ω = 1`` is Gauss–Seidel.

    Parameters
    ----------
    A : PoissonOperator or matrix
        Dense or sparse NumPy/SciPy matrices with a diagonal free of zeros, or a `PoissonOperator` in any
        namespace.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : None
        There is nothing to precondition.
    rtol, atol : float
        Stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``. Both zero: run exactly `maxiter` sweeps.
    maxiter : int, optional
        Default ``min(10 n + 50, 10000)``.
    callback : callable, optional
        ``callback(state)`` after every sweep, see `IterationState`; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.
    omega : float
        Relaxation factor, ``0 < ω < 2``.
    order : {"auto", "natural", "red-black"}
        Order of the unknowns within a sweep. ``"natural"`` needs the matrix and NumPy. ``"red-black"``
        updates all cells of one checkerboard colour of a `PoissonOperator` at once, in every namespace; a
        periodic axis with an odd number of cells adds colours. ``"auto"`` takes red-black where it can.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    References
    ----------
    Young, Iterative Solution of Large Linear Systems (Academic Press, 1971).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, sor
    >>> A, b = PoissonOperator((16, 16)), np.ones((16, 16))
    >>> slow, fast = sor(A, b), sor(A, b, omega=1.7)
    >>> slow.iterations > 3 * fast.iterations
    True
    """
    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return relaxation("sor", A, b, omega, order, False, M=M, x0=x0, on_failure=on_failure, **rules)


def relaxation(
    name: str, A: Any, b: Array, omega: float, order: str, symmetric: bool, *, M: Any, **settings: Any
) -> SolveResult:
    """SOR, or SSOR with ``symmetric=True``: every forward sweep is followed by a backward one."""
    if not isinstance(omega, Real) or not 0.0 < omega < 2.0:
        raise ValueError(f"omega is {omega!r}; expected a number with 0 < omega < 2")
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; expected one of {', '.join(ORDERS)}")
    if M is not None:
        raise TypeError(f"M is a {type(M).__name__}; {name} takes no preconditioner, expected None")

    def iterate(system: System) -> Status | None:
        grid = isinstance(system.A, PoissonOperator)
        if order == "red-black" and not grid:
            raise TypeError(
                f"order is 'red-black' but A is a {type(system.A).__name__}; expected a PoissonOperator"
            )
        sweeps: Any
        natural = order == "natural" or (order == "auto" and symmetric and is_numpy(system.b))
        if natural or not grid:
            sweeps = _Natural(name, system, float(omega), symmetric)
        elif is_numpy(system.b) and system.b.dtype.kind == "f" and not _odd_periodic_axes(system.A):
            sweeps = _CompiledRedBlack(system, float(omega), symmetric)
        else:
            sweeps = _Coloured(system, float(omega), symmetric)
        return iterate_until_verified(system, sweeps)

    return run(name, iterate, A, b, M=None, **settings)


class _Natural:
    """Sweeps in natural order over the columns of the matrix, many per compiled call."""

    def __init__(self, name: str, system: System, omega: float, symmetric: bool):
        from ..backends.kernels.numba import sweeps  # numba takes half a second to load

        if not is_numpy(system.b):
            raise TypeError(
                f"{name} in natural order runs on NumPy arrays only, but b is a {backend_name(system.b)} "
                f"array; use {name} on a PoissonOperator (red-black), or cg"
            )
        if not hasattr(system.A, "tocsr"):
            raise TypeError(
                f"{name} needs the entries of A, but A is a {type(system.A).__name__}; "
                "expected a matrix or a PoissonOperator"
            )
        csr = system.A.tocsr()
        diagonal = csr.diagonal()
        zeros = np.flatnonzero(diagonal == 0)
        if zeros.size:
            raise ValueError(f"A has a zero on its diagonal (row {zeros[0]}); {name} expects none")
        self.system, self.symmetric = system, symmetric
        self.kernel: Any = sweeps.relax_columns
        dtype = system.b.dtype
        self.columns = sweeps.transpose(csr.indptr, csr.indices, csr.data.astype(dtype, copy=False))
        self.factor = (omega / diagonal).astype(dtype, copy=False)

    def __call__(self, r: np.ndarray, norm: float) -> tuple[Status | None, float]:
        system = self.system
        system.x = np.ascontiguousarray(system.x)
        system.x_is_zero = False
        x, r = system.x.reshape(-1), np.array(r).reshape(-1)  # the kernel updates r in place
        tolerance = -1.0 if system.fixed else system.tolerance
        status = None
        while status is None:
            count = min(CHUNK, system.maxiter - system.iterations) if system.callback is None else 1
            norms = np.empty(count)
            done = self.kernel(*self.columns, self.factor, x, r, self.symmetric, tolerance, norms)
            system.history.extend((norms[: done - 1] / system.scale).tolist())
            norm = float(norms[done - 1])
            status = system.record(norm)
        return status, norm


class _Coloured:
    """Sweeps by colours over a grid in the array API: each colour moves at once, and the residual follows."""

    def __init__(self, system: System, omega: float, symmetric: bool):
        self.system = system
        A, xp, b = system.A, system.xp, system.b
        diagonal = A._diagonal_grid().reshape(A.in_shape)
        # Cells without an unknown are solved exactly, with the first colour.
        factors = [np.where(colour, omega / diagonal, 0.0) for colour in _colours(A)]
        factors[0] = np.where(A.fluid, factors[0], 1.0 / diagonal)
        if symmetric:
            factors = factors + factors[::-1]
        self.factors = [
            xp.asarray(
                f.tolist() if A.backend == "array-api-strict" else f,
                dtype=xp.real(b).dtype if "complex" in str(b.dtype) else b.dtype,
                device=device_of(b),
            )
            for f in factors
        ]

    def __call__(self, r: Array, norm: float) -> tuple[Status | None, float]:
        system = self.system
        status = None
        while status is None:
            for factor in self.factors:
                step = factor * r
                system.x = system.x + step
                r = r - system.apply(step)
            system.x_is_zero = False
            norm = norm2(r)
            status = system.record(norm)
        return status, norm


class _CompiledRedBlack:
    """Red-black sweeps over a grid in compiled kernels, split over threads by rows."""

    def __init__(self, system: System, omega: float, symmetric: bool):
        self.system, self.omega, self.symmetric = system, omega, symmetric
        A, dtype = system.A, system.b.dtype
        # One zero row beyond the grid stands for every neighbour that does not exist.
        padding = np.zeros(A.grid3[2], dtype=dtype)
        self.x = np.concatenate([system.x.reshape(-1), padding])
        self.b = np.ascontiguousarray(system.b).reshape(-1)
        self.void = ~A.fluid.reshape(-1)
        self.exact_in_void = self.b[self.void] / A._diagonal_grid().reshape(-1)[self.void].astype(dtype)
        diagonal = A._diagonal_grid().reshape(-1).astype(dtype)
        diagonal[self.void] = 0
        self.x[: -padding.size][self.void] = 0
        faces = None if A.faces is None else tuple(f.reshape(-1).astype(dtype) for f in A.faces)
        weights = tuple(dtype.type(w) for w in A.weights3)
        self.arguments = (self.x, self.b, diagonal, faces, weights, A.grid3, A.periodic3)
        self.rows = A.grid3[0] * A.grid3[1]

    def _relax(self, colour: int, omega: float) -> float:
        from ..backends.kernels.numba.sweeps import relax_colour
        from ..backends.threads import parallel

        return sum(parallel(relax_colour, self.rows, *self.arguments, colour, omega, grain=64))

    def __call__(self, r: Array, norm: float) -> tuple[Status | None, float]:
        system, omega = self.system, self.omega
        status = None
        while status is None:
            self._relax(0, omega)
            last = self._relax(1, omega)
            if self.symmetric:
                self._relax(1, omega)
                last = self._relax(0, omega)
            # The colour moved last has (1 − ω) times the residual it had before it moved.
            other = self._relax(1 if self.symmetric else 0, 0.0)
            norm = math.sqrt((1.0 - omega) ** 2 * last + other)
            if system.callback is not None:
                self._settle()
            status = system.record(norm)
        self._settle()
        return status, norm

    def _settle(self) -> None:
        """Give ``system.x`` the current iterate, exact in cells without an unknown."""
        x = self.x[: self.b.size].copy()
        x[self.void] = self.exact_in_void
        self.system.x = x.reshape(self.system.A.in_shape)
        self.system.x_is_zero = False


def _odd_periodic_axes(A: PoissonOperator) -> list[int]:
    return [axis for axis in range(3) if A.periodic3[axis] and A.grid3[axis] % 2]


def _colours(A: PoissonOperator) -> list[np.ndarray]:
    """Masks of `A.in_shape` of cells that are not coupled to each other, the unknowns only.

    The last layer of a periodic axis of odd length meets its own parity across the wrap, so it gets
    colours of its own.
    """
    i, j, k = np.ogrid[tuple(slice(n) for n in A.grid3)]
    number = (i + j + k) % 2
    for axis in _odd_periodic_axes(A):
        number = 2 * number + ((i, j, k)[axis] == A.grid3[axis] - 1)
    fluid = A.code != 255
    masks = [(number == c) & fluid for c in range(int(number.max()) + 1)]
    return [m.reshape(A.in_shape) for m in masks if m.any()]
