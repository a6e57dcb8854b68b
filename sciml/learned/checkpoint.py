"""Checkpoints: the whole state of a training run in one file that appears at once and never runs code.

A state is a tree of dicts and lists whose leaves are arrays, numbers, strings and None. Arrays go into a
safetensors file, the tree itself into its JSON header, where a leaf that is an array is ``{"$array": name}``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..weights import read_arrays, to_array, write_arrays

__all__ = ["load_checkpoint", "save_checkpoint"]

_ARRAY = "$array"
_KEYS = "$items"
"""A dict whose keys are not all strings (torch numbers its parameters) is stored as pairs under this name."""


def save_checkpoint(path: str | Path, state: Any) -> None:
    """Write `state` atomically.

    Raises
    ------
    TypeError
        Naming the leaf that is neither an array, a number, a string nor None.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _pack(state, "", arrays)
    write_arrays(Path(path), arrays, {"checkpoint": tree})


def load_checkpoint(path: str | Path) -> Any:
    """Read a state; its arrays are NumPy arrays.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and what is wrong with it.
    """
    path = Path(path)
    arrays, header = read_arrays(path, "a checkpoint")
    if "checkpoint" not in header:
        raise ValueError(f"{path}: not a checkpoint (a weight file?)")
    try:
        return _unpack(header["checkpoint"], arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged checkpoint ({error})") from None


def _pack(value: Any, where: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: _pack(v, f"{where}.{k}", arrays) for k, v in value.items()}
        return {
            _KEYS: [[_pack(k, where, arrays), _pack(v, f"{where}.{k}", arrays)] for k, v in value.items()]
        }
    if isinstance(value, list | tuple):
        return [_pack(v, f"{where}.{i}", arrays) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # repr keeps every bit, and JSON has no word for NaN and infinity.
        return {"$float": repr(value)}
    if isinstance(value, np.generic | np.ndarray) or hasattr(value, "detach"):
        arrays[where] = np.array(to_array(value))
        return {_ARRAY: where}
    raise TypeError(f"state{where} is a {type(value).__name__}; expected an array, number, string or None")


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        if "$float" in value:
            return float(value["$float"])
        if _KEYS in value:
            return {_unpack(k, arrays): _unpack(v, arrays) for k, v in value[_KEYS]}
        return {k: _unpack(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    return value
