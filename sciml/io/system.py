"""Linear systems and right-hand sides, from any of the formats."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ..problems.problem import Problem
from .arrays import read_npy, read_npz
from .guard import FileError, guarded
from .matlab import read_mat
from .matrix_market import check_rows, read_mtx

__all__ = ["load_system", "load_vector"]

_RHS_KEYS = ("b", "rhs")

_REAL_KINDS = "buifc"
"""Kinds of dtypes that may hold real numbers; complex storage of real numbers is one of them."""


def load_system(path: str | Path, rhs: str | Path | None = None, key: str | None = None) -> Problem:
    """Read a linear system from a file.

    Parameters
    ----------
    path : path
        ``.mtx`` or ``.mtx.gz`` (Matrix Market); ``.npz`` (as `scipy.sparse.save_npz` writes it, or
        `numpy.savez` with a dense or sparse-parts matrix ``A``); ``.mat`` (MATLAB 5; a variable, or the field
        ``Problem.A`` of the SuiteSparse collection).
    rhs : path, optional
        File with the right-hand side (``.mtx``, ``.npy``, ``.npz``, ``.mat``, ``.txt``). Otherwise the
        variable ``b`` or ``rhs`` of `path` itself, otherwise ones: `Problem.notes` says which.
    key : str, optional
        Name of the matrix in a ``.npz`` or ``.mat`` file; by default ``A``, or the only square matrix.

    Returns
    -------
    Problem
        With ``A`` a square real `scipy.sparse.csr_array`.

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong: missing, truncated, foreign, not square, complex, NaN.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import scipy.sparse as sp
    >>> from sciml.io import load_system
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sp.save_npz(pathlib.Path(folder) / "A.npz", sp.csr_array(2 * sp.eye_array(3)))
    ...     print(load_system(pathlib.Path(folder) / "A.npz"))
    A.npz, 3 unknowns, 3 non-zeros
    """
    path = Path(path)
    found = _read(path, _SYSTEM_READERS)
    name, matrix = _choose_matrix(found, path, key)
    A = _checked_matrix(matrix, path)
    n = A.shape[0]
    if rhs is not None:
        b, note = load_vector(rhs), f"right-hand side from {Path(rhs).name}"
        source = Path(rhs)
    else:
        given = next((k for k in _RHS_KEYS if k in found and k != name), None)
        source = path
        if given is None:
            b, note = np.ones(n), "the file holds no right-hand side: b is all ones"
        else:
            b, note = _checked_vector(found[given], path), f"right-hand side: variable {given} of {path.name}"
    if b.shape[0] != n:
        raise ValueError(
            f"{source}: the right-hand side has {b.shape[0]} entries; expected {n} to match the matrix"
        )
    return Problem(name=path.name, A=A, b=b, notes=(note,))


def load_vector(path: str | Path) -> np.ndarray:
    """Read a right-hand side from ``.mtx``, ``.npy``, ``.npz``, ``.mat`` or ``.txt``.

    Returns
    -------
    ndarray of float64, shape ``(n,)``

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    path = Path(path)
    found = _read(path, _VECTOR_READERS)
    for name in (*_RHS_KEYS, "", *found):
        if name in found and _is_vector(found[name]):
            return _checked_vector(found[name], path)
    raise ValueError(f"{path}: holds no vector (found {_listing(found)}); expected one named b or rhs")


def _read(path: Path, readers: Mapping[str, Callable[[Path], dict[str, Any]]]) -> dict[str, Any]:
    """Named arrays and matrices of a file; a file without names calls its only content ``""``."""
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path}: unknown file type {suffix!r}; expected {', '.join(readers)}")
    return guarded(path, f"a {suffix} file", readers[suffix])


def _read_npz(path: Path) -> dict[str, Any]:
    arrays = read_npz(path)
    if {"format", "shape", "data"} <= set(arrays):
        matrix = _sparse_from_parts(arrays, path)
        return {"": matrix, **{k: arrays[k] for k in _RHS_KEYS if k in arrays}}
    return arrays


