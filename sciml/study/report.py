"""What a study leaves behind: every row as CSV, a JSON record with claims, and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..measure.record import record, write_json, write_text
from .page import page
from .plan import Plan
from .summary import claims, summary

__all__ = ["check_outputs", "write_reports"]

COLUMNS = (
    "problem", "size", "seed", "solver", "unknowns", "status", "reason", "iterations", "matvecs",
    "setup_seconds", "solve_seconds", "total_seconds", "residual_norm", "tolerance", "relative_residual",
    "error", "peak_memory_growth_bytes", "ran", "session",
)  # fmt: skip
"""Of the table of all rows; the histories are in the journal only."""


def check_outputs() -> None:
    """Raise `ImportError` now, not after the study, if the page's figures cannot be drawn."""
    from ..plotting import check_format

    check_format("figure.svg")


def write_reports(
    folder: Path, plan: Plan, rows: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]]
) -> None:
    """Write ``rows.csv``, ``study.json`` and ``report.html`` into `folder`, each in one step."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "rows.csv", text.getvalue())
    table = [{column: row.get(column) for column in COLUMNS} for row in rows]
    seed = next((seed for problem in plan.problems for seed in problem.seeds if seed is not None), 0)
    tables: dict[str, Sequence[dict[str, Any]]] = {"summary": summary(rows), "rows": table}
    content = record(f"study {plan.name}", "custom", seed, tables, claims(rows))
    content["study"], content["planned"] = plan.config, len(plan)
    # The machine that measured, not the one that writes this.
    content["sessions"] = list(sessions)
    if sessions:
        content["environment"] = sessions[-1]
    write_json(folder / "study.json", content)
    write_text(folder / "report.html", page(plan, rows, sessions))
