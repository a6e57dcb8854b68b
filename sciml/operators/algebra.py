"""Sums, products, scalings, adjoints and blocks of operators; each is again an operator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Number
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.namespace import Array, array_namespace
from .base import BaseOperator

__all__ = [
    "Adjoint",
    "Block",
    "Flat",
    "Identity",
    "Product",
    "Scaled",
    "Sum",
    "Transpose",
    "add",
    "flat",
    "product",
    "scaled",
]


def _operator(A: Any) -> Any:
    from .adapt import as_operator  # adapt derives from base, and users mix both freely

    return as_operator(A)


class Identity(BaseOperator):
    """The identity on arrays of `shape`; any dtype and namespace passes through.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import Identity
    >>> (3 * Identity(2)) @ np.array([1.0, 2.0])
    array([3., 6.])
    """

    def __init__(self, shape: int | Sequence[int], dtype: Any = "float32"):
        natural = (shape,) if isinstance(shape, int) else tuple(shape)
        super().__init__(natural, natural, dtype, {"symmetric", "positive_definite"})

    def _apply(self, x: Array) -> Array:
        return x

    def diagonal(self) -> Array:
        raise NotImplementedError("an Identity belongs to no array library, so its diagonal is in none")

    def tocsr(self) -> scipy.sparse.csr_array:
        """The matrix in SciPy's CSR form."""
        return scipy.sparse.eye_array(self.shape[0], dtype=self.dtype, format="csr")

    def astype(self, dtype: Any) -> Identity:
        return Identity(self.in_shape, dtype)


class Scaled(BaseOperator):
    """``factor * A`` for a scalar `factor`."""

    def __init__(self, factor: complex, A: Any):
        self.factor, self.A = factor, A
        properties = set(A.properties)
        real = not isinstance(factor, complex) or factor.imag == 0
        positive = real and complex(factor).real > 0
        if not real:
            properties.discard("symmetric")
        if not positive:
            properties -= {"positive_definite", "positive_semidefinite"}
        # A Python scalar must not widen float32: weak promotion, as in NumPy 2 and torch.
        dtype = A.dtype if real else np.result_type(A.dtype, np.complex64)
        super().__init__(A.in_shape, A.out_shape, dtype, properties)

    def _apply(self, x: Array) -> Array:
        return self.factor * self.A._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.factor.conjugate() * self.A._apply_adjoint(y)

    def diagonal(self) -> Array:
        return self.factor * self.A.diagonal()

    def tocsr(self) -> scipy.sparse.csr_array:
        """The entries in SciPy's CSR form, where those of `A` are known."""
        return (self.factor * _entries(self.A)).astype(self.dtype)

    def astype(self, dtype: Any) -> Scaled:
        return Scaled(self.factor, self.A.astype(dtype))


class Sum(BaseOperator):
    """``A + B``."""

    def __init__(self, A: Any, B: Any):
        if A.shape != B.shape:
            raise ValueError(f"cannot add operators of shapes {A.shape} and {B.shape}; expected equal shapes")
        if A.in_shape != B.in_shape or A.out_shape != B.out_shape:
            A, B = flat(A), flat(B)  # a grid-shaped operator plus a matrix acts on flat vectors
        self.A, self.B = A, B
        properties = set(A.properties & B.properties)
        both = A.properties | B.properties
        semidefinite = "positive_semidefinite" in properties
        if semidefinite and "positive_definite" in both:
            properties.add("positive_definite")
        super().__init__(A.in_shape, A.out_shape, np.result_type(A.dtype, B.dtype), properties)

    def _apply(self, x: Array) -> Array:
        return self.A._apply(x) + self.B._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.A._apply_adjoint(y) + self.B._apply_adjoint(y)

    def diagonal(self) -> Array:
        # An identity belongs to no array library, so its multiple enters as a number.
        for this, other in ((self.A, self.B), (self.B, self.A)):
            if (factor := _factor_of_identity(this)) is not None:
                return other.diagonal() + factor
        return self.A.diagonal() + self.B.diagonal()

    def tocsr(self) -> scipy.sparse.csr_array:
        """The entries in SciPy's CSR form, where those of both parts are known."""
        return (_entries(self.A) + _entries(self.B)).astype(self.dtype)

    def astype(self, dtype: Any) -> Sum:
        return Sum(self.A.astype(dtype), self.B.astype(dtype))


