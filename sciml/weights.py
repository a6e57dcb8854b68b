"""Weight files: arrays and a JSON header in one safetensors file, checked before anything is built from them.

A weight file holds what one trained component needs and nothing that could run: tensors by name, and a header
with the component's kind, its configuration (what the constructor takes) and how it was trained. Reading one
needs no torch, so a component that only applies learned numbers stays free of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .files import replaced

__all__ = ["KINDS", "WeightFile", "load_weights", "save_weights", "shipped", "shipped_names"]

FORMAT = 1
"""Version of the header; files of a later one are refused."""

KINDS = {
    "dcd": "sciml.learned.dcd:DCDNetwork",
    "multigrid": "sciml.preconditioners:LearnedMultigrid",
    "pinn": "sciml.learned.pinn:Field",
    "rim": "sciml.learned.rim:RIM",
}
"""Kind in the header -> class whose ``from_weights(WeightFile)`` rebuilds the component."""

_HEADER = "sciml"
_HERE = Path(__file__).parent / "learned" / "weights"


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file.

    Attributes
    ----------
    kind : str
        Which component it belongs to, a key of `KINDS`.
    config : dict
        JSON values that rebuild the untrained component.
    tensors : dict of str to ndarray
        The learned arrays by name.
    training : dict
        How the weights were made: command, seed, steps, seconds, validation (JSON values).
    source : str
        The file, for messages.
    """

    kind: str
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    training: dict[str, Any]
    source: str = "<memory>"

    def require(self, expected: Mapping[str, tuple[int, ...]], dtype: str | None = None) -> None:
        """Check names and shapes against what a component expects.

        Raises
        ------
        ValueError
            Naming the first tensor that is missing, left over, of another shape or dtype, or not finite.
        """
        for name, shape in expected.items():
            if name not in self.tensors:
                raise ValueError(f"{self.source}: lacks the tensor {name!r} of shape {tuple(shape)}")
            found = self.tensors[name]
            if found.shape != tuple(shape):
                raise ValueError(
                    f"{self.source}: tensor {name!r} has shape {found.shape}; expected {tuple(shape)}"
                )
            if dtype is not None and found.dtype.name != dtype:
                raise ValueError(f"{self.source}: tensor {name!r} is {found.dtype.name}; expected {dtype}")
            if found.dtype.kind in "fc" and not np.isfinite(found).all():
                raise ValueError(f"{self.source}: tensor {name!r} contains NaN or infinity")
        for name in self.tensors:
            if name not in expected:
                raise ValueError(f"{self.source}: holds a tensor {name!r} that this component does not have")


def save_weights(
    path: str | os.PathLike[str],
    kind: str,
    tensors: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write a weight file, atomically: an interrupted call leaves the old file or the new one.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``.
    kind : str
        A key of `KINDS`.
    tensors : mapping of str to array
        NumPy arrays or torch tensors.
    config, training : mapping
        JSON values; see `WeightFile`.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        For an unknown kind, another suffix, or values JSON cannot hold.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from sciml.weights import load_weights, save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "w.safetensors"
    ...     _ = save_weights(path, "dcd", {"k": np.ones(3)}, config={"n": 3})
    ...     load_weights(path, kind="dcd").config
    {'n': 3}
    """
    check_kind(kind)
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path is {str(path)!r}; expected a name ending in .safetensors")
    header = {"format": FORMAT, "kind": kind, "config": dict(config), "training": dict(training or {})}
    write_arrays(path, {name: to_array(value) for name, value in tensors.items()}, header)
    return path


def load_weights(path: str | os.PathLike[str], *, kind: str | None = None) -> WeightFile:
    """Read a weight file.

    Parameters
    ----------
    path : path
    kind : str, optional
        The kind expected; by default any.

    Returns
    -------
    WeightFile

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence naming the file and what is wrong: missing, truncated, foreign, of another kind or
        version. Nothing in a file is ever executed.
    """
    path = Path(path)
    tensors, header = read_arrays(path, "a weight file")
    for name, types in (("format", int), ("kind", str), ("config", dict), ("training", dict)):
        if not isinstance(header.get(name), types):
            raise ValueError(f"{path}: its header has no valid {name!r}; not a weight file of sciml")
    if header["format"] > FORMAT:
        raise ValueError(f"{path}: written in format {header['format']}; this version reads up to {FORMAT}")
    if kind is not None and header["kind"] != kind:
        raise ValueError(f"{path}: holds weights of a {header['kind']!r} component; expected {kind!r}")
    return WeightFile(header["kind"], header["config"], tensors, header["training"], str(path))


def shipped_names() -> tuple[str, ...]:
    """Names of the weight files that come with the package."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.safetensors")))


def shipped(name: str) -> Path:
    """Path of shipped weights.

    Raises
    ------
    ValueError
        Listing the names there are.
    """
    if name not in shipped_names():
        raise ValueError(f"no weights named {name!r} are shipped; expected one of {list(shipped_names())}")
    return _HERE / f"{name}.safetensors"


# -- files of arrays with a JSON header, shared with checkpoints ------------------------------
def _library() -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise ImportError('weight files need safetensors: pip install "sciml[weights]"') from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write `arrays` and `header` to a safetensors file that appears whole or not at all."""
    _library()
    from safetensors.numpy import save

    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the header of {path.name} must hold JSON values only: {error}") from None
    # Not ascontiguousarray, which gives a number without axes one.
    content = save({k: np.asarray(v, order="C") for k, v in arrays.items()}, metadata={_HEADER: text})
    with replaced(path, make_folder=True) as stream:
        stream.write(content)


def read_arrays(path: Path, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of a file that `write_arrays` wrote; `what` names it in errors."""
    _library()
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        with safe_open(path, framework="numpy") as stream:
            header = json.loads((stream.metadata() or {}).get(_HEADER, "null"))
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: truncated, damaged or not {what} ({reason})") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: a safetensors file without the header of sciml; not {what}")
    return arrays, header


def to_array(value: Any) -> np.ndarray:
    """A NumPy array of a torch tensor or anything array-like."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def check_kind(kind: str, source: str | None = None) -> None:
    """Raise `ValueError` for a kind that is not in `KINDS`."""
    if kind not in KINDS:
        where = f"{source}: " if source else ""
        raise ValueError(f"{where}kind is {kind!r}; expected one of {sorted(KINDS)}")
