"""Reading linear systems from files: Matrix Market, NumPy/SciPy ``.npz`` and MATLAB ``.mat``.

Files are distrusted: pickles are never loaded, and sizes announced in a header are compared with the
size of the file before anything of that size is allocated.
"""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from .problems.problem import Problem

__all__ = ["load_arrays", "load_system", "load_vector"]

_RHS_KEYS = ("b", "rhs")
_COMPRESSION = 1032
"""The largest factor by which deflate can shrink data."""

_REAL_KINDS = "buifc"
"""Kinds of dtypes that may hold real numbers; complex storage of real numbers is one of them."""

_BROKEN = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of NumPy and SciPy raise on damaged files."""


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


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.npz`` file by name; pickles are never loaded.

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    return _read(Path(path), {".npz": _read_npz})


def _read(path: Path, readers: Mapping[str, Callable[[Path], dict[str, Any]]]) -> dict[str, Any]:
    """Named arrays and matrices of a file; a file without names calls its only content ``""``."""
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path}: unknown file type {suffix!r}; expected {', '.join(readers)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        return readers[suffix](path)
    except _FileError as error:
        raise ValueError(f"{path}: {error}") from None
    except NotImplementedError:
        raise ValueError(
            f"{path}: a MATLAB 7.3 (HDF5) file; expected version 5, which save -v7 writes"
        ) from None
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: truncated, damaged or not a {suffix} file ({reason})") from None


class _FileError(Exception):
    """A finding of our own about a file; `_read` puts the path in front."""


# -- Matrix Market ----------------------------------------------------------------------------
def _read_mtx(path: Path) -> dict[str, Any]:
    import scipy.io

    zipped = path.suffix.lower() == ".gz"
    opener: Any = gzip.open if zipped else open
    with opener(path, "rb") as stream:
        if not stream.read(14).lower().startswith(b"%%matrixmarket"):
            raise _FileError("not a Matrix Market file (it does not begin with %%MatrixMarket)")
    rows, columns, entries, layout, field, symmetry = scipy.io.mminfo(str(path))
    # "1 1" and a line end are the least a coordinate entry takes, a digit and a line end an array entry.
    stored = entries if layout == "coordinate" or symmetry == "general" else rows * (rows - 1) // 2
    least = stored * (4 if layout == "coordinate" else 2) - 1
    available = path.stat().st_size * (_COMPRESSION if zipped else 1)
    if least > available:
        raise _FileError(f"truncated: the header announces {entries} entries, more than the file can hold")
    if field == "complex":
        raise _FileError("the matrix is complex; expected real entries")
    if layout == "coordinate":
        _check_rows(rows, columns, entries if symmetry == "general" else 2 * entries)
    return {"": scipy.io.mmread(str(path))}


def _check_rows(rows: int, columns: int, entries: int) -> None:
    """Refuse sparse headers whose row pointers alone would fill the memory."""
    if rows == columns and rows > entries:
        raise _FileError(
            f"the matrix has {rows} rows but at most {entries} entries: a row is empty, so it is singular"
        )
    if max(rows, columns) > max(16 * entries, 2**20):
        raise _FileError(f"a {rows}x{columns} matrix with {entries} entries; expected a square system")


# -- NumPy ------------------------------------------------------------------------------------
def _read_npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_npy_header(archive, member)
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    if {"format", "shape", "data"} <= set(arrays):
        matrix = _sparse_from_parts(arrays, path)
        return {"": matrix, **{k: arrays[k] for k in _RHS_KEYS if k in arrays}}
    return arrays


def _check_npy_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if not member.filename.endswith(".npy"):
        raise _FileError(f"holds {member.filename}, which is not a NumPy array")
    with archive.open(member) as stream:
        size, start = _npy_payload(stream, member.filename)
    if size > member.file_size - start or member.file_size > member.compress_size * _COMPRESSION + 1024:
        raise _FileError(
            f"truncated: the header of {member.filename} announces {size} bytes more than it holds"
        )


def _npy_payload(stream: Any, name: str) -> tuple[int, int]:
    """Bytes of data an ``.npy`` header announces, and where they start."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise _FileError(f"{name} holds Python objects, which are never loaded; expected numbers")
    return math.prod(shape) * dtype.itemsize, stream.tell()


def _sparse_from_parts(arrays: dict[str, np.ndarray], path: Path) -> Any:
    rows, columns = (int(n) for n in arrays["shape"])
    kind = (
        str(arrays["format"].item(), "ascii") if arrays["format"].dtype.kind == "S" else str(arrays["format"])
    )
    _check_rows(rows, columns, int(arrays["data"].size))
    matrix = scipy.sparse.load_npz(path)
    if kind in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)  # indices out of range would read foreign memory
    return matrix


def _read_npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        size, start = _npy_payload(stream, path.name)
    if size > path.stat().st_size - start:
        raise _FileError(f"truncated: the header announces {size} bytes of data")
    return {"": np.load(path, allow_pickle=False)}


# -- MATLAB -----------------------------------------------------------------------------------
_MATLAB_CLASSES = (
    "double",
    "single",
    "sparse",
    "logical",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
)


def _read_mat(path: Path) -> dict[str, Any]:
    import scipy.io

    size = path.stat().st_size
    _check_mat_elements(path, size)
    wanted = []
    for name, shape, kind in scipy.io.whosmat(str(path)):
        if kind != "sparse" and math.prod(shape) > size * _COMPRESSION:
            raise _FileError(f"truncated: variable {name} announces {math.prod(shape)} entries")
        if kind == "sparse" and max(shape) > size * _COMPRESSION // 4:
            raise _FileError(f"truncated: variable {name} announces {max(shape)} rows or columns")
        if kind in _MATLAB_CLASSES or (name == "Problem" and kind == "struct"):
            wanted.append(name)
    content = scipy.io.loadmat(str(path), variable_names=wanted)
    found = {name: content[name] for name in wanted if name in content}
    record = found.pop("Problem", None)
    if record is not None and record.dtype.names:
        found |= {name: record[name][0, 0] for name in ("A", "b") if name in record.dtype.names}
    return found


def _check_mat_elements(path: Path, size: int) -> None:
    """Walk the top-level elements of a version-5 file: each must end inside the file."""
    with path.open("rb") as stream:
        head = stream.read(128)
        if len(head) < 128 or head[126:128] not in (b"IM", b"MI"):
            if head.startswith(b"\x89HDF") or b"MATLAB 7.3" in head:
                raise NotImplementedError
            raise _FileError("not a MATLAB 5 file")
        if b"MATLAB 7.3" in head:
            raise NotImplementedError
        order = "<" if head[126:128] == b"IM" else ">"
        while stream.tell() < size:
            tag = stream.read(8)
            if len(tag) < 8:
                raise _FileError("truncated inside a variable")
            kind, length = struct.unpack(order + "II", tag)
            if kind not in (14, 15) or stream.tell() + length > size:  # matrix, compressed matrix
                raise _FileError("truncated: a variable is longer than the file")
            stream.seek(length, 1)


# -- text -------------------------------------------------------------------------------------
def _read_txt(path: Path) -> dict[str, Any]:
    return {"": np.loadtxt(path, ndmin=1)}


_SYSTEM_READERS = {".mtx": _read_mtx, ".mtx.gz": _read_mtx, ".npz": _read_npz, ".mat": _read_mat}
_VECTOR_READERS = {**_SYSTEM_READERS, ".npy": _read_npy, ".txt": _read_txt}


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
