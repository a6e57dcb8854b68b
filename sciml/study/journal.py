"""The rows of a study in a file that only grows: one JSON value a line, whole lines only, one writer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..measure.record import plain

__all__ = ["Journal", "read_rows"]

FORMAT = 1


class Journal:
    """The journal of one study.

    The first line says which study it is; a line ``session`` says where the rows after it were measured;
    every other line is one row. A line is written whole and forced to disk before the next solve
    starts. What a kill left of a line is cut off when the study goes on, so at most the row at hand is lost.

    Parameters
    ----------
    path : Path
        Made if it does not exist, with its folder.
    config : dict
        Of the plan.

    Attributes
    ----------
    rows, sessions : list of dict
        What the file holds. Every row has the number of its session.

    Raises
    ------
    ValueError
        If the file belongs to another study, is damaged, or another process is writing it.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path, config: dict[str, Any]):
        config = plain(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._descriptor, path)
            found, self.rows, self.sessions, whole = _read(path)
            os.ftruncate(self._descriptor, whole)
            if found is None:
                self._write({"study": config, "format": FORMAT})
            elif found != config:
                raise ValueError(
                    f"{path.parent} holds another study ({_difference(found, config)}); expected the same "
                    "settings, or another output folder"
                )
        except BaseException:
            os.close(self._descriptor)
            raise

    def start_session(self, environment: dict[str, Any]) -> None:
        """Say where the rows that follow are measured."""
        self._write({"session": environment})
        self.sessions.append(plain(environment))

    def append(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keep one row; it is on disk when this returns."""
        row = plain({**row, "session": len(self.sessions)})
        self._write({"row": row})
        self.rows.append(row)
        return row

    def _write(self, content: dict[str, Any]) -> None:
        line = (json.dumps(plain(content), allow_nan=False, ensure_ascii=False) + "\n").encode()
        end = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)  # a full disk must not leave half a line
            raise OSError(f"cannot write {self.path}: {error.strerror}") from None

    def close(self) -> None:
        """Let other processes have the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Rows a study has so far, also while it runs.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no journal of a study.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return _read(path)[1]


def _read(path: Path) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]], int]:
    """Config, rows, sessions, and the length of the whole lines in bytes."""
    config, rows, sessions, whole, newer = None, [], [], 0, False
    for number, line in enumerate(_whole_lines(path), start=1):
        whole += len(line)
        try:
            content = json.loads(line)
            if number == 1:
                config, newer = dict(content["study"]), content["format"] > FORMAT
            elif "session" in content:
                sessions.append(content["session"])
            else:
                rows.append(content["row"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ValueError(f"{path}: line {number} is damaged, or this is no journal of a study") from None
        if newer:
            raise ValueError(f"{path}: written in format {content['format']}; this version reads {FORMAT}")
    return config, rows, sessions, whole


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from (line for line in stream if line.endswith(b"\n"))


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - systems without it: do not run a study twice at once there
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(f"{path}: another process is running this study") from None


def _difference(there: Any, here: Any) -> str:
    """The first setting in which two configurations differ, in words."""
    for key in dict.fromkeys([*there, *here]):
        old, new = there.get(key), here.get(key)
        if old != new:
            if isinstance(old, list) and isinstance(new, list):
                pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
                if not pairs:
                    return f"{key}: {len(old)} there, {len(new)} here"
                old, new = pairs[0]
            if isinstance(old, dict) and isinstance(new, dict):
                return f"{key}: {_difference(old, new)}"
            return f"{key}: {old!r} there, {new!r} here"
    return "no difference"
