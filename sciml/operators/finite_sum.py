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
import scipy.linalg
import scipy.sparse

from ..backends.namespace import Array, array_namespace, device, dtype_name, is_array, is_complex, norm2
from .adapt import as_operator, is_dense
from .sets import WholeSpace

__all__ = ["AffineSum", "ComponentSum", "FiniteSumBase", "LeastSquares", "NormalEquations", "operator_norm"]


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
        self, n: int, shape: Sequence[int], dtype: Any, *, lipschitz: float, lipschitz_full: float,
        cocoercive: bool = False, G: Any = None,
    ):  # fmt: skip
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
        self, components: Sequence[Callable[[Array], Array]], shape: Sequence[int], *, lipschitz: float,
        lipschitz_full: float | None = None, cocoercive: bool = False, dtype: Any = "float64", G: Any = None,
    ):  # fmt: skip
        self.components = list(components)
        super().__init__(
            len(self.components), shape, dtype, lipschitz=lipschitz,
            lipschitz_full=lipschitz if lipschitz_full is None else lipschitz_full, cocoercive=cocoercive, G=G,
        )  # fmt: skip

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
        self, K: Any, q: Array, *, cocoercive: bool | None = None, lipschitz_full: float | None = None, G: Any = None,
        solve: Callable[[Array, float], Array] | None = None,
    ):  # fmt: skip
        _finite(q, "q")
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
            n, q.shape, self.K.dtype, lipschitz=max(average, lipschitz_full), lipschitz_full=lipschitz_full,
            cocoercive="symmetric" in self.K.properties if cocoercive is None else cocoercive, G=G,
        )  # fmt: skip

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