def _sparse_from_parts(arrays: dict[str, np.ndarray], path: Path) -> Any:
    if arrays["format"].dtype.kind not in "SU" or arrays["format"].size != 1:
        raise FileError(f"damaged: format is {arrays['format']}; expected the name of a sparse format")
    kind = str(arrays["format"].astype("U").item())
    for name in ("shape", "indices", "indptr", "offsets", "row", "col", "coords"):
        if name in arrays and arrays[name].dtype.kind not in "iu":
            raise FileError(f"damaged: {name} holds {arrays[name].dtype} numbers; expected integers")
    rows, columns = (int(n) for n in arrays["shape"])
    check_rows(rows, columns, int(arrays["data"].size))
    matrix = scipy.sparse.load_npz(path)
    if kind in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)  # indices out of range would read foreign memory
    return matrix


def _read_txt(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file without numbers, which is an error here
        values = np.loadtxt(path, ndmin=1)
    if values.size == 0:
        raise FileError("holds no numbers")
    return values


def _unnamed(read: Callable[[Path], Any]) -> Callable[[Path], dict[str, Any]]:
    return lambda path: {"": read(path)}


_SYSTEM_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".mtx": _unnamed(read_mtx),
    ".mtx.gz": _unnamed(read_mtx),
    ".npz": _read_npz,
    ".mat": read_mat,
}
_VECTOR_READERS = {
    **_SYSTEM_READERS,
    ".npy": _unnamed(read_npy),
    ".txt": _unnamed(_read_txt),
}


# -- what a system needs ----------------------------------------------------------------------
def _choose_matrix(found: dict[str, Any], path: Path, key: str | None) -> tuple[str, Any]:
    if key is not None:
        if key not in found:
            raise ValueError(f"{path}: holds no variable {key!r} (found {_listing(found)})")
        return key, found[key]
    for name in ("", "A"):
        if name in found:
            return name, found[name]
    square = [k for k, v in found.items() if np.ndim(v) == 2 and v.shape[0] == v.shape[1] > 1]
    square = [k for k, v in found.items() if scipy.sparse.issparse(v)] if len(square) != 1 else square
    if len(square) != 1:
        raise ValueError(
            f"{path}: which variable is the matrix? (found {_listing(found)}); expected one named A"
        )
    return square[0], found[square[0]]


def _listing(found: dict[str, Any]) -> str:
    if not found:
        return "nothing"
    return ", ".join(f"{k or 'an array'} {'x'.join(map(str, np.shape(v)))}" for k, v in found.items())


def _checked_matrix(matrix: Any, path: Path) -> scipy.sparse.csr_array:
    shape = tuple(matrix.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"{path}: the matrix has shape {shape}; expected a square matrix")
    if shape[0] == 0:
        raise ValueError(f"{path}: the matrix is empty; expected at least one unknown")
    if matrix.dtype.kind not in _REAL_KINDS:
        raise ValueError(f"{path}: the matrix has dtype {matrix.dtype}; expected real numbers")
    csr = scipy.sparse.csr_array(matrix)
    csr.data = _real(csr.data, path, "the matrix")
    csr.sum_duplicates()
    return csr


def _is_vector(values: Any) -> bool:
    return np.ndim(values) in (1, 2) and max(values.shape) == math.prod(values.shape)


def _checked_vector(values: Any, path: Path) -> np.ndarray:
    dense = values.toarray() if scipy.sparse.issparse(values) else np.asarray(values)
    if not _is_vector(dense):
        raise ValueError(f"{path}: the right-hand side has shape {dense.shape}; expected a vector")
    return _real(dense.reshape(-1), path, "the right-hand side")


def _real(values: np.ndarray, path: Path, what: str) -> np.ndarray:
    if values.dtype.kind not in _REAL_KINDS:
        raise ValueError(f"{path}: {what} has dtype {values.dtype}; expected real numbers")
    if values.dtype.kind == "c":
        if np.any(values.imag):
            raise ValueError(f"{path}: {what} is complex; expected real entries")
        values = values.real
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{path}: {what} holds a value that is not finite (NaN or infinity)")
    return np.ascontiguousarray(values, dtype=np.float64)
