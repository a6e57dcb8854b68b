r"""Monotone maps that are averages of components, :math:`F = \mathbb{E}_q F_i`, for `halpern` and its peers.

Stochastic methods read a few components at a time; what they cost is counted in component
evaluations, and `n` of them make one *epoch*. Every class here carries the two constants theory asks
for: ``lipschitz_full`` of `F` itself, and ``lipschitz`` on average over the sampling law,
:math:`\mathbb{E}\|F_i(u) - F_i(v)\|^2 \le L^2 \|u - v\|^2` (for a *cocoercive* sum
:math:`\langle F(u) - F(v), u - v\rangle \ge \tfrac1L \mathbb{E}\|F_i(u) - F_i(v)\|^2`).

Source: Cai, Alacaoglu and Diakonikolas, ICLR 2024 (arXiv:2310.02987), assumptions 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from .adapt import as_operator, is_dense
from .rows import check_finite, operator_norm, positive_constant, refuse_not_monotone, row_norms2, rows_of
from .sets import WholeSpace

__all__ = ["AffineSum", "ComponentSum", "FiniteSumBase"]


class FiniteSumBase:
    """What our own finite sums share: sampling, the resolvent of `G`, checked constants.

    A subclass defines ``full(u)`` and ``difference(batch, u, v)``.

    Parameters
    ----------
    n : int
        Number of components.
    shape : tuple of int
        Shape of the arrays `F` maps to arrays of the same shape.
    dtype : dtype-like
    lipschitz : float
        Average constant under the sampling law.
    lipschitz_full : float
        Lipschitz constant of `F`.
    cocoercive : bool
        Whether `F` is cocoercive (a gradient of a convex function is), not only monotone.
    G : object with ``resolvent(u, step)``, optional
        The constraint or regulariser that belongs to the problem.

    Attributes
    ----------
    probability : ndarray or None
        The sampling law; None for the uniform one.
    """

    probability: np.ndarray | None = None

    def __init__(
        self,
        n: int,
        shape: Sequence[int],
        dtype: Any,
        *,
        lipschitz: float,
        lipschitz_full: float,
        cocoercive: bool = False,
        G: Any = None,
    ):
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is {n!r}; expected a positive number of components")
        self.n, self.in_shape = int(n), tuple(shape)
        self.out_shape = self.in_shape
        self.shape = (math.prod(self.in_shape),) * 2
        self.dtype = np.dtype(dtype)
        self.lipschitz = positive_constant(lipschitz, "lipschitz")
        self.lipschitz_full = positive_constant(lipschitz_full, "lipschitz_full")
        self.cocoercive = bool(cocoercive)
        self.G = WholeSpace() if G is None else G

    def __call__(self, u: Array) -> Array:
        return self.full(u)

    def full(self, u: Array) -> Array:
        """``F(u)``: costs `n` component evaluations."""
        raise NotImplementedError(f"{type(self).__name__} does not define full")

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        """The mean of ``F_i(u) − F_i(v)`` over `batch`: costs ``2 len(batch)`` component evaluations."""
        raise NotImplementedError(f"{type(self).__name__} does not define difference")

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Component numbers: `size` different ones, uniformly."""
        return rng.choice(self.n, size, replace=False)

    def draws(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` independent component numbers, for methods that read one at a time."""
        return rng.integers(self.n, size=count)

    def resolvent(self, u: Array, step: Any) -> Array:
        r""":math:`(I + \text{step}\,G)^{-1}(u)`."""
        return self.G.resolvent(u, step)

    def __repr__(self) -> str:
        kind = "cocoercive" if self.cocoercive else "monotone"
        return (
            f"<{type(self).__name__} of {self.n} components on {self.in_shape}, {kind}, "
            f"L = {self.lipschitz:.4g} (full {self.lipschitz_full:.4g}), G = {self.G!r}>"
        )


class ComponentSum(FiniteSumBase):
    """A finite sum of Python functions, ``F(u) = (1/n) Σ F_i(u)``, linear or not.

    Parameters
    ----------
    components : sequence of callables
        Each maps an array of `shape` to an array of `shape`.
    shape, dtype, lipschitz, lipschitz_full, cocoercive, G
        As in `FiniteSumBase`; ``lipschitz_full`` defaults to ``lipschitz``, which bounds it.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import ComponentSum
    >>> F = ComponentSum([lambda u: u - 1.0, lambda u: 3.0 * u], (2,), lipschitz=np.sqrt(5.0))
    >>> F.full(np.ones(2))
    array([1.5, 1.5])
    """

    def __init__(
        self,
        components: Sequence[Callable[[Array], Array]],
        shape: Sequence[int],
        *,
        lipschitz: float,
        lipschitz_full: float | None = None,
        cocoercive: bool = False,
        dtype: Any = "float64",
        G: Any = None,
    ):
        self.components = list(components)
        super().__init__(
            len(self.components),
            shape,
            dtype,
            lipschitz=lipschitz,
            lipschitz_full=lipschitz if lipschitz_full is None else lipschitz_full,
            cocoercive=cocoercive,
            G=G,
        )

    def full(self, u: Array) -> Array:
        total = self.components[0](u)
        for component in self.components[1:]:
            total = total + component(u)
        return total / self.n

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        terms = [self.components[i](u) - self.components[i](v) for i in batch.tolist()]
        return sum(terms[1:], start=terms[0]) / len(terms)


class AffineSum(FiniteSumBase):
    r"""``F(u) = K u − q`` for any monotone `K`; a matrix is sampled by columns.

    Component `i` of a matrix with `n` columns is ``F_i(u) = n K[:, i] u_i − q``. Operators that cannot
    be read by column count as one component.

    Parameters
    ----------
    K : matrix or operator
        Square, with positive semidefinite symmetric part.
    q : array
    cocoercive : bool, optional
        By default whether `K` declares itself symmetric.
    lipschitz_full : float, optional
        ``‖K‖₂``; found by power iteration where it is not given.
    G : object with ``resolvent``, optional
    solve : callable, optional
        ``solve(w, step)`` returns ``(I + step K)⁻¹ (w + step q)``, the resolvent of `F` itself, for a
        number or an array `step`; with it `halpern` splits as Douglas and Rachford do.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import AffineSum
    >>> F = AffineSum(np.array([[1.0, 2.0], [-2.0, 0.0]]), np.array([1.0, 0.0]))
    >>> F.full(np.ones(2))
    array([ 2., -2.])
    """

    def __init__(
        self,
        K: Any,
        q: Array,
        *,
        cocoercive: bool | None = None,
        lipschitz_full: float | None = None,
        G: Any = None,
        solve: Callable[[Array, float], Array] | None = None,
    ):
        check_finite(q, "q")
        self.K, self.q = as_operator(K), q
        if self.K.shape[0] != self.K.shape[1]:
            raise ValueError(f"K has shape {self.K.shape}; expected a square operator")
        if math.prod(q.shape) != self.K.shape[0]:
            raise ValueError(
                f"q has shape {tuple(q.shape)}; expected {self.K.in_shape} or ({self.K.shape[0]},)"
            )
        refuse_not_monotone(getattr(self.K, "matrix", None), "K")
        if lipschitz_full is None:
            lipschitz_full = operator_norm(self.K.matvec, self.K.rmatvec, q)
        matrix = getattr(self.K, "matrix", None)
        self._columns = None if matrix is None else rows_of(_transposed(matrix))
        n, average = 1, lipschitz_full
        if self._columns is not None:
            n = self.K.shape[1]
            average = math.sqrt(n * float(np.max(row_norms2(self._columns.matrix))))
        if solve is not None:
            self.solve = solve
        super().__init__(
            n,
            q.shape,
            self.K.dtype,
            lipschitz=max(average, lipschitz_full),
            lipschitz_full=lipschitz_full,
            cocoercive="symmetric" in self.K.properties if cocoercive is None else cocoercive,
            G=G,
        )

    def full(self, u: Array) -> Array:
        return self.K.matvec(u) - self.q

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        if self._columns is None:
            return self.K.matvec(u - v)
        return self._columns.combine(batch, u - v) * (self.n / len(batch))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """``(K, q, blocks)`` for compiled kernels, where `K` is a dense NumPy matrix."""
        matrix = getattr(self.K, "matrix", None)
        if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float64:
            return None
        return matrix, self.q, np.arange(self.n, dtype=np.int64)[:, None]


def _transposed(matrix: Any) -> Any:
    if not is_dense(matrix):
        return matrix.T
    if isinstance(matrix, np.ndarray):
        return np.ascontiguousarray(matrix.T)
    return array_namespace(matrix).matrix_transpose(matrix)
