"""The installed files against what the wheel recorded of them, and the readers of systems."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .report import same
from .run import Check, Checks

__all__ = ["installed_files", "readers", "why_not_comparable"]

PACKAGE = Path(__file__).resolve().parent.parent


def why_not_comparable() -> str | None:
    """Why the installed files cannot be compared: this is no installation from a wheel."""
    return None if _recorded() else "not installed from a wheel: there is no record to compare with"


def installed_files() -> Checks:
    """One check per file of the package: there, and with the digest in the wheel's record."""
    return {name: partial(_unchanged, *entry) for name, entry in _recorded().items()}


def _recorded() -> dict[str, tuple[Path, str, str]]:
    """Name -> path, algorithm and digest, if the package that runs is the one that was installed."""
    try:
        entries = importlib.metadata.files("sciml") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, tuple[Path, str, str]] = {}
    for entry in entries:
        path = Path(str(entry.locate())).resolve()
        if entry.hash is not None and PACKAGE in path.parents:
            found[str(entry)] = (path, entry.hash.mode, entry.hash.value)
    return found


def _unchanged(path: Path, algorithm: str, digest: str) -> list[str]:
    if not path.is_file():
        return ["the file is missing"]
    found = base64.urlsafe_b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).rstrip(b"=")
    return [] if found.decode() == digest else ["the file is not the one that was installed (digest differs)"]


# -- systems in files -------------------------------------------------------------------------
def readers() -> Checks:
    """A system written by SciPy and NumPy and read back."""
    checks: dict[str, Check] = {suffix: partial(_read_back, suffix) for suffix in (".mtx", ".npz", ".mat")}
    return {**checks, "a truncated file is refused": _truncated}


def _read_back(suffix: str) -> list[str]:
    from ..io import load_system

    A = _matrix()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"system{suffix}"
        _write(path, A)
        found = load_system(path).A
    return same("the matrix", found @ np.eye(A.shape[1]), A.toarray(), 1e-15)


def _truncated() -> list[str]:
    from ..io import load_system

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "system.npz"
        _write(path, _matrix())
        path.write_bytes(path.read_bytes()[:-100])
        try:
            load_system(path)
        except ValueError:
            return []
    return ["half a file was read; expected a ValueError"]


def _matrix() -> Any:
    from ..problems import poisson

    return poisson((5, 4)).A.tocsr()


def _write(path: Path, A: Any) -> None:
    import scipy.io
    import scipy.sparse

    if path.suffix == ".mtx":
        scipy.io.mmwrite(path, A, precision=17)
    elif path.suffix == ".npz":
        scipy.sparse.save_npz(path, A)
    else:
        scipy.io.savemat(path, {"A": A})