class Product(BaseOperator):
    """``A @ B``: `B` is applied first. ``X.H @ X`` is recognised as positive semidefinite."""

    def __init__(self, A: Any, B: Any):
        if A.shape[1] != B.shape[0]:
            raise ValueError(
                f"cannot compose operators of shapes {A.shape} @ {B.shape}; "
                f"expected {A.shape[1]} == {B.shape[0]}"
            )
        self.A, self.B = A, B
        linear = "linear" in A.properties and "linear" in B.properties
        properties = {"linear"} if linear else set()
        if linear and (_is_adjoint(A, B) or _is_adjoint(B, A)):
            properties |= {"symmetric", "positive_semidefinite"}
        super().__init__(B.in_shape, A.out_shape, np.result_type(A.dtype, B.dtype), properties)

    def _apply(self, x: Array) -> Array:
        y = self.B._apply(x)
        if self.A.in_shape == self.B.out_shape:
            return self.A._apply(y)
        xp = array_namespace(y)
        return self.A._apply(xp.reshape(y, self.A.in_shape))

    def _apply_adjoint(self, y: Array) -> Array:
        z = self.A._apply_adjoint(y)
        if self.A.in_shape == self.B.out_shape:
            return self.B._apply_adjoint(z)
        xp = array_namespace(z)
        return self.B._apply_adjoint(xp.reshape(z, self.B.out_shape))

    def tocsr(self) -> scipy.sparse.csr_array:
        """The entries in SciPy's CSR form, where those of both factors are known."""
        return (_entries(self.A) @ _entries(self.B)).astype(self.dtype)

    def astype(self, dtype: Any) -> Product:
        # Converted one by one the factors would be two objects, no longer seen to be adjoint.
        if _is_adjoint(self.A, self.B):
            B = self.B.astype(dtype)
            return Product(Adjoint(B), B)
        if _is_adjoint(self.B, self.A):
            A = self.A.astype(dtype)
            return Product(A, Adjoint(A))
        return Product(self.A.astype(dtype), self.B.astype(dtype))


def _is_adjoint(A: Any, B: Any) -> bool:
    return isinstance(A, Adjoint) and A.A is B


