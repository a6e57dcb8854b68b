"""Writes ``gallery/``: one page per script in ``cases/``, from what the script measured on this machine.

A case runs at its small size when the documentation is built, unless its record is newer than the script. Two
run beside each other, on half of the cores each.
The pages show the figure, the claims with a tick or a cross, the tables and the machine: nothing is typed in.

With ``SCIML_DOCS_CASES=keep`` nothing is run, which makes a build for looking at pages a matter of a minute: pages
show what earlier builds left in ``gallery/``, and a case without a record says how to run it.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MAX_ROWS = 40
"""Longer tables are cut on the page; the record has them all."""

AT_A_TIME = 2
"""Cases that run beside each other."""


def build(docs: Path) -> None:
    """Run what has no fresh record, and write one page per case and an index."""
    keep = os.environ.get("SCIML_DOCS_CASES", "run")
    if keep not in ("run", "keep"):
        raise ValueError(f"SCIML_DOCS_CASES is {keep!r}; expected 'run' or 'keep'")
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    scripts = sorted(p for p in (docs.parent / "cases").glob("*.py") if not p.name.startswith("_"))

    def write(script: Path) -> None:
        record, figure = folder / f"{script.stem}.json", folder / f"{script.stem}.png"
        stale = not record.exists() or record.stat().st_mtime < script.stat().st_mtime
        if stale and keep == "run":
            run(script, record, figure)
        content = json.loads(record.read_text()) if record.exists() else None
        (folder / f"{script.stem}.md").write_text(page(script, content, figure))

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(write, scripts))
    entries = "\n".join(script.stem for script in scripts)
    (folder / "index.md").write_text(
        "# Gallery\n\nEvery page is one script in `cases/`, run at its small size on the machine that built "
        f"these pages, {AT_A_TIME} scripts beside each other: seconds are indications.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )


def run(script: Path, record: Path, figure: Path) -> None:
    """Run a case at its small size; a claim that fails is shown on the page, a crash stops the build."""
    threads = str(max(1, (os.cpu_count() or 1) // AT_A_TIME))
    command = [sys.executable, script.name, "--size", "small", "--json", str(record), "--plot", str(figure)]
    done = subprocess.run(
        command,
        cwd=script.parent,
        env={**os.environ, "MPLBACKEND": "Agg", "SCIML_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if not record.exists():
        raise RuntimeError(f"{script.name} wrote no record:\n{done.stdout}\n{done.stderr}")


def page(script: Path, record: dict[str, Any] | None, figure: Path) -> str:
    """The Markdown page of one case; without a record, what it is about and how to run it."""
    docstring = ast.get_docstring(ast.parse(script.read_text())) or script.stem
    title, _, text = docstring.partition("\n")
    parts = [f"# {title.rstrip('.')}", text.strip()]
    if figure.exists():
        parts.append(f"![{title}]({figure.name})")
    if record is None:
        parts.append(f"Not run in this build. `python cases/{script.name}` measures it.")
        return "\n\n".join(parts) + "\n"
    claims = [
        f"| {'✓' if c['holds'] else '✗'} | {c['name']} | {number(c['value'])} | "
        f"`{c['relation']}` {number(c['target'])} |"
        for c in record.get("claims", [])
    ]
    if claims:
        parts.append("## Claims\n\n| | claim | measured | target |\n|:-:|---|--:|--:|\n" + "\n".join(claims))
    for name, rows in record.get("tables", {}).items():
        parts.append(f"## {name[:1].upper()}{name[1:]}\n\n{table(rows)}")
    machine = record.get("environment", {})
    versions = ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items())
    parts.append(
        f"Measured with `python cases/{script.name} --size {record.get('size')} --seed {record.get('seed')}` "
        f"on {machine.get('cpu')}, {machine.get('threads')} thread(s); {versions}."
    )
    return "\n\n".join(parts) + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table, without columns that hold lists."""
    if not rows:
        return "(no rows)"
    columns = [c for c in rows[0] if not isinstance(rows[0][c], list | dict)]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(number(row.get(c)) for c in columns) + " |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f"\n({len(rows) - MAX_ROWS} more rows in the record.)")
    return "\n".join(lines)


def number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    build(Path(__file__).parent)
