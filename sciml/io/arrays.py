"""NumPy's ``.npy`` and ``.npz`` files: headers are compared with sizes before anything is read."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .guard import COMPRESSION, FileError, guarded

__all__ = ["load_array", "load_arrays", "read_npy", "read_npz"]

HEADER = 10_000
"""Bytes of the longest header of a ``.npy`` file that NumPy reads without being told to trust it."""


def load_array(path: str | Path, *, mapped: bool = False) -> np.ndarray:
    """Read a ``.npy`` file; pickles are never loaded.

    Parameters
    ----------
    path : path
    mapped : bool
        Leave the data on disk until they are used (`numpy.memmap`).

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    return guarded(Path(path), "a .npy file", lambda file: read_npy(file, mapped=mapped))


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.npz`` file by name; pickles are never loaded.

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    return guarded(Path(path), "a .npz file", read_npz)


def read_npy(path: Path, *, mapped: bool = False) -> np.ndarray:
    """The array of a file that is there; raises what `guarded` explains."""
    with path.open("rb") as stream:
        size, start = _payload(stream, path.name)
    if size > path.stat().st_size - start:
        raise FileError(f"truncated: the header announces {size} bytes of data")
    return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that is there, by name; raises what `guarded` explains."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            _check_member(archive, member)
    # Members may share their compressed bytes, so that each is honest and all of them together a bomb.
    if sum(member.file_size for member in members) > path.stat().st_size * COMPRESSION:
        raise FileError("its arrays are larger than a file of this size can hold")
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if not member.filename.endswith(".npy"):
        raise FileError(f"holds {member.filename!r}, which is not a NumPy array")
    with archive.open(member) as stream:
        size, start = _payload(stream, repr(member.filename))
    if size > member.file_size - start or member.file_size > member.compress_size * COMPRESSION + 1024:
        raise FileError(
            f"truncated: the header of {member.filename!r} announces {size} bytes, more than it holds"
        )


def _payload(stream: Any, name: str) -> tuple[int, int]:
    """Bytes of data an ``.npy`` header announces, and where they start."""
    version = np.lib.format.read_magic(stream)
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > HEADER:
        raise FileError(f"the header of {name} announces {length} bytes of its own; expected a few hundred")
    stream.seek(-width, 1)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise FileError(f"{name} holds Python objects, which are never loaded; expected numbers")
    if min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise FileError(f"{name} has shape {shape} and dtype {dtype}; expected sizes that are not negative")
    return math.prod(shape) * dtype.itemsize, stream.tell()
