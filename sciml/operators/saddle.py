r"""Saddle-point problems as finite sums: matrix games, Lagrangians of QPs, Stokes and KKT blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, device, is_array
from .adapt import as_operator
from .finite_sum import FiniteSumBase
from .rows import operator_norm, refuse_not_monotone, row_norms2, rows_of
from .sets import Product, Simplex, WholeSpace

__all__ = ["SaddlePoint", "constrained_qp", "matrix_game"]


class SaddlePoint(FiniteSumBase):
    r"""``min_x max_y ½xᵀHx − cᵀx + yᵀAx − ½yᵀDy + dᵀy`` with ``x`` and ``y`` in their own sets.

    As a monotone map on ``u = (x, y)``: ``F(u) = (H x − c + Aᵀ y, D y − d − A x)``, that is the KKT or
    Stokes matrix ``[[H, Aᵀ], [A, −D]]`` with its second row negated. With matrices, component `i` holds
    the columns of ``x_i`` and ``y_i``; with operators there is one component.

    Parameters
    ----------
    A : matrix or operator of shape ``(ny, nx)``
        The coupling.
    H, D : symmetric positive semidefinite matrices or operators, optional
    c, d : arrays, optional
        Of lengths ``nx`` and ``ny``; give one of them (or `like`) so that the array library is known.
    Gx, Gy : sets or other resolvents, optional
        For `x` and for `y`.
    like : array, optional
        Any array of the library and device to work in.

    Attributes
    ----------
    coupling, curvature : float, (float, float)
        ``‖A‖₂`` and ``(‖H‖₂, ‖D‖₂)`` on the feasible directions, from which `halpern` takes its steps.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import SaddlePoint
    >>> F = SaddlePoint(np.array([[2.0]]), H=np.eye(1), c=np.array([3.0]), d=np.array([1.0]))
    >>> F.full(np.array([1.0, 1.0]))
    array([ 0., -3.])
    """

    def __init__(
        self,
        A: Any,
        *,
        H: Any = None,
        D: Any = None,
        c: Array | None = None,
        d: Array | None = None,
        Gx: Any = None,
        Gy: Any = None,
        like: Array | None = None,
    ):
        self.A = as_operator(A)
        ny, nx = self.A.shape
        self.sizes = (nx, ny)
        self.H, self.D = (None if M is None else as_operator(M, _symmetric(M)) for M in (H, D))
        for name, M, size in (("H", self.H, nx), ("D", self.D, ny)):
            if M is not None and M.shape != (size, size):
                raise ValueError(
                    f"{name} has shape {M.shape}; expected ({size}, {size}) to match A of shape {(ny, nx)}"
                )
            _check_semidefinite(M, name)
        reference = next((v for v in (like, c, d, getattr(self.A, "matrix", None)) if is_array(v)), None)
        if reference is None:
            raise TypeError(
                "c, d and A are no arrays; expected c, d or like to say which array library to use"
            )
        xp, place = array_namespace(reference), device(reference)
        self.c, self.d = (
            xp.zeros((n,), dtype=reference.dtype, device=place) if v is None else v
            for v, n in ((c, nx), (d, ny))
        )
        if tuple(self.c.shape) != (nx,) or tuple(self.d.shape) != (ny,):
            raise ValueError(
                f"c and d have shapes {tuple(self.c.shape)} and {tuple(self.d.shape)}; "
                f"expected ({nx},) and ({ny},)"
            )
        Gx, Gy = WholeSpace() if Gx is None else Gx, WholeSpace() if Gy is None else Gy
        tx, ty = (getattr(G, "tangent", lambda v: v) for G in (Gx, Gy))
        A_ = self.A
        self.coupling = operator_norm(lambda x: ty(A_.matvec(x)), A_.rmatvec, self.c, tangent=tx)
        self.curvature = tuple(
            0.0 if M is None else operator_norm(M.matvec, M.matvec, v, tangent=t)
            for M, v, t in ((self.H, self.c, tx), (self.D, self.d, ty))
        )
        self.G = Product([(Gx, nx), (Gy, ny)])
        tangent = self.G.tangent
        full = operator_norm(
            lambda u: tangent(self._linear(u)),
            self._linear_adjoint,
            xp.concat([self.c, self.d]),
            tangent=tangent,
        )
        self._blocks = self._read_columns()
        n = 1 if self._blocks is None else max(nx, ny)
        average = full if self._blocks is None else self._average_lipschitz(n)
        super().__init__(
            n,
            (nx + ny,),
            self.A.dtype,
            lipschitz=max(average, full),
            lipschitz_full=full,
            G=self.G,
        )

    def _read_columns(self) -> dict[str, Any] | None:
        matrices = {"A": self.A, "H": self.H, "D": self.D}
        found = {"AT": rows_of(_matrix(self.A.H)) if _matrix(self.A.H) is not None else None}
        for name, M in matrices.items():
            found[name] = None if M is None or _matrix(M) is None else rows_of(_matrix(M))
        needed = ["A", "AT"] + [name for name in ("H", "D") if matrices[name] is not None]
        return found if all(found[name] is not None for name in needed) else None

    def _average_lipschitz(self, n: int) -> float:
        """``√(n Σ‖columns of block i‖²)`` at its largest: uniform sampling of the blocks."""
        assert self._blocks is not None
        nx, ny = self.sizes
        x_columns, y_columns = row_norms2(self._blocks["AT"].matrix), row_norms2(self._blocks["A"].matrix)
        if self.H is not None:
            x_columns = x_columns + row_norms2(self._blocks["H"].matrix)
        if self.D is not None:
            y_columns = y_columns + row_norms2(self._blocks["D"].matrix)
        block = np.zeros(n)
        block[:nx] += x_columns
        block[:ny] += y_columns
        return math.sqrt(n * float(block.max()))

    def split(self, u: Array) -> tuple[Array, Array]:
        """``(x, y)`` of ``u``."""
        return u[: self.sizes[0]], u[self.sizes[0] :]

    def smooth_part(self, x: Array, y: Array) -> tuple[Array, Array]:
        """``(H x − c, D y − d)``: all of `F` but the coupling."""
        return (
            -self.c if self.H is None else self.H.matvec(x) - self.c,
            -self.d if self.D is None else self.D.matvec(y) - self.d,
        )

    def full(self, u: Array) -> Array:
        x, y = self.split(u)
        sx, sy = self.smooth_part(x, y)
        return array_namespace(u).concat([sx + self.A.rmatvec(y), sy - self.A.matvec(x)])

    def _linear(self, u: Array, sign: float = 1.0) -> Array:
        """``K u`` (``Kᵀ u`` for ``sign=-1``): `F` without its constants."""
        x, y = self.split(u)
        gx, gy = sign * self.A.rmatvec(y), -sign * self.A.matvec(x)
        gx = gx if self.H is None else gx + self.H.matvec(x)
        gy = gy if self.D is None else gy + self.D.matvec(y)
        return array_namespace(u).concat([gx, gy])

    def _linear_adjoint(self, u: Array) -> Array:
        return self._linear(u, -1.0)

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        delta = u - v
        if self._blocks is None:
            return self._linear(delta)
        (nx, ny), rows = self.sizes, self._blocks
        x, y = self.split(delta)
        ix, iy = (batch, batch) if nx == ny else (batch[batch < nx], batch[batch < ny])
        gx, gy = rows["A"].combine(iy, y), -rows["AT"].combine(ix, x)
        if self.H is not None:
            gx = gx + rows["H"].combine(ix, x)
        if self.D is not None:
            gy = gy + rows["D"].combine(iy, y)
        return array_namespace(u).concat([gx, gy]) * (self.n / len(batch))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """``(K, q, blocks)`` with ``F(u) = K u − q`` for compiled kernels, if all parts are dense NumPy."""
        parts = [_matrix(M) for M in (self.A, self.H, self.D) if M is not None]
        if (
            not all(isinstance(M, np.ndarray) and M.dtype == np.float64 for M in parts)
            or self.shape[0] > 4096
        ):
            return None
        nx, ny = self.sizes
        K = np.zeros(self.shape)
        K[:nx, nx:], K[nx:, :nx] = parts[0].T, -parts[0]
        if self.H is not None:
            K[:nx, :nx] = self.H.matrix
        if self.D is not None:
            K[nx:, nx:] = self.D.matrix
        blocks = np.full((self.n, 2), -1, dtype=np.int64)
        blocks[:nx, 0], blocks[:ny, 1] = np.arange(nx), nx + np.arange(ny)
        return K, np.concatenate([self.c, self.d]), blocks


def matrix_game(payoff: Array, *, centred: bool = False) -> SaddlePoint:
    """The zero-sum game ``min_x max_y yᵀ A x`` over probability vectors.

    Parameters
    ----------
    payoff : array of shape ``(ny, nx)``
    centred : bool
        Remove row and column means first. That changes `F` only by multiples of the all-ones vector,
        which the simplices' normal cones contain, so the solutions stay, but sampled components of a
        game with a large common part become far smaller.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import halpern, matrix_game
    >>> game = matrix_game(np.array([[3.0, -1.0], [-1.0, 1.0]]))
    >>> halpern(game, np.full(4, 0.5), rtol=1e-8).x.round(6)
    array([0.333333, 0.666667, 0.333333, 0.666667])
    """
    if not is_array(payoff) or len(payoff.shape) != 2:
        raise ValueError(f"payoff has shape {np.shape(payoff)}; expected a matrix")
    xp = array_namespace(payoff)
    if not bool(xp.all(xp.isfinite(payoff))):
        raise ValueError("payoff holds a value that is not finite (NaN or infinity)")
    if not centred:
        return SaddlePoint(payoff, Gx=Simplex(), Gy=Simplex())
    rows, columns = xp.mean(payoff, axis=1), xp.mean(payoff, axis=0)
    mean = xp.mean(rows)
    inner = payoff - rows[:, None] - columns[None, :] + mean
    return SaddlePoint(inner, c=-columns, d=rows, Gx=Simplex(), Gy=Simplex())


def constrained_qp(H: Any, h: Array, A: Any, b: Array, *, Gx: Any = None) -> SaddlePoint:
    """The Lagrangian ``½xᵀHx − hᵀx − yᵀ(A x − b)`` of a QP with ``A x = b``.

    ``F(x, y) = (H x − h − Aᵀ y, A x − b)``. Parameters as the formula names them; `Gx` bounds `x`.
    """
    # Our saddle form adds yᵀAx; the Lagrangian's sign convention subtracts it.
    return SaddlePoint(-1.0 * A, H=H, c=h, d=b, Gx=Gx)


def _matrix(M: Any) -> Any:
    if hasattr(M, "matrix"):
        return M.matrix
    inner = getattr(M, "A", None)  # an Adjoint of a matrix operator
    matrix = getattr(inner, "matrix", None)
    if matrix is None:
        return None
    return np.ascontiguousarray(matrix.T) if isinstance(matrix, np.ndarray) else matrix.T


def _symmetric(M: Any) -> Any:
    """Plain matrices are declared symmetric, as the docstring demands; operators keep what they declare."""
    return None if hasattr(M, "properties") else ("symmetric",)


def _check_semidefinite(M: Any, name: str) -> None:
    """Reject a small block that is not symmetric positive semidefinite."""
    matrix = _matrix(M) if M is not None else None
    refuse_not_monotone(matrix, name)
    if isinstance(matrix, np.ndarray) and not np.allclose(matrix, matrix.T, rtol=1e-5, atol=1e-10):
        raise ValueError(f"{name} is not symmetric; expected a symmetric positive semidefinite matrix")
