"""`as_operator`: everything with ``shape`` and ``matvec``, every matrix, becomes an operator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import scipy.sparse

from ..backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    device,
    dtype_name,
    is_array,
    is_complex,
)
from .base import BaseOperator, check_properties

__all__ = ["CallableOperator", "ForeignOperator", "MatrixOperator", "as_operator"]


_SPARSE_LIBRARIES = {"scipy": "numpy", "cupyx": "cupy"}
"""The arrays that sparse matrices of a library multiply."""


class MatrixOperator(BaseOperator):
    """A dense or sparse matrix as an operator: SciPy, cupyx, torch CSR, or a dense array of any namespace.

    Torch CSR matrices are stored with int32 indices, with which torch's CPU product is as fast as
    SciPy's; with int64 it is 1.4 to 2.9 times slower.

    Attributes
    ----------
    matrix : array or sparse matrix
        The matrix itself, in CSR form where it is sparse.
    """

    def __init__(self, matrix: Any, properties: Iterable[str] = ("linear",)):
        if len(matrix.shape) != 2:
            raise ValueError(f"A has shape {tuple(matrix.shape)}; expected a matrix (two dimensions)")
        self._adjoint_matrix: Any = None
        self.matrix = _with_fast_indices(matrix)
        n_out, n_in = (int(n) for n in matrix.shape)
        name = dtype_name(matrix)
        if not name.startswith(("float", "complex")):
            raise TypeError(f"A has dtype {name}; expected a floating or complex dtype")
        super().__init__((n_in,), (n_out,), name, check_properties(properties) | {"linear"})

    def _apply(self, x: Array) -> Array:
        self._require_library_of(x)
        return _multiply(self.matrix, x)

    def _apply_adjoint(self, y: Array) -> Array:
        self._require_library_of(y)
        if "symmetric" in self.properties:
            return _multiply(self.matrix, y)
        if self._adjoint_matrix is None:
            self._adjoint_matrix = _adjoint(self.matrix)
        return _multiply(self._adjoint_matrix, y)

    def _require_library_of(self, x: Array) -> None:
        matrix = self.matrix
        library = backend_name(matrix) if is_array(matrix) else _SPARSE_LIBRARIES[type(matrix).__module__[:5]]
        if backend_name(x) != library:
            raise TypeError(
                f"x is a {backend_name(x)} array but the matrix A belongs to {library}; expected the same "
                "library. Convert explicitly: sciml never moves data between libraries or devices."
            )
        if is_array(matrix) and device(matrix) != device(x):
            raise TypeError(
                f"x lives on device {device(x)} but A on {device(matrix)}; expected the same device"
            )

    def diagonal(self) -> Array:
        if hasattr(self.matrix, "layout") and not is_dense(self.matrix):
            return _torch_csr_diagonal(self.matrix)
        if hasattr(self.matrix, "diagonal") and not is_dense(self.matrix):
            return self.matrix.diagonal()
        n = min(self.shape)
        xp = array_namespace(self.matrix)
        return xp.stack([self.matrix[i, i] for i in range(n)]) if n < 8 else xp.linalg.diagonal(self.matrix)

    def astype(self, dtype: Any) -> MatrixOperator:
        if np.dtype(dtype) == self.dtype:
            return self
        if scipy.sparse.issparse(self.matrix):
            return MatrixOperator(self.matrix.astype(dtype), self.properties)
        if backend_name(self.matrix) == "torch":
            import torch

            return MatrixOperator(self.matrix.to(getattr(torch, np.dtype(dtype).name)), self.properties)
        if is_array(self.matrix):
            xp = array_namespace(self.matrix)
            return MatrixOperator(xp.astype(self.matrix, getattr(xp, np.dtype(dtype).name)), self.properties)
        return MatrixOperator(self.matrix.astype(dtype), self.properties)

    def tocsr(self) -> scipy.sparse.csr_array:
        """The matrix as a SciPy CSR array (copies from a device only when called)."""
        return to_scipy_csr(self.matrix)


class ForeignOperator(BaseOperator):
    """An object of another library with ``shape`` and ``matvec`` (SciPy, PyLops, PyAMG, PETSc shells)."""

    def __init__(self, A: Any, properties: Iterable[str] = ("linear",)):
        self.A = A
        n_out, n_in = (int(n) for n in A.shape)
        # SciPy and PyLops apply matvec to flat vectors; only an in_shape of their own promises more.
        in_shape = tuple(getattr(A, "in_shape", None) or (n_in,))
        out_shape = tuple(getattr(A, "out_shape", None) or (n_out,))
        dtype = getattr(A, "dtype", None)
        declared = getattr(A, "properties", None)
        if declared is not None and not isinstance(declared, str):
            properties = set(properties) | (set(declared) & {"linear", "symmetric", "positive_definite"})
        super().__init__(in_shape, out_shape, np.float64 if dtype is None else dtype_name(dtype), properties)

    def _apply(self, x: Array) -> Array:
        return self._same_library(self.A.matvec(x), x)

    def _apply_adjoint(self, y: Array) -> Array:
        if "symmetric" in self.properties:
            return self._apply(y)
        if not hasattr(self.A, "rmatvec"):
            raise NotImplementedError(f"{type(self.A).__name__} has no rmatvec, so its adjoint is unknown")
        return self._same_library(self.A.rmatvec(y), y)

    def _same_library(self, result: Array, x: Array) -> Array:
        if backend_name(result) != backend_name(x):  # SciPy turns what it is given into NumPy arrays
            raise TypeError(
                f"x is a {backend_name(x)} array but {type(self.A).__name__} returned a "
                f"{backend_name(result)} one; expected the same library: sciml never moves data "
                "between libraries or devices"
            )
        return result

    def diagonal(self) -> Array:
        if hasattr(self.A, "diagonal"):
            return self.A.diagonal()
        return super().diagonal()

    def __repr__(self) -> str:
        return f"<ForeignOperator {self.shape[0]}x{self.shape[1]} around {type(self.A).__name__}>"


class CallableOperator(BaseOperator):
    """A Python function as an operator, linear or not.

    Parameters
    ----------
    function : callable
        Maps an array of `in_shape` to an array of `out_shape`.
    in_shape : int or tuple of int
    out_shape : int or tuple of int, optional
        Defaults to `in_shape`.
    adjoint : callable, optional
        The adjoint map. Not needed when ``"symmetric"`` is declared.
    dtype : dtype-like
    properties : iterable of str
        Empty by default: a bare function promises nothing, not even linearity.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.operators import CallableOperator
    >>> D = CallableOperator(lambda x: 2 * x, 3, properties={"symmetric", "positive_definite"})
    >>> D @ np.ones(3)
    array([2., 2., 2.])
    """

    def __init__(
        self,
        function: Callable[[Array], Array],
        in_shape: int | tuple[int, ...],
        out_shape: int | tuple[int, ...] | None = None,
        *,
        adjoint: Callable[[Array], Array] | None = None,
        dtype: Any = "float64",
        properties: Iterable[str] = (),
    ):
        if not callable(function):
            raise TypeError(f"function is {type(function).__name__}; expected a callable")
        natural_in = (in_shape,) if isinstance(in_shape, int) else in_shape
        natural_out = natural_in if out_shape is None else out_shape
        natural_out = (natural_out,) if isinstance(natural_out, int) else natural_out
        self._function, self._adjoint = function, adjoint
        super().__init__(natural_in, natural_out, dtype, properties)

    def _apply(self, x: Array) -> Array:
        return self._function(x)

    def _apply_adjoint(self, y: Array) -> Array:
        if self._adjoint is not None:
            return self._adjoint(y)
        return super()._apply_adjoint(y)


def as_operator(A: Any, properties: Iterable[str] | None = None) -> Any:
    """Turn `A` into an operator.

    Parameters
    ----------
    A : operator, dense array, sparse matrix or object with ``shape`` and ``matvec``
        Dense arrays of any array-API namespace, SciPy and cupyx sparse matrices, torch CSR tensors,
        SciPy and PyLops ``LinearOperator`` objects, PyAMG preconditioners. Our own operators are
        returned as they are.
    properties : iterable of str, optional
        What the caller knows about `A`: ``"symmetric"``, ``"positive_definite"``, ...

    Returns
    -------
    BaseOperator

    Raises
    ------
    TypeError
        If `A` is none of these; the message names the members that are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import as_operator
    >>> as_operator(np.diag([1.0, 2.0]), properties={"symmetric", "positive_definite"}) @ np.ones(2)
    array([1., 2.])
    """
    if isinstance(A, BaseOperator):
        if properties is None or check_properties(properties) <= A.properties:
            return A
        raise ValueError(
            f"A already declares its properties ({', '.join(sorted(A.properties))}); "
            f"properties={sorted(properties)} cannot be added here"
        )
    declared = ("linear",) if properties is None else tuple(properties)
    if is_array(A) or _is_sparse(A):
        return MatrixOperator(A, declared)
    missing = [name for name in ("shape", "matvec") if not hasattr(A, name)]
    if not missing:
        return ForeignOperator(A, declared)
    if not missing[1:] and missing == ["matvec"] and callable(A) and hasattr(A, "shape"):
        shape = tuple(A.shape)
        return CallableOperator(
            A, getattr(A, "in_shape", shape[1]), getattr(A, "out_shape", shape[0]),
            dtype=dtype_name(getattr(A, "dtype", np.dtype("float64"))),
            properties=getattr(A, "properties", ()) if properties is None else properties,
        )  # fmt: skip
    hint = "; wrap a plain function in CallableOperator(function, n)" if callable(A) else ""
    raise TypeError(
        f"A is a {type(A).__name__} without {' and '.join(missing)}; expected an operator, "
        f"a matrix, or an object with shape and matvec{hint}"
    )


def is_dense(matrix: Any) -> bool:
    """Whether `matrix` is a dense array (torch sparse tensors are arrays too, but not dense)."""
    if not is_array(matrix):
        return False
    return (
        "torch" not in sys.modules or backend_name(matrix) != "torch" or str(matrix.layout) == "torch.strided"
    )


def to_scipy_csr(matrix: Any) -> scipy.sparse.csr_array:
    """Any supported matrix as a SciPy CSR array with sorted indices and no duplicates."""
    if scipy.sparse.issparse(matrix):
        csr = scipy.sparse.csr_array(matrix)
    elif is_array(matrix) and backend_name(matrix) == "torch" and not is_dense(matrix):
        parts = (matrix.values(), matrix.col_indices(), matrix.crow_indices())
        csr = scipy.sparse.csr_array(
            tuple(p.detach().cpu().numpy() for p in parts), shape=tuple(matrix.shape)
        )
    elif is_array(matrix):
        from ..backends.namespace import to_numpy

        csr = scipy.sparse.csr_array(to_numpy(matrix))
    else:  # cupyx
        csr = scipy.sparse.csr_array(matrix.get())
    if not (csr.has_canonical_format and csr.has_sorted_indices):
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _is_sparse(A: Any) -> bool:
    return scipy.sparse.issparse(A) or type(A).__module__.startswith("cupyx.scipy.sparse")


def _with_fast_indices(matrix: Any) -> Any:
    """CSR for sparse formats; int32 indices for torch where they fit."""
    if _is_sparse(matrix):
        return matrix.tocsr()
    if is_dense(matrix):
        return matrix
    import torch

    csr = matrix if matrix.layout == torch.sparse_csr else matrix.to_sparse_csr()
    if csr.col_indices().dtype == torch.int32 or max(csr.values().numel(), *csr.shape) >= 2**31:
        return csr
    return torch.sparse_csr_tensor(
        csr.crow_indices().to(torch.int32),
        csr.col_indices().to(torch.int32),
        csr.values(),
        csr.shape,
        check_invariants=False,  # they are those of a tensor that exists
    )


def _multiply(matrix: Any, x: Array) -> Array:
    # SciPy and cupyx promote by themselves; torch and strict namespaces want equal dtypes.
    if not is_array(matrix) or dtype_name(matrix) == dtype_name(x):
        return _matmul(matrix, x)
    xp = array_namespace(x)
    if is_complex(x) and not is_complex(matrix):
        return _multiply(matrix, xp.real(x)) + 1j * _multiply(matrix, xp.imag(x))
    if is_dense(matrix):
        common = np.result_type(dtype_name(matrix), dtype_name(x)).name
        return _matmul(xp.astype(matrix, getattr(xp, common)), xp.astype(x, getattr(xp, common)))
    raise TypeError(f"A has dtype {dtype_name(matrix)} but x has {dtype_name(x)}; expected equal dtypes")


def _matmul(matrix: Any, x: Array) -> Array:
    # A BLAS may set the flag of invalid values though operands and product are finite, and NumPy then
    # warns (seen with float32, 3 x 5). What is not finite in earnest is the solvers' to report.
    with np.errstate(invalid="ignore"):
        return matrix @ x


def _adjoint(matrix: Any) -> Any:
    if _is_sparse(matrix):
        return matrix.conj().T.tocsr()
    xp = array_namespace(matrix)
    if is_dense(matrix):
        transposed = xp.matrix_transpose(matrix)
        return xp.conj(transposed) if is_complex(matrix) else transposed
    return matrix.conj().t().to_sparse_csr()


def _torch_csr_diagonal(matrix: Any) -> Array:
    import torch

    rows = torch.repeat_interleave(
        torch.arange(matrix.shape[0], device=matrix.device), matrix.crow_indices().diff().long()
    )
    on_diagonal = rows == matrix.col_indices()
    diagonal = torch.zeros(min(matrix.shape), dtype=matrix.dtype, device=matrix.device)
    return diagonal.index_add(0, rows[on_diagonal], matrix.values()[on_diagonal])
