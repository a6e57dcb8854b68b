"""``sciml selftest``: the table, the failures in one line each, and a line for bug reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import check_output
from ..measure.record import environment, write_json
from ..measure.terminal import console, progress
from ..selftest import Outcome, plan, run_selftest

__all__ = ["run_selftest_command"]

SHOWN = 10
"""Failures printed without ``--verbose``."""


def run_selftest_command(verbose: bool, json: Path | None) -> int:
    """Run every part, print, record; returns the exit code: 1 if a check failed."""
    check_output(json)
    terminal = console()
    with progress() as tell:
        outcomes = run_selftest(plan(), tell)
    terminal.print(_table(outcomes))
    failures = [(outcome.part, failure) for outcome in outcomes for failure in outcome.failures]
    for part, failure in failures if verbose else failures[:SHOWN]:
        terminal.print("[red]✗[/red] ", end="")
        line = f"{part}: {failure.check}: {failure.sentence}"
        terminal.print(line, markup=False, highlight=False, soft_wrap=True)
        if verbose and failure.trace:
            terminal.print(failure.trace, markup=False, highlight=False, soft_wrap=True)
    if len(failures) > SHOWN and not verbose:
        terminal.print(f"and {len(failures) - SHOWN} more; --verbose shows them all", highlight=False)
    found = environment()
    terminal.print(summary(outcomes, found), markup=False, highlight=False, soft_wrap=True)
    if json is not None:
        write_json(json, {"environment": found, "parts": [outcome.row() for outcome in outcomes]})
    return 1 if failures else 0


def summary(outcomes: Sequence[Outcome], found: dict[str, Any]) -> str:
    """Versions, machine and result in one line, to be pasted in a bug report."""
    failed = sum(len({failure.check for failure in outcome.failures}) for outcome in outcomes)
    checks = sum(outcome.checks for outcome in outcomes)
    skipped = sum(outcome.status == "skipped" for outcome in outcomes)
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{checks - failed} of {checks} checks passed, {skipped} parts skipped, "
        f"{sum(outcome.seconds for outcome in outcomes):.0f} s; {versions}; "
        f"{found['cpu']}, {os.cpu_count()} processors, {found['threads']} thread(s), "
        f"GPU {found['gpu'] or 'none'}"
    )


def _table(outcomes: Sequence[Outcome]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("part", no_wrap=True)
    table.add_column("checks", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("result")
    for outcome in outcomes:
        if outcome.skipped is not None:
            cells = ("–", "–", f"skipped: {escape(outcome.skipped)}")
        else:
            failed = len({failure.check for failure in outcome.failures})
            cells = (str(outcome.checks), f"{outcome.seconds:.1f}", f"✗ {failed} failed" if failed else "✓")
        style = {"failed": "red", "skipped": "dim"}.get(outcome.status)
        table.add_row(outcome.part, *cells, style=style)
    return table
