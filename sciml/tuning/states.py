"""What policies know, as JSON: written, read, and compared with what it has to be."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FORMAT", "alike", "check_count", "decode", "encode", "read_state", "require"]

FORMAT = "sciml.tuning/1"


def encode(value: Any) -> Any:
    """Arrays, numbers and lists of them as JSON values."""
    if isinstance(value, np.ndarray):
        return {"array": value.ravel().tolist(), "shape": list(value.shape), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [encode(entry) for entry in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`, but for tuples, which become lists."""
    if isinstance(value, dict):
        return np.array(value["array"], dtype=value["dtype"]).reshape(value["shape"])
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    return value


def require(names: Iterable[str], found: dict[str, Any], path: Any) -> None:
    """Raise `ValueError` unless all `names` are in `found`."""
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path} is not a saved policy of this version: it lacks {', '.join(missing)}")


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a file of a policy.

    Raises
    ------
    FileNotFoundError, ValueError
        For a file that is missing, or no file of a policy.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a saved policy: {error}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a saved policy; expected a file written by Policy.save")
    return state


def check_count(name: str, value: Any) -> int:
    """`value` if it is an integer that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}; expected an integer >= 0")
    return value


def alike(name: str, found: Any, now: Any) -> Any:
    """`found`, if it has the type of `now`, and where that is an array, its shape and finite entries.

    Raises
    ------
    ValueError
        Otherwise, with the `name` of the value.
    """
    if isinstance(now, np.ndarray):
        if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (now.dtype, now.shape):
            raise ValueError(f"{name} is no array of shape {now.shape} and dtype {now.dtype}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} holds a value that is not finite")
    elif isinstance(now, list | tuple):
        if not isinstance(found, list) or len(found) != len(now):
            raise ValueError(f"{name} is no list of {len(now)} entries")
        for i, (entry, model) in enumerate(zip(found, now, strict=True)):
            alike(f"{name}[{i}]", entry, model)
    elif isinstance(now, bool):
        if not isinstance(found, bool):
            raise ValueError(f"{name} is {found!r}; expected a truth value")
    elif isinstance(now, int):
        check_count(name, found)
    elif isinstance(found, bool) or not isinstance(found, Real) or not math.isfinite(found):
        raise ValueError(f"{name} is {found!r}; expected a finite number")
    return found