class Adjoint(BaseOperator):
    """The conjugate transpose of `A`."""

    def __init__(self, A: Any):
        self.A = A
        super().__init__(A.out_shape, A.in_shape, A.dtype, A.properties)

    def _apply(self, x: Array) -> Array:
        return self.A._apply_adjoint(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.A._apply(y)

    @property
    def H(self) -> Any:
        return self.A

    def diagonal(self) -> Array:
        return _conj(self.A.diagonal())

    def tocsr(self) -> scipy.sparse.csr_array:
        """The entries in SciPy's CSR form, where those of `A` are known."""
        return _entries(self.A).conj().T.tocsr()

    def astype(self, dtype: Any) -> Adjoint:
        return Adjoint(self.A.astype(dtype))


class Transpose(BaseOperator):
    """The transpose of a complex operator: ``Aᵀ y = conj(Aᴴ conj(y))``."""

    def __init__(self, A: Any):
        self.A = A
        super().__init__(A.out_shape, A.in_shape, A.dtype, A.properties)

    def _apply(self, x: Array) -> Array:
        return _conj(self.A._apply_adjoint(_conj(x)))

    def _apply_adjoint(self, y: Array) -> Array:
        return _conj(self.A._apply(_conj(y)))

    @property
    def T(self) -> Any:
        return self.A

    def diagonal(self) -> Array:
        return self.A.diagonal()

    def astype(self, dtype: Any) -> Transpose:
        return Transpose(self.A.astype(dtype))


class Flat(BaseOperator):
    """`A` on flat vectors, for combinations of operators whose natural shapes differ."""

    def __init__(self, A: Any):
        self.A = A
        super().__init__((A.shape[1],), (A.shape[0],), A.dtype, A.properties)

    def _apply(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.reshape(self.A._apply(xp.reshape(x, self.A.in_shape)), self.out_shape)

    def _apply_adjoint(self, y: Array) -> Array:
        xp = array_namespace(y)
        return xp.reshape(self.A._apply_adjoint(xp.reshape(y, self.A.out_shape)), self.in_shape)

    def diagonal(self) -> Array:
        return self.A.diagonal()

    def tocsr(self) -> scipy.sparse.csr_array:
        """The entries in SciPy's CSR form, where those of `A` are known."""
        return _entries(self.A)

    def astype(self, dtype: Any) -> Flat:
        return Flat(self.A.astype(dtype))


class Block(BaseOperator):
    """A matrix of operators, ``None`` standing for zero, acting on stacked flat vectors.

    Parameters
    ----------
    rows : nested sequence of operators or None
        All rows have the same length; every row and every column holds at least one operator.
    properties : iterable of str
        Declared by the caller, who knows the structure.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import Block
    >>> K = Block([[np.eye(2), np.ones((2, 1))], [np.ones((1, 2)), None]], {"symmetric"})
    >>> K @ np.array([1.0, 2.0, 3.0])
    array([4., 5., 3.])
    """

    def __init__(self, rows: Sequence[Sequence[Any]], properties: Iterable[str] = ("linear",)):
        widths = {len(row) for row in rows}
        if len(widths) != 1:
            raise ValueError(f"rows have lengths {sorted(len(r) for r in rows)}; expected equal lengths")
        self.rows = [[None if A is None else flat(_operator(A)) for A in row] for row in rows]
        heights = [
            _one_size([A.shape[0] for A in row if A is not None], f"row {i}")
            for i, row in enumerate(self.rows)
        ]
        columns = list(zip(*self.rows, strict=True))
        lengths = [
            _one_size([A.shape[1] for A in col if A is not None], f"column {j}")
            for j, col in enumerate(columns)
        ]
        self._row_edges = np.concatenate([[0], np.cumsum(heights)]).tolist()
        self._column_edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        dtype = np.result_type(*[A.dtype for row in self.rows for A in row if A is not None])
        super().__init__((sum(lengths),), (sum(heights),), dtype, properties)

    def _apply(self, x: Array) -> Array:
        xp = array_namespace(x)
        parts = [x[i:j] for i, j in zip(self._column_edges, self._column_edges[1:], strict=False)]
        out = []
        for row in self.rows:
            terms = [A._apply(part) for A, part in zip(row, parts, strict=True) if A is not None]
            out.append(sum(terms[1:], start=terms[0]))
        return xp.concat(out)

    def _apply_adjoint(self, y: Array) -> Array:
        xp = array_namespace(y)
        parts = [y[i:j] for i, j in zip(self._row_edges, self._row_edges[1:], strict=False)]
        out = []
        for column in zip(*self.rows, strict=True):
            terms = [A._apply_adjoint(part) for A, part in zip(column, parts, strict=True) if A is not None]
            out.append(sum(terms[1:], start=terms[0]))
        return xp.concat(out)

    def astype(self, dtype: Any) -> Block:
        rows = [[None if A is None else A.astype(dtype) for A in row] for row in self.rows]
        return Block(rows, self.properties)


def flat(A: Any) -> Any:
    """`A` itself if it acts on flat vectors, `Flat` of it otherwise."""
    return A if len(A.in_shape) == len(A.out_shape) == 1 else Flat(A)


def add(A: Any, B: Any) -> Any:
    """``A + B``; a scalar stands for that multiple of the identity."""
    if isinstance(A, Number):
        A, B = B, A
    A = _operator(A)
    if isinstance(B, Number):
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"cannot add a multiple of the identity to an operator of shape {A.shape}")
        return A if B == 0 else Sum(A, scaled(B, Identity(A.in_shape)))
    return Sum(A, _operator(B))


def scaled(factor: Any, A: Any) -> Any:
    """``factor * A`` for a scalar; products of operators are written ``A @ B``."""
    if not isinstance(factor, Number):
        raise TypeError(f"cannot multiply an operator by {type(factor).__name__}; use @ to apply or compose")
    value = complex(factor)  # type: ignore[call-overload]
    if not math.isfinite(abs(value)):
        raise ValueError(f"factor is {factor}; expected a finite number")
    A = _operator(A)
    # 2 + 0j is real: it must neither widen the dtype nor cost the symmetry.
    return A if value == 1 else Scaled(value if value.imag else value.real, A)


def product(A: Any, B: Any) -> Any:
    """``A @ B`` of two operators."""
    return Product(_operator(A), _operator(B))


def _entries(A: Any) -> scipy.sparse.csr_array:
    if not hasattr(A, "tocsr"):
        raise TypeError(
            f"the entries of A are asked for, but its part {A!r} does not know them; "
            "expected matrices and Poisson operators"
        )
    csr = A.tocsr()
    csr.sort_indices()
    return csr


def _conj(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.conj(x) if xp.isdtype(x.dtype, "complex floating") else x


def _factor_of_identity(A: Any) -> complex | None:
    if isinstance(A, Scaled) and isinstance(A.A, Identity):
        return A.factor
    return 1.0 if isinstance(A, Identity) else None


def _one_size(sizes: list[int], where: str) -> int:
    if not sizes:
        raise ValueError(f"{where} of the block operator holds no operator, so its size is unknown")
    if len(set(sizes)) != 1:
        raise ValueError(f"{where} of the block operator mixes sizes {sizes}; expected one size")
    return sizes[0]
