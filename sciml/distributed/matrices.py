"""Sparse matrices divided among ranks: from SciPy and from files, of which every rank reads its own part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ..io.arrays import load_array
from ..io.guard import FileError
from ..io.sparse import check_rows
from .engine import load_mpi, load_petsc, world

__all__ = ["DistributedSystem", "agree", "from_csr", "load_system", "own_rows", "to_csr"]

_HEADER = "%%matrixmarket matrix "


def own_rows(n: int, comm: Any) -> tuple[int, int]:
    """The rows of this rank when `n` rows are divided evenly, as PETSc does."""
    starts = _starts(n, comm.size)
    return int(starts[comm.rank]), int(starts[comm.rank + 1])


def _starts(n: int, parts: int) -> np.ndarray:
    lengths = np.full(parts, n // parts)
    lengths[: n % parts] += 1
    return np.concatenate([[0], np.cumsum(lengths)])


def agree(comm: Any, error: str | None, kind: type[Exception] = ValueError) -> None:
    """Raise on every rank the error that any rank found, so that none waits for one that has left."""
    errors = [text for text in comm.allgather(error) if text]
    if errors:
        raise kind(errors[0])


def from_csr(matrix: Any, comm: Any = None) -> Any:
    """A SciPy (or our) sparse matrix as a PETSc matrix whose rows are divided evenly.

    Parameters
    ----------
    matrix : sparse matrix, or operator with ``tocsr``
        The whole matrix, on every rank. Where no rank can hold it whole, read it by `load_system`.
    comm : communicator, optional
        All ranks by default.

    Returns
    -------
    petsc4py.PETSc.Mat
    """
    comm = world(comm)
    csr = matrix.tocsr()
    if csr.dtype.kind == "c":
        raise TypeError("the matrix is complex; this engine expects real numbers")
    first, last = own_rows(csr.shape[0], comm)
    return _from_own_rows(csr[first:last], csr.shape, comm)


def to_csr(mat: Any) -> scipy.sparse.csr_array | None:
    """A PETSc matrix as one SciPy matrix on rank 0, None elsewhere. For tests and small systems."""
    comm = world(mat.comm)
    indptr, indices, data = mat.getValuesCSR()
    own = scipy.sparse.csr_array((data, indices, indptr), shape=(indptr.size - 1, mat.getSize()[1]))
    parts = comm.gather(own)
    return None if parts is None else scipy.sparse.csr_array(scipy.sparse.vstack(parts))


def _from_own_rows(rows: Any, shape: tuple[int, int], comm: Any) -> Any:
    petsc = load_petsc()
    index = petsc.IntType
    columns = own_rows(shape[1], comm)
    sizes = ((rows.shape[0], shape[0]), (columns[1] - columns[0], shape[1]))
    csr = (rows.indptr.astype(index), rows.indices.astype(index), rows.data.astype(np.float64))
    return petsc.Mat().createAIJ(sizes, csr=csr, comm=comm)


@dataclass(frozen=True, eq=False)
class DistributedSystem:
    """A linear system read from files.

    Attributes
    ----------
    name : str
    A : petsc4py.PETSc.Mat
    b : ndarray
        This rank's rows of the right-hand side.
    nnz : int
        Non-zeros on all ranks.
    notes : tuple of str
    """

    name: str
    A: Any
    b: np.ndarray
    nnz: int
    notes: tuple[str, ...] = field(default=())

    @property
    def unknowns(self) -> int:
        """Number of rows on all ranks."""
        return int(self.A.getSize()[0])

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.unknowns:,} unknowns, {self.nnz:,} non-zeros, on {self.A.comm.size} rank(s)"
        )


def load_system(path: str | Path, rhs: str | Path | None = None, comm: Any = None) -> DistributedSystem:
    """Read a linear system from a file, every rank its own part.

    Parameters
    ----------
    path : path
        ``.mtx`` (Matrix Market, coordinate), or PETSc's binary format in any other file.
    rhs : path, optional
        Right-hand side: ``.npy``, or PETSc's binary format. By default a vector that follows the matrix in
        PETSc's file, otherwise ones; `DistributedSystem.notes` says which.
    comm : communicator, optional
        All ranks by default.

    Raises
    ------
    FileNotFoundError, ValueError
        On every rank, naming the file and what is wrong with it.
    """
    comm, path = world(comm), Path(path)
    for file in (path, None if rhs is None else Path(rhs)):
        missing = file is not None and not file.is_file()
        agree(comm, f"{file}: no such file" if missing else None, FileNotFoundError)
    if path.suffix.lower() == ".gz":
        raise ValueError(f"{path}: a compressed file cannot be read in parts; expected it uncompressed")
    b = None
    if path.suffix.lower() == ".mtx":
        A = _from_own_rows(*_read_matrix_market(path, comm), comm)
    else:
        A, b = _read_petsc(path, comm)
    n = A.getSize()[0]
    if A.getSize()[1] != n:
        raise ValueError(f"{path}: the matrix has shape {tuple(A.getSize())}; expected a square matrix")
    note = f"right-hand side from {path.name}"
    if rhs is not None:
        b, note = _read_vector(Path(rhs), n, comm), f"right-hand side from {Path(rhs).name}"
    elif b is None:
        b, note = np.ones(A.getLocalSize()[0]), "the file holds no right-hand side: b is all ones"
    nnz = int(A.getInfo(A.InfoType.GLOBAL_SUM)["nz_used"])
    return DistributedSystem(path.name, A, b, nnz, (note,))


# -- Matrix Market ----------------------------------------------------------------------------
def _read_matrix_market(path: Path, comm: Any) -> tuple[Any, tuple[int, int]]:
    """This rank's rows, and the shape of the matrix. Each rank parses a share of the file's bytes."""
    shape, entries, symmetry, pattern, start = _matrix_market_header(path)
    error = rows = None
    try:
        i, j, values = _parse_share(path, start, pattern, comm)
        if i.size and (min(i.min(), j.min()) < 0 or i.max() >= shape[0] or j.max() >= shape[1]):
            error = f"{path}: an index lies outside the matrix of {shape[0]}x{shape[1]}"
        elif not np.all(np.isfinite(values)):
            error = f"{path}: the matrix holds a value that is not finite (NaN or infinity)"
    except (ValueError, OSError) as found:
        error = f"{path}: truncated, damaged or not a .mtx file ({found})"
    agree(comm, error)
    total = comm.allreduce(i.size)
    if total != entries:
        raise ValueError(f"{path}: the header announces {entries} entries, but the file holds {total}")
    if symmetry != "general":
        off = i != j
        sign = -1.0 if symmetry == "skew-symmetric" else 1.0
        i, j = np.concatenate([i, j[off]]), np.concatenate([j, i[off]])
        values = np.concatenate([values, sign * values[off]])
    i, j, values = _to_owners(i, j, values, shape[0], comm)
    first, last = own_rows(shape[0], comm)
    rows = scipy.sparse.csr_array((values, (i - first, j)), shape=(last - first, shape[1]))
    rows.sum_duplicates()
    return rows, shape


def _matrix_market_header(path: Path) -> tuple[tuple[int, int], int, str, bool, int]:
    with path.open("rb") as stream:
        banner = stream.readline().decode("ascii", "replace").lower().split()
        line = stream.readline()
        while line.startswith(b"%") or (line and not line.strip()):
            line = stream.readline()
        start = stream.tell()
    if " ".join([*banner[:2], ""]) != _HEADER:
        raise ValueError(f"{path}: not a Matrix Market file (it does not begin with %%MatrixMarket matrix)")
    if len(banner) < 5 or banner[2] != "coordinate":
        raise ValueError(f"{path}: expected the coordinate format")
    if banner[3] not in ("real", "integer", "pattern"):
        raise ValueError(f"{path}: the matrix is {banner[3]}; expected real entries")
    try:
        rows, columns, entries = (int(word) for word in line.split())
    except ValueError:
        raise ValueError(f"{path}: truncated or damaged: no line with rows, columns and entries") from None
    if min(rows, columns, entries) < 1 or 4 * entries - 1 > path.stat().st_size:
        raise ValueError(f"{path}: truncated: {rows}x{columns} with {entries} entries, more than it can hold")
    try:
        check_rows(rows, columns, entries if banner[4] == "general" else 2 * entries)
    except FileError as error:
        raise ValueError(f"{path}: {error}") from None
    return (rows, columns), entries, banner[4], banner[3] == "pattern", start


def _parse_share(path: Path, start: int, pattern: bool, comm: Any) -> tuple[np.ndarray, ...]:
    """Entries on the lines that begin in this rank's share of the bytes after `start`."""
    size = path.stat().st_size - start
    low, high = (start + size * part // comm.size for part in (comm.rank, comm.rank + 1))
    with path.open("rb") as stream:
        # A line belongs to the rank in whose share its first byte lies.
        stream.seek(low - 1)
        low = low if low == start or stream.read(1) == b"\n" else low + len(stream.readline())
        stream.seek(low)
        text = stream.read(max(0, high - low))
        if text and not text.endswith(b"\n"):
            text += stream.readline()
    words = text.split()
    width = 2 if pattern else 3
    if len(words) % width:
        raise ValueError("a line has too few or too many numbers")
    table = np.array(words, dtype="S").reshape(-1, width) if words else np.empty((0, width), dtype="S1")
    i, j = table[:, 0].astype(np.int64) - 1, table[:, 1].astype(np.int64) - 1
    return i, j, np.ones(i.size) if pattern else table[:, 2].astype(np.float64)


def _to_owners(i: np.ndarray, j: np.ndarray, values: np.ndarray, n: int, comm: Any) -> list[np.ndarray]:
    """Send every entry to the rank that owns its row."""
    mpi = load_mpi()
    owner = np.searchsorted(_starts(n, comm.size)[1:-1], i, side="right")
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=comm.size)
    received = np.empty(comm.size, dtype=np.int64)
    comm.Alltoall([counts.astype(np.int64), mpi.INT64_T], [received, mpi.INT64_T])
    out = []
    for part, kind in ((i, mpi.INT64_T), (j, mpi.INT64_T), (values, mpi.DOUBLE)):
        into = np.empty(int(received.sum()), dtype=part.dtype)
        comm.Alltoallv([np.ascontiguousarray(part[order]), counts, kind], [into, received, kind])
        out.append(into)
    return out


