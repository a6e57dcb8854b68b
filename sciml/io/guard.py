"""What all readers share: every way in which a file can be wrong is one sentence that names it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["COMPRESSION", "FileError", "guarded"]

COMPRESSION = 1032
"""The largest factor by which deflate can shrink data: no file holds more than so many times its size."""

_BROKEN = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of NumPy and SciPy raise on damaged files."""

T = TypeVar("T")


class FileError(Exception):
    """A finding of our own about a file; `guarded` puts the path in front."""


def guarded(path: Path, what: str, reader: Callable[[Path], T]) -> T:
    """``reader(path)``; `what` names the kind of file in errors.

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        return reader(path)
    except FileError as error:
        raise ValueError(f"{path}: {error}") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: truncated, damaged or not {what} ({reason})") from None
