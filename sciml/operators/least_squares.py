"""Least squares and normal equations as finite sums: by rows of a matrix, by coils of a scanner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, device, norm2
from .adapt import as_operator
from .finite_sum import FiniteSumBase
from .rows import check_finite, operator_norm, positive_constant, row_norms2, rows_of

__all__ = ["LeastSquares", "NormalEquations"]


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
        check_finite(b, "b")
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
            check_finite(b, f"data[{i}]")
        like = self.operators[0].rmatvec(self.data[0])
        if norms is None:
            norms = [operator_norm(E.matvec, E.rmatvec, like) for E in self.operators]
        norms = [positive_constant(v, f"norms[{i}]") for i, v in enumerate(norms)]
        full = operator_norm(self._normal, self._normal, like)
        dtype = np.result_type(*(E.dtype for E in self.operators))
        super().__init__(
            n,
            self.operators[0].in_shape,
            dtype,
            lipschitz=max(n * max(norms) ** 2, full),
            lipschitz_full=full,
            cocoercive=True,
            G=G,
        )

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
