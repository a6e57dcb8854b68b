"""What reports need of the rows and sessions in a journal: a damaged one is found before it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["check_rows"]

WORDS = ("problem", "size", "solver", "status")
MEASURED = ("iterations", "unknowns", "total_seconds", "setup_seconds", "solve_seconds")
"""Numbers that every solve has which converged."""

NUMBERS = ("relative_residual", "residual_norm", "tolerance", "error", "matvecs", "peak_memory_growth_bytes")
LARGEST = 1e300
"""Numbers beyond it overflow in means."""

PLACE = ("cpu", "gpu", "threads", "commit")


def check_rows(rows: Sequence[Any], sessions: Sequence[Any], path: Path) -> None:
    """Raise `ValueError` with the file `path` for the first entry that is not what a study writes."""
    for kind, entries, fits in (
        ("session", sessions, _is_session),
        ("row", rows, lambda row: _is_row(row, len(sessions))),
    ):
        for number, entry in enumerate(entries, start=1):
            if not isinstance(entry, dict) or not fits(entry):
                raise ValueError(f"{path}: {kind} {number} is damaged, or this is no journal of a study")


def _is_session(entry: dict[str, Any]) -> bool:
    versions = entry.get("versions")
    return isinstance(versions, dict) and all(
        key in entry and isinstance(entry[key], str | int | None) for key in PLACE
    )


def _is_row(entry: dict[str, Any], sessions: int) -> bool:
    measured = [entry.get(key) for key in MEASURED]
    if entry.get("status") != "CONVERGED":
        measured = [value for value in measured if value is not None]
    session, history, notes = entry.get("session"), entry.get("history", []), entry.get("notes", [])
    return (
        all(isinstance(entry.get(key), str) for key in WORDS)
        and all(map(_is_number, measured))
        and all(entry.get(key) is None or _is_number(entry[key]) for key in NUMBERS)
        and isinstance(history, list)
        and all(norm is None or _is_number(norm) for norm in history)
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
        and isinstance(entry.get("seed", ""), int | None)
        and isinstance(entry.get("reason"), str | None)
        and type(session) is int
        and 1 <= session <= sessions
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
