"""What every case shares: arguments, a table, claims with a tick or a cross, the JSON record."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from sciml.measure.record import claim, record, write_json
from sciml.measure.terminal import console, progress

__all__ = ["Case", "claim", "output", "parser", "progress", "show"]


def output(path: str) -> Path:
    """The type of an option that names a file to write; records do not keep it."""
    return Path(path)


class _Parser(argparse.ArgumentParser):
    """Keeps the words that were typed, as ``words``."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        given, unknown = super().parse_known_args(words, namespace)
        outputs = {
            option for action in self._actions if action.type is output for option in action.option_strings
        }
        for option in outputs.intersection(words):
            at = words.index(option)
            del words[at : at + 2]
        given.words = [word for word in words if word.split("=")[0] not in outputs]
        return given, unknown


def parser(description: str | None, backends: Sequence[str] = ("numpy",)) -> argparse.ArgumentParser:
    """The arguments all cases take; a case may add its own."""
    arguments = _Parser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    arguments.add_argument(
        "--size", choices=("small", "paper"), default="small", help="small ends within a minute or so"
    )
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--backend", choices=tuple(backends), default="numpy")
    arguments.add_argument("--json", type=output, help="save everything measured here")
    arguments.add_argument("--plot", type=output, help="save the figure here (.png, .pdf, .svg)")
    return arguments


class Case:
    """Collects the tables and claims of one run; prints and saves them.

    Parameters
    ----------
    name : str
        Of the script.
    arguments : namespace
        As `parser` gives it.
    """

    def __init__(self, name: str, arguments: argparse.Namespace):
        self.name, self.arguments = name, arguments
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.claims: list[dict[str, Any]] = []

    def table(self, name: str, rows: list[dict[str, Any]], **formats: str) -> None:
        """Print and keep `rows`; `formats` names the columns to print, in order, with their formats."""
        self.tables[name] = rows
        show(name, rows, formats)

    def claim(self, name: str, value: float, relation: str, target: float) -> None:
        """Keep and print one claim, checked against its target now."""
        made = claim(name, value, relation, target)
        self.claims.append(made)
        mark = "[green]✓[/green]" if made["holds"] else "[red]✗[/red]"
        _console().print(f"{mark} {name}: {value:.4g} (target {relation} {target:g})", highlight=False)

    def record(self, claims: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """All that is kept so far, and further `claims`, as a record."""
        given = self.arguments
        return record(self.name, given.size, given.seed, self.tables, [*self.claims, *claims], given.words)

    def finish(self) -> dict[str, Any]:
        """The record of the run, written to ``--json`` if that was given."""
        content = self.record()
        if self.arguments.json is not None:
            write_json(self.arguments.json, content)
            _console().print(f"record: {self.arguments.json}", highlight=False)
        return content

    def save_figure(self, drawing: Any) -> None:
        """Save a matplotlib figure to ``--plot`` if that was given."""
        if self.arguments.plot is not None:
            from sciml.plotting import save

            save(drawing, self.arguments.plot)
            _console().print(f"figure: {self.arguments.plot}", highlight=False)


def show(title: str, rows: Sequence[dict[str, Any]], formats: dict[str, str]) -> None:
    """Print rows as a table. Missing values print as a dash."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in formats:
        number = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        cells = []
        for column, spec in formats.items():
            value = row.get(column)
            cells.append("–" if value is None else format(value, spec))
        table.add_row(*cells)
    _console().print(table)


def _console() -> Any:
    return console(width=150)
