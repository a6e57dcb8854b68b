"""Writes ``gallery/``: one page per script in ``cases/``, from what the script measured on this machine.

A case runs at its small size when the documentation is built, unless its record is newer than the script. Two
run beside each other, on half of the cores each.
The pages show the figure, the claims with a tick or a cross, the tables and the machine: nothing is typed in.

With ``SCIML_DOCS_CASES=keep`` nothing is run, which makes a build for looking at pages a matter of minutes:
they show what earlier builds left in ``gallery/``, and a case without a record says how to run it. With
``SCIML_DOCS_SECONDS`` no case is started after so many seconds.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MAX_ROWS = 40
"""Longer tables are cut on the page; the record has them all."""

AT_A_TIME = 2
"""Cases that run beside each other."""

TOPICS = {
    "Poisson problems and flow": ("poisson", "distributed", "smoke", "learned_multigrid", "prolong", "dcd"),
    "Parameters learned online": ("sor", "heat", "choice"),
    "Constraints, games, saddle points": ("matrix", "saddle", "obstacle", "nnls"),
    "Images from few data": ("mri", "rim"),
    "Fields trained on a PDE": ("pinn", "aas"),
    "What a model lacks": ("medida",),
    "Parts combined": ("combine",),
    "Training": ("schedule",),
}
"""What names of scripts begin with, by topic; others come last."""

RELATIONS = {"<=": "≤", ">=": "≥", "==": "="}


def build(docs: Path) -> None:
    """Run what has no fresh record, and write one page per case and an index."""
    keep = os.environ.get("SCIML_DOCS_CASES", "run")
    if keep not in ("run", "keep"):
        raise ValueError(f"SCIML_DOCS_CASES is {keep!r}; expected 'run' or 'keep'")
    end = time.monotonic() + float(os.environ.get("SCIML_DOCS_SECONDS", "inf"))
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    scripts = sorted(p for p in (docs.parent / "cases").glob("*.py") if not p.name.startswith("_"))

    def write(script: Path) -> None:
        record, figure = folder / f"{script.stem}.json", folder / f"{script.stem}.png"
        stale = not record.exists() or record.stat().st_mtime < script.stat().st_mtime
        if stale and keep == "run" and time.monotonic() < end:
            run(script, record, figure)
        content = json.loads(record.read_text()) if record.exists() else None
        (folder / f"{script.stem}.md").write_text(page(script, content, figure))

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(write, scripts))
    (folder / "index.md").write_text(index(scripts, folder))


def index(scripts: list[Path], folder: Path) -> str:
    """The page of all cases: a figure, a title and a sentence of each, by topic."""
    parts = [
        "# Gallery",
        "Every page is one script in `cases/`, run at its small size on the machine that built "
        f"these pages, {AT_A_TIME} scripts beside each other: seconds are indications.",
    ]
    rest = [s for s in scripts if not any(s.stem.startswith(TOPICS[topic]) for topic in TOPICS)]
    for topic, names in {**TOPICS, "Others": ()}.items():
        mine = rest if topic == "Others" else [s for s in scripts if s.stem.startswith(names)]
        if mine:
            cards = "\n\n".join(card(script, folder) for script in mine)
            parts.append(f"## {topic}\n\n:::::{{container}} cards\n{cards}\n:::::")
    entries = "\n".join(script.stem for script in scripts)
    parts.append(f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{entries}\n```")
    return "\n\n".join(parts) + "\n"


def card(script: Path, folder: Path) -> str:
    """One case in the list."""
    title, sentence, _ = heading(script)
    figure = folder / f"{script.stem}.png"
    lines = [f"**[{title}]({script.stem}.md)**"]
    if sentence:
        lines.append(sentence)
    if figure.exists():
        options = f":class: thumbnail\n:target: {script.stem}.html\n:alt: {title}"
        lines.insert(0, f"```{{image}} {figure.name}\n{options}\n```")
    body = "\n\n".join(lines)
    return f"::::{{container}} card\n{body}\n::::"


def heading(script: Path) -> tuple[str, str, str]:
    """The title of a case, the sentence that goes with it, and the rest of what it says about itself."""
    docstring = ast.get_docstring(ast.parse(script.read_text())) or script.stem
    line, _, text = docstring.partition("\n")
    title, colon, sentence = line.partition(": ")
    if not colon and "? " in line:
        title, _, sentence = line.partition("? ")
        title += "?"
    return title.rstrip("."), sentence[:1].upper() + sentence[1:], text.strip()


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
    title, sentence, text = heading(script)
    parts = [f"# {title}", *([f"**{sentence}**"] if sentence else []), text]
    if figure.exists():
        parts.append(f"![{title}]({figure.name})")
    if record is None:
        parts.append(f"Not run in this build. `python cases/{script.name}` measures it.")
        return "\n\n".join(parts) + "\n"
    claims = [
        f"| {'✓' if c['holds'] else '✗'} | {number(c['name'])} | {number(c['value'])} | "
        f"{RELATIONS[c['relation']]}\u00a0{number(c['target'])} |"
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
    words = [any(isinstance(row.get(c), str) for row in rows) for c in columns]
    lines = ["| " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|" + "|".join(":--" if text else "--:" for text in words) + "|")
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
