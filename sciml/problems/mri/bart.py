"""The Berkeley Advanced Reconstruction Toolbox as an independent referee, where its program is installed.

``apt-get install bart`` on Debian and Ubuntu; nothing else in the package needs it.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["bart", "bart_available", "bart_compressed_sensing", "read_cfl", "write_cfl"]

COIL = 3
"""BART's axis of coils; images take its first two."""


def bart_available() -> bool:
    """Whether the program ``bart`` is found."""
    return shutil.which("bart") is not None


def bart(command: str, *arguments: Any, inputs: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Run one command of BART and read its last output.

    Parameters
    ----------
    command : str
        With its options, such as ``"phantom -x 64 -s 8 -k"``.
    *arguments : str
        Names among `inputs`, in the order the command takes them.
    inputs : dict of arrays
        ``(H, W)`` images or ``(C, H, W)`` coil arrays; they become BART's axes 0, 1 and 3. Arrays of
        four axes or more are passed as they are.

    Returns
    -------
    ndarray of complex64
        ``(H, W)``, or ``(C, H, W)`` where BART gives several coils: axes of length one are left out.

    Raises
    ------
    FileNotFoundError
        If BART is not installed.
    RuntimeError
        With BART's own words if it fails.
    """
    if not bart_available():
        raise FileNotFoundError(
            "the program bart is not installed; expected it on the PATH (apt-get install bart)"
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (inputs or {}).items():
            write_cfl(Path(folder) / name, _to_bart(array))
        done = subprocess.run(
            ["bart", *command.split(), *map(str, arguments), "result"], cwd=folder, capture_output=True,
            text=True, env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"bart {command} failed: {' '.join((done.stderr + done.stdout).split())}")
        return _from_bart(read_cfl(Path(folder) / "result"))


def bart_compressed_sensing(
    y: np.ndarray, maps: np.ndarray, *, weight: float = 0.005, iterations: int = 60, wavelet: str = "dau2"
) -> np.ndarray:
    """BART's l1-wavelet reconstruction, ``pics -S -R W:3:0:weight``: the reference of the RIM papers.

    Parameters
    ----------
    y, maps : complex arrays of shape ``(C, H, W)``
    weight : float
        On BART's own scale of the data.
    iterations : int
    wavelet : str
        ``"haar"``, ``"dau2"`` or ``"cdf44"``.

    Returns
    -------
    ndarray of complex64, shape ``(H, W)``
    """
    options = f"pics -d0 -S -R W:3:0:{weight:g} -i {iterations} --wavelet {wavelet}"
    return bart(options, "y", "maps", inputs={"y": y, "maps": maps})


def write_cfl(path: Path, array: np.ndarray) -> None:
    """Write a complex array with BART's axes: ``path.hdr`` holds its sizes, ``path.cfl`` its entries."""
    dims = [*array.shape, *(1,) * (16 - array.ndim)]
    Path(f"{path}.hdr").write_text("# Dimensions\n" + " ".join(map(str, dims)) + "\n", encoding="ascii")
    Path(f"{path}.cfl").write_bytes(array.astype(np.complex64).tobytes(order="F"))


def read_cfl(path: Path) -> np.ndarray:
    """Read what `write_cfl` or BART wrote, all sixteen axes."""
    header, data = Path(f"{path}.hdr"), Path(f"{path}.cfl")
    for file in (header, data):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file")
    lines = header.read_text(encoding="ascii", errors="replace").splitlines()
    try:
        dims = [int(n) for n in lines[lines.index("# Dimensions") + 1].split()]
    except (ValueError, IndexError):
        raise ValueError(f"{header}: no header of BART, or damaged: it states no dimensions") from None
    entries = data.stat().st_size // 8
    if min(dims, default=1) < 0 or entries != math.prod(dims):
        raise ValueError(f"{data} holds {entries} entries; expected {math.prod(dims)} as its header says")
    return np.fromfile(data, dtype=np.complex64, count=entries).reshape(dims, order="F")


def _to_bart(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 0, -1)[:, :, None, :] if array.ndim == 3 else array


def _from_bart(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, COIL, 0).squeeze())
