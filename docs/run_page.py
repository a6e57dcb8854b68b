"""Runs the Python blocks of a page as one script, in a folder of its own, and keeps what it measured.

``python docs/run_page.py tutorial_preconditioner --tables baselines rows`` executes the page and writes the
named lists of rows to ``docs/records/tutorial_preconditioner.json``, with the seconds of the whole page, the
machine and the versions. The page shows them from there (see `measured`).
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent


def blocks(page: Path, language: str = "python") -> list[str]:
    """Code blocks of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def run(page: Path, folder: Path) -> dict[str, Any]:
    """The names that the blocks of `page` leave behind, run in `folder`."""
    before = Path.cwd()
    names: dict[str, Any] = {"__name__": page.stem}
    try:
        os.chdir(folder)
        exec(compile("\n".join(blocks(page)), str(page), "exec"), names)
    finally:
        os.chdir(before)
    return names


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("page", help="its name without .md")
    arguments.add_argument(
        "--tables", nargs="+", default=[], help="names of lists of rows that the page makes"
    )
    given = arguments.parse_args()
    from sciml.measure.record import record, write_json

    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        names = run(DOCS / f"{given.page}.md", Path(folder))
    spent = {"wall_seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - cpu}
    tables = {"the whole page": [spent], **{name: names[name] for name in given.tables}}
    content = record(given.page, "page", 0, tables, [])
    write_json(DOCS / "records" / f"{given.page}.json", content)
    print(spent)


if __name__ == "__main__":
    main()
