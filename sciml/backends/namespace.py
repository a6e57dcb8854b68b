"""Which array library an array belongs to, and the few things the array API leaves out.

Everything above this module is written against the `array API standard
<https://data-apis.org/array-api/latest/>`_ through :mod:`array_api_compat`, so that one
text serves NumPy, CuPy and torch (and array-api-strict in the tests).
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np

Array: TypeAlias = Any
"""An array of any supported namespace."""

__all__ = [
    "Array",
    "array_namespace",
    "backend_name",
    "compute_dtype",
    "device",
    "dtype_name",
    "from_numpy",
    "is_array",
    "is_complex",
    "is_numpy",
    "namespace_named",
    "norm2",
    "real_dtype",
    "require_same_backend",
    "sparse_from_scipy",
    "to_numpy",
    "vdot",
]


def is_array(x: object) -> bool:
    """Whether `x` is an array of a namespace known to array-api-compat (or array-api-strict)."""
    return compat.is_array_api_obj(x)


def array_namespace(*arrays: Array) -> Any:
    """The array-API namespace shared by `arrays`.

    Raises
    ------
    TypeError
        If the arrays come from different libraries: data never moves silently.
    """
    try:
        return compat.array_namespace(*arrays)
    except TypeError:
        names = ", ".join(backend_name(a) if is_array(a) else type(a).__name__ for a in arrays)
        raise TypeError(
            f"arrays come from different array libraries ({names}); expected one. "
            "Convert explicitly: sciml never moves data between libraries or devices."
        ) from None


def backend_name(x: Array) -> str:
    """Short name of the library `x` belongs to: ``numpy``, ``torch``, ``cupy``, ``array-api-strict``."""
    if isinstance(x, np.ndarray | np.generic):
        return "numpy"
    root = type(x).__module__.split(".")[0]
    return root.replace("_", "-")


def is_numpy(x: object) -> bool:
    """Whether `x` is a NumPy array, for which compiled CPU kernels exist."""
    return isinstance(x, np.ndarray)


def device(x: Array) -> Any:
    """The device `x` lives on, as its library names it."""
    return compat.device(x)


def require_same_backend(reference: Array, **others: Array) -> None:
    """Raise `TypeError` unless every array lives in the library and on the device of `reference`.

    Parameters
    ----------
    reference : array
        Usually the right-hand side ``b``.
    **others : array
        Named arrays; the name appears in the message.
    """
    library, place = backend_name(reference), device(reference)
    for name, other in others.items():
        if backend_name(other) != library:
            raise TypeError(
                f"{name} is a {backend_name(other)} array but b is a {library} array; expected the same "
                "library. Convert explicitly: sciml never moves data between libraries or devices."
            )
        if device(other) != place:
            raise TypeError(
                f"{name} lives on device {device(other)} but b lives on {place}; expected the same device."
            )


def namespace_named(backend: str) -> Any:
    """The array-API namespace called `backend`."""
    modules = {
        "numpy": "array_api_compat.numpy",
        "torch": "array_api_compat.torch",
        "cupy": "array_api_compat.cupy",
        "array-api-strict": "array_api_strict",
    }
    if backend not in modules:
        raise ValueError(f"backend is {backend!r}; expected one of {', '.join(modules)}")
    try:
        return importlib.import_module(modules[backend])
    except ImportError as error:
        raise ImportError(f"backend {backend!r} is not installed: {error}") from None


def from_numpy(values: np.ndarray, backend: str, *, dtype: str | None = None, device: Any = None) -> Array:
    """Copy a NumPy array into the library called `backend`, explicitly.

    Parameters
    ----------
    values : ndarray
    backend : {"numpy", "torch", "cupy", "array-api-strict"}
    dtype : str, optional
        Name of the dtype of the copy; that of `values` by default.
    device : optional
        Device of the copy, as the library names it; the library's default device otherwise.

    Raises
    ------
    ValueError, ImportError
        If `backend` is not a known library, or not installed.
    """
    xp = namespace_named(backend)
    kind = getattr(xp, dtype_name(values) if dtype is None else dtype)
    return xp.asarray(values, dtype=kind, device=device, copy=True)


def sparse_from_scipy(matrix: Any, backend: str, *, device: Any = None) -> Any:
    """Copy a SciPy CSR matrix into the sparse format of the library called `backend`, explicitly.

    Torch gets CSR with int32 indices, with which its CPU product is as fast as SciPy's.

    Raises
    ------
    TypeError
        If the library has no sparse matrices.
    """
    if backend == "torch":
        import torch

        starts, columns = (torch.from_numpy(a.astype(np.int32)) for a in (matrix.indptr, matrix.indices))
        values = torch.from_numpy(np.array(matrix.data))
        return torch.sparse_csr_tensor(
            starts, columns, values, matrix.shape, device=device, check_invariants=False
        )
    if backend == "cupy":
        import cupyx.scipy.sparse

        return cupyx.scipy.sparse.csr_matrix(matrix)
    if backend == "numpy":
        return matrix
    raise TypeError(f"backend {backend!r} has no sparse matrices; expected numpy, torch or cupy")


def to_numpy(x: Array) -> np.ndarray:
    """Copy `x` to NumPy, explicitly, for plotting and for files."""
    if is_numpy(x):
        return x
    if "torch" in sys.modules and compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    if compat.is_cupy_array(x):
        return x.get()
    return np.asarray(x)


def dtype_name(x: Array) -> str:
    """The dtype of an array (or a dtype itself) as a plain word such as ``float32``."""
    dtype = x.dtype if hasattr(x, "dtype") and not isinstance(x, type) else x
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        return np.dtype(dtype).name
    return str(dtype).rsplit(".", 1)[-1].removesuffix("'>")


def is_complex(x: Array) -> bool:
    """Whether `x` (array or dtype) is complex."""
    return dtype_name(x).startswith("complex")


def real_dtype(x: Array) -> str:
    """Name of the real dtype of the same precision as `x`."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype_name(x), dtype_name(x))


def compute_dtype(x: Array) -> str:
    """Name of the double-precision dtype in which a result about `x` is judged."""
    return "complex128" if is_complex(x) else "float64"


CHUNK = 8192
"""Entries BLAS sums in one call. From about ten thousand on, OpenBLAS wakes its own threads, which spin
against those of the compiled kernels: on a busy machine that cost ten times the solve."""


def vdot(x: Array, y: Array) -> Any:
    """Inner product ``sum(conj(x) * y)`` over all entries, as a Python scalar.

    Conjugation makes it an inner product for complex vectors too. On NumPy, partial sums are added up in
    double precision; elsewhere the library's own reduction runs.
    """
    if is_numpy(x) and is_numpy(y):
        u, v = x.reshape(-1), y.reshape(-1)
        if u.size <= CHUNK:
            return np.vdot(u, v).item()
        return sum(np.vdot(u[i : i + CHUNK], v[i : i + CHUNK]).item() for i in range(0, u.size, CHUNK))
    xp = array_namespace(x, y)
    value = xp.vecdot(xp.reshape(x, (-1,)), xp.reshape(y, (-1,)))
    return complex(value) if is_complex(value) else float(value)


def norm2(x: Array) -> float:
    """Euclidean norm over all entries, without temporaries of the size of `x` on NumPy."""
    if is_numpy(x):
        return math.sqrt(vdot(x, x).real)
    if is_complex(x) and backend_name(x) == "torch":
        # torch's norm of complex numbers takes sixty times as long as that of their two parts.
        x = sys.modules["torch"].view_as_real(x.resolve_conj())
    return float(array_namespace(x).linalg.vector_norm(x))