# -- PETSc's binary format --------------------------------------------------------------------
def _read_petsc(path: Path, comm: Any) -> tuple[Any, np.ndarray | None]:
    """The matrix, and this rank's part of a vector that follows it, if there is one."""
    petsc = load_petsc()
    with path.open("rb") as stream:
        head = np.frombuffer(stream.read(16), dtype=">i4")
    if head.size < 4 or head[0] != 1211216:
        raise ValueError(f"{path}: not a matrix in PETSc's binary format, and not named .mtx")
    rows, entries = int(head[1]), int(head[3])
    length = 16 + 4 * rows + 12 * entries
    if rows < 1 or entries < 0 or path.stat().st_size < length:
        raise ValueError(f"{path}: truncated: the header announces {rows} rows with {entries} entries")
    viewer = petsc.Viewer().createBinary(str(path), "r", comm=comm)
    A = petsc.Mat().create(comm=comm)
    A.setType("aij")
    A.load(viewer)
    b = None
    if path.stat().st_size > length:
        b = petsc.Vec().create(comm=comm)
        b.load(viewer)
        b = b.array.copy()
    viewer.destroy()
    if b is not None and b.size != A.getLocalSize()[0]:
        raise ValueError(f"{path}: the vector after the matrix has another length; expected {rows}")
    return A, b


def _read_vector(path: Path, n: int, comm: Any) -> np.ndarray:
    first, last = own_rows(n, comm)
    if path.suffix.lower() == ".npy":
        values = load_array(path, mapped=True)
        if values.size != n:
            raise ValueError(f"{path}: the right-hand side has {values.size} entries; expected {n}")
        return np.array(values.reshape(-1)[first:last], dtype=np.float64)
    with path.open("rb") as stream:
        head = np.frombuffer(stream.read(8), dtype=">i4")
        if head.size < 2 or head[0] != 1211214:
            raise ValueError(f"{path}: not a vector in PETSc's binary format, and not named .npy")
        if head[1] != n:
            raise ValueError(f"{path}: the right-hand side has {head[1]} entries; expected {n}")
        stream.seek(8 + 8 * first)
        values = np.frombuffer(stream.read(8 * (last - first)), dtype=">f8")
    return values.astype(np.float64)
