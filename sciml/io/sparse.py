"""What must hold of sparse matrices from files before SciPy's compiled code, which trusts them, sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .guard import FileError

__all__ = ["check_indices", "check_rows"]


def check_rows(rows: int, columns: int, entries: int) -> None:
    """Refuse sparse headers whose row pointers alone would fill the memory."""
    if rows == columns and rows > entries:
        raise FileError(
            f"the matrix has {rows} rows but at most {entries} entries: a row is empty, so it is singular"
        )
    if max(rows, columns) > max(16 * entries, 2**20):
        raise FileError(f"a {rows}x{columns} matrix with {entries} entries; expected a square system")


def check_indices(matrix: Any) -> None:
    """Refuse a compressed matrix whose indices lead out of its arrays.

    SciPy's `check_format` looks at differences of the row starts, which may overflow.
    """
    starts = np.asarray(matrix.indptr, dtype=np.int64)
    if starts[0] != 0 or (starts[1:] < starts[:-1]).any() or starts[-1] > matrix.indices.size:
        raise FileError("damaged: a sparse matrix whose rows or columns begin where they cannot")
    matrix.check_format(full_check=True)
