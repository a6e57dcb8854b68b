"""``sciml info``: versions, threads, backends, and the capability table."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ..backends.capabilities import BACKENDS, CAPABILITIES
from ..measure.record import environment, write_json

__all__ = ["run_info"]


def run_info(json: Path | None) -> int:
    """Print the environment and what runs where; returns the exit code."""
    from rich.console import Console
    from rich.table import Table

    found = environment()
    console = Console()
    console.print(f"processor  {found['cpu']}, {found['threads']} thread(s)", highlight=False)
    console.print(f"GPU        {found['gpu'] or 'none found'}", highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    console.print(f"versions   {versions}", highlight=False)
    if found["commit"]:
        console.print(f"commit     {found['commit']}", highlight=False)
    installed = [name for name in BACKENDS if is_installed(name)]
    console.print(f"backends   {', '.join(installed)}\n", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for backend in BACKENDS:
        table.add_column(backend if backend in installed else f"({backend})", justify="center")
    table.add_column("note", style="dim")
    for kind in ("solver", "preconditioner"):
        table.add_row(f"[bold]{kind}s[/bold]")
        for name, capability in CAPABILITIES.items():
            if capability.kind == kind:
                marks = ["✓" if backend in capability.backends else "·" for backend in BACKENDS]
                table.add_row("  " + name.removeprefix("M:"), *marks, capability.note)
    console.print(table)
    if len(installed) < len(BACKENDS):
        console.print("\nBackends in parentheses are not installed here.", highlight=False)
    if json is not None:
        write_json(json, {"environment": found, "backends": installed, "capabilities": _capabilities()})
    return 0


def is_installed(backend: str) -> bool:
    """Whether the library of `backend` can be imported (without importing it)."""
    return importlib.util.find_spec(backend.replace("-", "_")) is not None


def _capabilities() -> dict[str, Any]:
    return {
        name: {"kind": c.kind, "backends": [b for b in BACKENDS if b in c.backends], "note": c.note}
        for name, c in CAPABILITIES.items()
    }
