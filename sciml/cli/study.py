"""``sciml study``: run the study a TOML file describes, or say what it would run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..measure.terminal import console, progress

__all__ = ["run_study_command"]

SHOWN = 10
"""Lines about failures printed."""


def run_study_command(config: Path, output: Path | None, check: bool) -> int:
    """Run or list; returns the exit code."""
    from ..study import Plan

    plan = Plan.from_toml(config)
    folder = config.with_suffix("") if output is None else output
    if folder == config:
        raise ValueError(
            f"{config} has no suffix to leave out; expected --output, the folder for the results"
        )
    return _list(plan, folder) if check else _run(plan, folder)


def _run(plan: Any, folder: Path) -> int:
    from ..study import run_study
    from ..study.summary import failures

    terminal = console()
    with progress() as tell:
        rows = run_study(plan, folder, progress=tell)
    terminal.print(_table(rows))
    why = failures(rows)
    for what, where, reason in why[:SHOWN]:
        terminal.print("[red]✗[/red] ", end="")
        terminal.print(f"{what} on {where}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if len(why) > SHOWN:
        terminal.print(f"and {len(why) - SHOWN} more; the page has them all", highlight=False)
    terminal.print(f"page: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    return 1 if why else 0


def _list(plan: Any, folder: Path) -> int:
    """What would be run, without running it."""
    from ..study import read_rows
    from ..study.plan import size_label
    from ..study.run import JOURNAL

    terminal = console()
    path = folder / JOURNAL
    done = read_rows(path) if path.is_file() else []
    for problem in plan.problems:
        sizes = ", ".join(size_label(size) for size in problem.sizes if size is not None)
        seeds = ", ".join(str(seed) for seed in problem.seeds if seed is not None)
        text = f"{problem.name}: {sizes}; seeds {seeds}" if sizes else f"{problem.name}: a matrix from a file"
        terminal.print(text, markup=False, highlight=False)
    terminal.print(f"solvers: {', '.join(m.name for m in plan.solvers)}", markup=False, highlight=False)
    terminal.print(f"{len(plan)} solves, {len(done)} of them done in {folder}", markup=False, highlight=False)
    return 0


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    from ..study.summary import summary

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("problem", "size", "solver"):
        table.add_column(name, no_wrap=True)
    for name in ("converged", "iterations", "total s", "true residual"):
        table.add_column(name, justify="right", no_wrap=True)
    before = None
    for row in summary(rows):
        where = (row["problem"], row["size"])
        names = where if where != before else ("", "")
        before = where
        table.add_row(
            *(escape(name) for name in (*names, row["solver"])),
            f"{row['converged']} of {row['solves']}",
            *("–" if row[key] is None else format(row[key], spec) for key, spec in _FORMATS.items()),
            style=None if row["converged"] == row["solves"] else "red",
        )
    return table


_FORMATS = {"iterations": "g", "total_seconds": ".3f", "relative_residual": ".2e"}
