"""Matrix Market files, read by SciPy once their headers have been compared with their sizes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from .guard import COMPRESSION, FileError

__all__ = ["check_rows", "read_mtx"]


def read_mtx(path: Path) -> Any:
    """The matrix of a ``.mtx`` or ``.mtx.gz`` file that is there; raises what `guarded` explains."""
    import scipy.io

    zipped = path.suffix.lower() == ".gz"
    opener: Any = gzip.open if zipped else open
    with opener(path, "rb") as stream:
        if not stream.read(14).lower().startswith(b"%%matrixmarket"):
            raise FileError("not a Matrix Market file (it does not begin with %%MatrixMarket)")
        while block := stream.read(2**20):
            if b"\0" in block:  # ends a number for SciPy's parser, which then reads past it, into a crash
                raise FileError("damaged: a text file with a byte that is zero")
    rows, columns, entries, layout, field, symmetry = scipy.io.mminfo(str(path))
    # "1 1" and a line end are the least a coordinate entry takes, a digit and a line end an array entry.
    stored = entries if layout == "coordinate" or symmetry == "general" else rows * (rows - 1) // 2
    least = stored * (4 if layout == "coordinate" else 2) - 1
    available = path.stat().st_size * (COMPRESSION if zipped else 1)
    if least > available:
        raise FileError(f"truncated: the header announces {entries} entries, more than the file can hold")
    if field == "complex":
        raise FileError("the matrix is complex; expected real entries")
    if layout == "coordinate":
        check_rows(rows, columns, entries if symmetry == "general" else 2 * entries)
    return scipy.io.mmread(str(path))


def check_rows(rows: int, columns: int, entries: int) -> None:
    """Refuse sparse headers whose row pointers alone would fill the memory."""
    if rows == columns and rows > entries:
        raise FileError(
            f"the matrix has {rows} rows but at most {entries} entries: a row is empty, so it is singular"
        )
    if max(rows, columns) > max(16 * entries, 2**20):
        raise FileError(f"a {rows}x{columns} matrix with {entries} entries; expected a square system")
