"""HDF5 files (`h5py`): data sets that are what they claim, before they are read."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .guard import COMPRESSION, FileError, guarded

__all__ = ["dataset", "read_hdf5"]

_HEAP = b"GCOL\x01\0\0\0"

T = TypeVar("T")


def read_hdf5(path: str | Path, reader: Callable[[Any], T]) -> T:
    """``reader(file)`` on an HDF5 file opened for reading.

    Raises
    ------
    FileNotFoundError, ValueError
        One line naming the file and what is wrong.
    """
    import h5py

    def opened(path: Path) -> T:
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            return reader(file)

    return guarded(Path(path), "an HDF5 file", opened)


def _check_heaps(path: Path) -> None:
    """Refuse damaged global heaps, where texts and ragged rows are: some make the HDF5 library loop for ever.

    HDF5 File Format Specification, III.E: a collection is its size and objects, each with its own size; the
    free space at the end counts as object 0.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            end, at = start + int.from_bytes(data[start + 8 : start + 16], "little"), start + 16
            while at + 16 <= min(end, len(data)):
                number, size = struct.unpack("<H6xQ", data[at : at + 16])
                step = 16 + size + -size % 8 if number else size
                if step < 16 or at + step > end:
                    raise FileError("damaged: a global heap whose objects overlap")
                at += step
            start = data.find(_HEAP, start + 1)


def dataset(group: Any, name: str, kinds: str, expected: str, *, compressed: bool = True) -> Any:
    """The data set `name` of a group, still unread, of a dtype of one of `kinds`.

    A file of a few bytes may announce any shape (what was never written reads as zeros), and may point to
    other files. Both are refused.

    Parameters
    ----------
    group : h5py group or file
    name : str
    kinds : str
        Kinds of dtypes, as in `numpy.dtype.kind`.
    expected : str
        The same in words.
    compressed : bool
        Whether data sets of its kind can be smaller in the file than in memory.

    Raises
    ------
    FileError
        For a data set that is missing or none, of other kinds, larger than the file can hold, or elsewhere.
    """
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink | None):
        raise FileError(f"{name} is a link to somewhere else; expected the data themselves")
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise FileError(f"holds no dataset {name} (found {', '.join(group) or 'nothing'})")
    if found.external or found.is_virtual:
        raise FileError(f"the data of {name} are in another file; expected them in this one")
    if found.shape is None or found.dtype.kind not in kinds:
        raise FileError(f"{name} has shape {found.shape} and dtype {found.dtype}; expected {expected}")
    largest = max(found.size, math.prod(found.chunks or ())) * found.dtype.itemsize
    if largest > Path(found.file.filename).stat().st_size * (COMPRESSION if compressed else 1):
        raise FileError(f"truncated: {name} announces shape {found.shape}, more than the file can hold")
    return found