class LeastSquares(FiniteSumBase):
    r"""``F(u) = Aᵀ(A u − b)``, the gradient of :math:`\tfrac12\|A u - b\|^2`, sampled by rows.

    Parameters
    ----------
    A : dense or SciPy sparse matrix of shape ``(m, d)``
    b : array of shape ``(m,)``
    sampling : {"norm", "uniform"}
        Rows with probability :math:`\|a_i\|^2/\|A\|_F^2` (the randomised Kaczmarz law, with replacement;
        average-cocoercive with exactly :math:`L = \|A\|_F^2`), or uniformly without replacement
        (:math:`L = m \max\|a_i\|^2`).
    G : object with ``resolvent``, optional

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import LeastSquares
    >>> F = LeastSquares(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, 2.0]))
    >>> F.lipschitz, F.full(np.zeros(2)).tolist()
    (5.0, [-1.0, -4.0])
    """

    def __init__(self, A: Any, b: Array, *, sampling: str = "norm", G: Any = None):
        if sampling not in ("norm", "uniform"):
            raise ValueError(f"sampling is {sampling!r}; expected 'norm' or 'uniform'")
        self.A, self.b = as_operator(A), b
        matrix = getattr(self.A, "matrix", None)
        rows = None if matrix is None else rows_of(matrix)
        if rows is None:
            raise TypeError(
                "A must be a dense or SciPy sparse matrix to be sampled by rows; use NormalEquations"
            )
        _finite(b, "b")
        m, d = self.A.shape
        if tuple(b.shape) != (m,):
            raise ValueError(
                f"b has shape {tuple(b.shape)}; expected ({m},) to match A of shape {self.A.shape}"
            )
        self._rows = rows
        squares = row_norms2(rows.matrix)
        total = float(np.sum(squares))
        if not math.isfinite(total) or total <= 0:
            raise ValueError(
                f"A has squared Frobenius norm {total}; expected a finite matrix that is not zero"
            )
        self.sampling = sampling
        self.probability: np.ndarray = squares / total if sampling == "norm" else np.full(m, 1.0 / m)
        self._cumulative = np.cumsum(self.probability)
        average = total if sampling == "norm" else m * float(np.max(squares))
        xp = array_namespace(b)
        start = xp.zeros((d,), dtype=b.dtype, device=device(b))
        spectral = operator_norm(self.A.matvec, self.A.rmatvec, start) ** 2
        super().__init__(
            m,
            (d,),
            self.A.dtype,
            lipschitz=max(average, spectral),
            lipschitz_full=spectral,
            cocoercive=True,
            G=G,
        )

    def full(self, u: Array) -> Array:
        return self.A.rmatvec(self.A.matvec(u) - self.b)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        if self.sampling == "uniform":
            return super().sample(rng, size)
        return self.draws(rng, size)

    def draws(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.sampling == "uniform":
            return super().draws(rng, count)
        return np.minimum(np.searchsorted(self._cumulative, rng.random(count), side="right"), self.n - 1)

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        return self._rows.normal(batch, u - v, 1.0 / (len(batch) * self.probability[batch]))

    def objective(self, u: Array) -> float:
        """``½ ‖A u − b‖²``."""
        return 0.5 * norm2(self.A.matvec(u) - self.b) ** 2


class NormalEquations(FiniteSumBase):
    r"""``F(u) = Σ_c E_cᴴ (E_c u − b_c)`` over operators `E_c`, such as the coils of an MRI scan.

    Component `c` is ``n E_cᴴ (E_c u − b_c)``; average-cocoercive with ``L = n max ‖E_c‖²``.

    Parameters
    ----------
    operators : sequence of operators
        All with the same ``in_shape``; complex ones are fine.
    data : sequence of arrays
        One per operator.
    norms : sequence of float, optional
        ``‖E_c‖₂``; found by power iteration where not given.
    G : object with ``resolvent``, optional
    """

    def __init__(self, operators: Sequence[Any], data: Sequence[Array], *, norms: Any = None, G: Any = None):
        self.operators, self.data = [as_operator(E) for E in operators], list(data)
        n = len(self.operators)
        if n == 0 or len(self.data) != n:
            raise ValueError(
                f"operators and data have lengths {n} and {len(self.data)}; expected one datum each"
            )
        shapes = {E.in_shape for E in self.operators}
        if len(shapes) != 1:
            raise ValueError(f"the operators act on arrays of shapes {sorted(shapes)}; expected one shape")
        for i, b in enumerate(self.data):
            _finite(b, f"data[{i}]")
        like = self.operators[0].rmatvec(self.data[0])
        if norms is None:
            norms = [operator_norm(E.matvec, E.rmatvec, like) for E in self.operators]
        norms = [positive_constant(v, f"norms[{i}]") for i, v in enumerate(norms)]
        full = operator_norm(self._normal, self._normal, like)
        dtype = np.result_type(*(E.dtype for E in self.operators))
        super().__init__(
            n, self.operators[0].in_shape, dtype, lipschitz=max(n * max(norms) ** 2, full), lipschitz_full=full,
            cocoercive=True, G=G,
        )  # fmt: skip

    def _normal(self, u: Array) -> Array:
        terms = [E.rmatvec(E.matvec(u)) for E in self.operators]
        return sum(terms[1:], start=terms[0])

    def full(self, u: Array) -> Array:
        terms = [E.rmatvec(E.matvec(u) - b) for E, b in zip(self.operators, self.data, strict=True)]
        return sum(terms[1:], start=terms[0])

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        d = u - v
        terms = [self.operators[i].rmatvec(self.operators[i].matvec(d)) for i in batch.tolist()]
        return sum(terms[1:], start=terms[0]) * (self.n / len(batch))


class rows_of:  # noqa: N801 -- reads as a function: rows_of(matrix).combine(...)
    """Access to the rows of a dense array or a SciPy sparse matrix by a batch of numbers."""

    def __new__(cls, matrix: Any) -> Any:
        return super().__new__(cls) if scipy.sparse.issparse(matrix) or is_dense(matrix) else None

    def __init__(self, matrix: Any):
        self.matrix = matrix.tocsr() if scipy.sparse.issparse(matrix) else matrix

    def take(self, batch: np.ndarray) -> Any:
        """The rows numbered by `batch`."""
        if not is_dense(self.matrix):
            return self.matrix[batch]
        return take(self.matrix, batch)

    def combine(self, batch: np.ndarray, weights: Array) -> Array:
        """``Σ_{i in batch} weights[i] row_i``."""
        rows = self.take(batch)
        chosen = take(weights, batch)
        return rows.T @ chosen if not is_dense(rows) else chosen @ rows

    def normal(self, batch: np.ndarray, d: Array, weights: np.ndarray) -> Array:
        """``Σ_{i in batch} weights_i row_i* (row_i d)``."""
        rows = self.take(batch)
        xp = array_namespace(d)
        products = (rows @ d) * xp.asarray(weights, dtype=d.dtype, device=device(d))
        if is_dense(rows):
            return products @ (xp.conj(rows) if is_complex(rows) else rows)
        return rows.conj().T @ products


def take(x: Array, batch: np.ndarray) -> Array:
    """Entries (rows) of `x` by NumPy indices, which are moved to the device of `x`."""
    if isinstance(x, np.ndarray):
        return x[batch]
    xp = array_namespace(x)
    index = batch.tolist() if type(x).__module__.startswith("array_api_strict") else batch
    return xp.take(x, xp.asarray(index, dtype=xp.int64, device=device(x)), axis=0)


def row_norms2(matrix: Any) -> np.ndarray:
    """Squared norms of the rows, on the host."""
    if scipy.sparse.issparse(matrix):
        return np.asarray(abs(matrix).power(2).sum(axis=1)).reshape(-1)
    if isinstance(matrix, np.ndarray):
        return np.einsum("ij,ij->i", matrix, matrix.conj()).real
    xp = array_namespace(matrix)
    sums = xp.sum(xp.abs(matrix) ** 2, axis=1)
    return np.array([float(s) for s in sums])


def operator_norm(
    apply: Callable[[Array], Array], adjoint: Callable[[Array], Array], like: Array, *,
    tangent: Callable[[Array], Array] | None = None, rtol: float = 1e-3, maxiter: int = 200,
) -> float:  # fmt: skip
    """The largest singular value by power iteration, raised by one per cent so that steps stay safe.

    Parameters
    ----------
    apply, adjoint : callables
    like : array
        Gives shape, dtype, namespace and device of the domain.
    tangent : callable, optional
        Orthogonal projection to a subspace on which the norm is wanted.
    rtol : float
        Stop when two estimates differ by less, relatively.

    Raises
    ------
    ValueError
        If the operator returns values that are not finite, or vanishes.
    """
    xp = array_namespace(like)
    # The same start in every namespace; a fixed seed so that set-up is reproducible.
    draw = np.random.default_rng(0).standard_normal(tuple(like.shape))
    values = draw.tolist() if type(like).__module__.startswith("array_api_strict") else draw
    x = xp.astype(xp.asarray(values, device=device(like)), like.dtype)
    x = x if tangent is None else tangent(x)
    estimate = 0.0
    for _ in range(maxiter):
        length = norm2(x)
        if not math.isfinite(length) or length == 0.0:
            break
        y = adjoint(apply(x / length))
        x = y if tangent is None else tangent(y)
        previous, estimate = estimate, math.sqrt(norm2(x))
        if abs(estimate - previous) <= rtol * estimate:
            break
    if not math.isfinite(estimate):
        raise ValueError("the operator returns values that are not finite; its norm cannot be estimated")
    if estimate == 0.0:
        raise ValueError(
            "the operator vanishes on the feasible directions; its Lipschitz constant would be zero"
        )
    return 1.01 * estimate


def positive_constant(value: Any, name: str) -> float:
    """`value` as a float, or a `ValueError` that names it."""
    if (
        not isinstance(value, int | float | np.floating | np.integer)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} is {value!r}; expected a positive finite number")
    return float(value)


def refuse_not_monotone(matrix: Any, name: str) -> None:
    """Raise `ValueError` if a small NumPy or SciPy matrix has a symmetric part that is not positive semidefinite."""
    if scipy.sparse.issparse(matrix) and matrix.shape[0] <= 500:
        matrix = matrix.toarray()
    if not isinstance(matrix, np.ndarray) or not 0 < matrix.shape[0] <= 500:
        return
    scale = float(np.abs(matrix).max())
    if not math.isfinite(scale):
        raise ValueError(f"{name} holds a value that is not finite (NaN or infinity)")
    smallest = float(scipy.linalg.eigvalsh(matrix + matrix.conj().T, subset_by_index=[0, 0])[0]) / 2
    if smallest < -1e-6 * scale * (1e-4 if matrix.dtype.itemsize >= 8 else 1.0) * matrix.shape[0]:
        raise ValueError(f"the symmetric part of {name} has the eigenvalue {smallest:.3e}; F would not be monotone")


def _transposed(matrix: Any) -> Any:
    if not is_dense(matrix):
        return matrix.T
    if isinstance(matrix, np.ndarray):
        return np.ascontiguousarray(matrix.T)
    return array_namespace(matrix).matrix_transpose(matrix)


def _finite(x: Any, name: str) -> None:
    if not is_array(x):
        raise TypeError(f"{name} is a {type(x).__name__}; expected an array")
    if not dtype_name(x).startswith(("float", "complex")):
        raise TypeError(f"{name} has dtype {dtype_name(x)}; expected a floating or complex dtype")
    if not math.isfinite(norm2(x)):
        raise ValueError(f"{name} holds a value that is not finite (NaN or infinity)")
