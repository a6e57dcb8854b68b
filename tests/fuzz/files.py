"""Small valid files, made in memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["folder_for_a_while", "matrix", "npy", "npz", "saved", "written"]


@contextmanager
def folder_for_a_while() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def written(write: Callable[[Path], Any], *names: str) -> dict[str, bytes]:
    """What `write(folder)` puts into files of these names."""
    with folder_for_a_while() as folder:
        write(folder)
        return {name: (folder / name).read_bytes() for name in names}


def saved(write: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *args, **kwargs)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    return saved(np.savez_compressed, **arrays)


def npy(array: Any) -> bytes:
    return saved(np.save, array)


def matrix(n: int = 6) -> sp.csr_array:
    return sp.csr_array(sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n)))
