"""The base class our own operators share: shapes, properties and the algebra ``+ - * @``.

Nothing in `sciml` requires a user's operator to derive from it; `as_operator` wraps what does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, is_array
from .protocol import PROPERTIES

__all__ = ["BaseOperator"]


class BaseOperator:
    """A linear map with shapes, declared properties and algebra.

    A subclass calls ``super().__init__`` and defines ``_apply(x)`` (and ``_apply_adjoint(y)`` when
    it is not symmetric) on arrays of shape ``in_shape`` (``out_shape``). Everything else follows:
    flat vectors, columns ``(n, k)``, ``@``, ``+``, ``-``, ``*``, ``.H``, ``.T``.

    Parameters
    ----------
    in_shape, out_shape : tuple of int
        Natural array shapes of the domain and the range; ``(n,)`` for plain vectors.
    dtype : dtype-like
        NumPy dtype (or its name) of the entries.
    properties : iterable of str
        Any of ``"linear"``, ``"symmetric"`` (Hermitian), ``"positive_definite"``,
        ``"positive_semidefinite"``.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import BaseOperator
    >>> class Reverse(BaseOperator):
    ...     def _apply(self, x):
    ...         return x[::-1]
    >>> R = Reverse((3,), (3,), "float64", {"linear", "symmetric"})
    >>> (2 * R @ R) @ np.array([1.0, 2.0, 3.0])
    array([2., 4., 6.])
    """

    # NumPy scalars and arrays on the left must not swallow the operator elementwise.
    __array_ufunc__ = None

    def __init__(
        self,
        in_shape: Iterable[int],
        out_shape: Iterable[int],
        dtype: Any,
        properties: Iterable[str] = ("linear",),
    ):
        self.in_shape = tuple(int(n) for n in in_shape)
        self.out_shape = tuple(int(n) for n in out_shape)
        self.shape = (math.prod(self.out_shape), math.prod(self.in_shape))
        self.dtype = np.dtype(dtype)
        self.properties = check_properties(properties)

    # -- what subclasses define ---------------------------------------------------------------
    def _apply(self, x: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define _apply")

    def _apply_adjoint(self, y: Array) -> Array:
        if "symmetric" in self.properties:
            return self._apply(y)
        raise NotImplementedError(f"{type(self).__name__} has no adjoint: it defines no _apply_adjoint")

    # -- application --------------------------------------------------------------------------
    def matvec(self, x: Array) -> Array:
        """Apply the operator to one vector: flat, ``(n, 1)`` or shaped like ``in_shape``."""
        return self._shaped(x, self._apply, self.in_shape, self.out_shape, "x")

    def rmatvec(self, y: Array) -> Array:
        """Apply the adjoint (conjugate transpose) to one vector."""
        return self._shaped(y, self._apply_adjoint, self.out_shape, self.in_shape, "y")

    def __call__(self, x: Array) -> Array:
        return self.matvec(x)

    def __matmul__(self, other: Any) -> Any:
        if is_array(other):
            return self.matvec(other)
        from .algebra import product  # algebra derives from this class

        return product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        from .algebra import product

        return product(other, self)

    def _shaped(self, x: Array, apply: Any, shape_in: tuple, shape_out: tuple, name: str) -> Array:
        """Run `apply` on natural shapes and give the result the layout `x` came in."""
        n, m = math.prod(shape_in), math.prod(shape_out)
        shape = tuple(x.shape)
        if shape == shape_in:
            return apply(x)
        xp = array_namespace(x)
        if shape == (n,):
            return xp.reshape(apply(xp.reshape(x, shape_in)), (m,))
        if len(shape) == 2 and shape[0] == n:
            columns = [xp.reshape(apply(xp.reshape(x[:, j], shape_in)), (m,)) for j in range(shape[1])]
            return xp.stack(columns, axis=1) if columns else xp.zeros((m, 0), dtype=x.dtype)
        natural = f"{shape_in}, " if len(shape_in) > 1 else ""
        raise ValueError(f"{name} has shape {shape}; expected {natural}({n},) or ({n}, k)")

    # -- optional parts -----------------------------------------------------------------------
    def diagonal(self) -> Array:
        """The main diagonal, flat. Raises `NotImplementedError` where it is not known."""
        raise NotImplementedError(f"{type(self).__name__} does not know its diagonal")

    def astype(self, dtype: Any) -> Any:
        """The same operator in another precision. Raises `NotImplementedError` where there is none."""
        raise NotImplementedError(f"{type(self).__name__} cannot change its dtype")

    @property
    def H(self) -> Any:
        """The adjoint (conjugate transpose)."""
        from .algebra import Adjoint

        return self if "symmetric" in self.properties else Adjoint(self)

    @property
    def T(self) -> Any:
        """The transpose without conjugation; equal to ``H`` for real operators."""
        from .algebra import Transpose

        return Transpose(self) if self.dtype.kind == "c" else self.H

    # -- algebra ------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Any:
        from .algebra import add

        return add(self, other)

    def __radd__(self, other: Any) -> Any:
        return self.__add__(other)

    def __sub__(self, other: Any) -> Any:
        from .algebra import add, scaled

        return add(self, -1 * other if isinstance(other, complex | float | int) else scaled(-1.0, other))

    def __rsub__(self, other: Any) -> Any:
        return (-self).__add__(other)

    def __mul__(self, factor: Any) -> Any:
        from .algebra import scaled

        return scaled(factor, self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Number) -> Any:
        return self.__mul__(1.0 / divisor)  # type: ignore[operator]

    def __neg__(self) -> Any:
        return self.__mul__(-1.0)

    def __repr__(self) -> str:
        marks = ", ".join(sorted(self.properties))
        return f"<{type(self).__name__} {self.shape[0]}x{self.shape[1]} {self.dtype.name} {{{marks}}}>"


def check_properties(properties: Iterable[str]) -> frozenset[str]:
    """Validate declared properties and close them under implication.

    Raises
    ------
    ValueError
        For a name that is not a property.
    """
    if isinstance(properties, str):
        properties = (properties,)
    declared = frozenset(properties)
    unknown = declared - PROPERTIES
    if unknown:
        raise ValueError(
            f"properties contains {sorted(unknown)}; expected any of {', '.join(sorted(PROPERTIES))}"
        )
    if "positive_definite" in declared:
        declared |= {"positive_semidefinite"}
    if "positive_semidefinite" in declared or "symmetric" in declared:
        declared |= {"linear"}
    return declared
