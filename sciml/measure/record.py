"""The record of a measurement: environment, tables, and claims checked in the very run."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import operator
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import replaced

__all__ = [
    "claim",
    "environment",
    "installed_versions",
    "plain",
    "record",
    "threads",
    "write_json",
    "write_text",
]

_RELATIONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
_PACKAGES = ("sciml", "numpy", "scipy", "numba", "array-api-compat", "pyamg", "torch", "cupy", "matplotlib")


def claim(name: str, value: float, relation: str, target: float) -> dict[str, Any]:
    """One line of what a run set out to show, and whether its measured value holds it.

    Parameters
    ----------
    name : str
        What `value` is.
    value : float
        Measured in this run; NaN never holds.
    relation : {"<=", ">=", "=="}
    target : float

    Examples
    --------
    >>> from sciml.measure.record import claim
    >>> claim("iterations", 9, "<=", 12)["holds"]
    True
    """
    if relation not in _RELATIONS:
        raise ValueError(f"relation is {relation!r}; expected one of {', '.join(_RELATIONS)}")
    holds = bool(_RELATIONS[relation](value, target)) and not math.isnan(value)
    return {"name": name, "value": value, "relation": relation, "target": target, "holds": holds}


def record(
    case: str,
    size: str,
    seed: int,
    tables: dict[str, Sequence[dict[str, Any]]],
    claims: Sequence[dict[str, Any]],
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything a run measured, with the words typed after its name and the environment it ran in."""
    return {
        "case": case,
        "size": size,
        "seed": seed,
        "arguments": list(arguments),
        "environment": environment(),
        "tables": {name: list(rows) for name, rows in tables.items()},
        "claims": list(claims),
    }


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON by `write_text`, values as in `plain`."""
    write_text(path, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a file in one step, so that an interrupted run leaves no half file behind."""
    with replaced(path) as stream:
        stream.write(text.encode())


def plain(value: Any) -> Any:
    """`value` in what JSON can hold; what it has no word for (NaN, infinity) becomes null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def environment() -> dict[str, Any]:
    """Day, processor, threads, GPU, versions and commit."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "threads": threads(),
        "gpu": _gpu(),
        "versions": {"python": platform.python_version(), **installed_versions()},
        "commit": _commit(),
    }


def installed_versions() -> dict[str, str]:
    """Versions of the packages that matter here, without importing any of them."""
    found = {}
    for package in _PACKAGES:
        names = ("cupy", "cupy-cuda12x", "cupy-cuda13x") if package == "cupy" else (package,)
        for name in names:
            try:
                found[package] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
            break
    return found


def threads() -> int:
    """Threads our compiled kernels may use."""
    from ..backends.threads import num_threads

    return num_threads()


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def _commit() -> str | None:
    here = str(Path(__file__).resolve().parent)
    commit = _output("git", "-C", here, "rev-parse", "HEAD")
    # A checkout of something else that merely contains the installed package says nothing about it.
    if commit is None or _output("git", "-C", here, "ls-files", Path(__file__).name) is None:
        return None
    changed = _output("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    return commit + ("-modified" if changed else "")


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.strip()
    return text if done.returncode == 0 and text else None
