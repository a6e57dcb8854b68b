"""Files that appear whole or not at all, and outputs known to be possible before the work for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["check_output", "replaced"]

PROBE = 1 << 16
"""Bytes that must fit where an output is to go."""


@contextmanager
def replaced(path: str | os.PathLike[str], *, make_folder: bool = False) -> Iterator[IO[bytes]]:
    """A binary stream whose content takes the place of `path` when the block ends without an error.

    An interrupted block leaves the old file. A link is followed; a device or a pipe is written to, never
    replaced. `make_folder` makes the folder where it does not exist.

    Raises
    ------
    OSError
        Naming `path`, where it cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sciml.files import replaced
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "x"
    ...     with replaced(path) as stream:
    ...         _ = stream.write(b"all of it")
    ...     path.read_bytes()
    b'all of it'
    """
    target = Path(os.path.realpath(path))
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                yield stream
            return
        partial = _partial(target)
        try:
            with partial.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _named(error, path) from None


def check_output(path: str | os.PathLike[str] | None, *, make_folder: bool = False) -> None:
    """Raise `OSError` now if `path` could not be written later; None is no output.

    Parameters
    ----------
    path : path or None
    make_folder : bool
        As in `replaced`.
    """
    if path is None:
        return
    target = Path(os.path.realpath(path))
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: no such folder")
        if target.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder")
        if target.exists() and not target.is_file():
            return  # a device or a pipe
        partial = _partial(target)
        try:
            with partial.open("wb") as stream:
                stream.write(b"\0" * PROBE)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _named(error, path) from None


def _partial(target: Path) -> Path:
    """A name beside `target` that no other process or thread uses."""
    return target.with_name(f".{target.name[:100]}.{os.getpid()}-{threading.get_ident()}.partial")


def _named(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """The same error with the name the user gave; system calls know none, or that of the partial file."""
    if error.errno is None:
        return error
    return OSError(error.errno, f"cannot write {os.fspath(path)}: {error.strerror}")
