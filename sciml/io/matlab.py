"""MATLAB 5 files (``save -v6`` and ``-v7``): arrays, sparse matrices, and the ``Problem`` of SuiteSparse.

SciPy's compiled reader trusts what it reads: a few changed bytes make it write outside its memory. This one
slices bytes and hands them to NumPy, so that damage ends in an error.

The format: "MAT-File Format", The MathWorks. An element is a tag (type, length) and content padded to eight
bytes; a variable is an element that holds elements: flags, dimensions, name, and the data of its class.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from .guard import FileError

__all__ = ["read_mat"]

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STRUCT, _SPARSE = 2, 5
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x800
_VERSION_73 = "a MATLAB 7.3 (HDF5) file; expected version 5, which save -v7 writes"


class _Element(NamedTuple):
    kind: int
    content: memoryview


def read_mat(path: Path) -> dict[str, Any]:
    """Numeric and sparse variables by name, ``A`` and ``b`` of a struct ``Problem`` among them.

    Other variables (text, cells, objects) are left out. Raises what `guarded` explains.
    """
    data = path.read_bytes()
    if data.startswith(b"\x89HDF") or b"MATLAB 7.3" in data[:128]:
        raise FileError(_VERSION_73)
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise FileError("not a MATLAB 5 file")
    order = "<" if data[126:128] == b"IM" else ">"
    found: dict[str, Any] = {}
    for element in _elements(memoryview(data)[128:], order):
        if element.kind == _COMPRESSED:
            # Deflate shrinks by a thousand at best: no file can ask for more memory than that.
            (element,) = _elements(memoryview(zlib.decompress(element.content)), order)
        if element.kind != _MATRIX:
            raise FileError(f"damaged: an element of type {element.kind} where a variable is expected")
        variable = _Variable(element.content, order)
        if variable.name == "Problem" and variable.kind == _STRUCT:
            found |= variable.fields("A", "b")
        elif (value := variable.value()) is not None:
            found[variable.name] = value
    return found


def _elements(data: memoryview, order: Any) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise FileError("truncated inside a variable")
        kind, length = (int(n) for n in np.frombuffer(data, order + "u4", 2, at))
        start = at + 8
        if kind >> 16:  # at most four bytes of content, within the tag
            kind, length, start = kind & 0xFFFF, kind >> 16, at + 4
            if length > 4:
                raise FileError("damaged: a short element that is too long")
        if start + length > len(data):
            raise FileError("truncated: a variable is longer than the file")
        yield _Element(kind, data[start : start + length])
        # Compressed variables are not padded.
        at = at + 8 if start == at + 4 else start + length + (-length % 8 if kind != _COMPRESSED else 0)


class _Variable:
    """One variable: its header, and its parts until someone asks for their value."""

    def __init__(self, content: memoryview, order: Any):
        self.order = order
        self.flags, self.name, self.parts = 0, "", []
        self.shape: tuple[int, ...] = (0, 0)
        if not content:  # how an empty one is written within another
            return
        flags, dimensions, name, *self.parts = _elements(content, order)
        if flags.kind != _UINT32 or len(flags.content) != 8:
            raise FileError("damaged: a variable without flags")
        self.flags = int(np.frombuffer(flags.content, order + "u4")[0])
        self.shape = tuple(int(n) for n in self._numbers(dimensions, _INT32))
        self.name = bytes(name.content).decode("latin-1")
        if len(self.shape) < 2 or min(self.shape) < 0:
            raise FileError(f"damaged: variable {self.name!r} has shape {self.shape}")

    @property
    def kind(self) -> int:
        return self.flags & 0xFF

    def value(self) -> Any:
        """An array or a sparse matrix; None for other classes."""
        if self.kind == _SPARSE:
            return self._sparse()
        if self.kind not in _CLASSES:
            return None
        entries = self._entries(self.parts)
        if entries.size != math.prod(self.shape):
            raise FileError(
                f"truncated: variable {self.name!r} of shape {self.shape} holds {entries.size} entries"
            )
        dtype = np.result_type(_CLASSES[self.kind], "c8" if entries.dtype.kind == "c" else "?")
        return entries.astype(dtype).reshape(self.shape, order="F")

    def fields(self, *names: str) -> dict[str, Any]:
        """Values of the fields `names` of a struct, where it has them."""
        width, text, *values = self.parts
        step = int(self._numbers(width, _INT32)[0])
        if step < 1:
            raise FileError(f"damaged: struct {self.name!r} has names of {step} letters")
        letters = bytes(text.content)
        known = [letters[at : at + step].split(b"\0")[0] for at in range(0, len(letters), step)]
        found = {}
        for name, element in zip(known, values, strict=False):  # the first of an array of structs
            if name.decode("latin-1") in names:
                if element.kind != _MATRIX:
                    raise FileError(f"damaged: field {name!r} of {self.name!r} is no variable")
                found[name.decode("latin-1")] = _Variable(element.content, self.order).value()
        return {name: value for name, value in found.items() if value is not None}

    def _sparse(self) -> scipy.sparse.csc_array:
        row, start, *values = self.parts
        rows, starts, entries = (
            self._numbers(row, _INT32),
            self._numbers(start, _INT32),
            self._entries(values),
        )
        if len(self.shape) != 2 or starts.size != self.shape[1] + 1:
            raise FileError(f"truncated: sparse variable {self.name!r} has shape {self.shape}")
        count = int(starts[-1])  # the rest is room MATLAB had reserved
        if not 0 <= count <= min(rows.size, entries.size):
            raise FileError(f"truncated: sparse variable {self.name!r} announces {count} entries")
        matrix = scipy.sparse.csc_array((entries[:count], rows[:count], starts), shape=self.shape)
        matrix.check_format(full_check=True)  # indices out of range would read foreign memory
        return matrix

    def _entries(self, parts: list[_Element]) -> np.ndarray:
        if self.flags & _COMPLEX:
            real, imaginary = (self._numbers(part) for part in parts)
            return real + 1j * imaginary
        (real,) = (self._numbers(part) for part in parts)
        return real

    def _numbers(self, element: _Element, kind: int | None = None) -> np.ndarray:
        """The numbers of an element, which MATLAB may store in a smaller type than that of the variable."""
        if element.kind not in _TYPES or (kind is not None and element.kind != kind):
            raise FileError(f"damaged: an element of type {element.kind} where numbers are expected")
        dtype = np.dtype(_TYPES[element.kind])
        return np.frombuffer(element.content, dtype.newbyteorder(self.order)).astype(dtype)
