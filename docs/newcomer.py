"""Measures a newcomer's path: clone, install, first figure; each step cold and warm, in folders of their own.

Cold is an empty cache of packages and no compiled kernel; warm is the same commands again. Seconds on the
clock have the network and whatever else the machine does in them; processor seconds have neither. Writes
``docs/records/newcomer.json``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def readme_command() -> str:
    """The README's command that installs and solves."""
    text = (ROOT / "README.md").read_text()
    return re.search(r"<!-- command: solve -->\n```bash\n(.+)\n```", text).group(1)


def seconds(command: str, folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command in a shell; what it took on the clock and of the processor."""
    start, spent = time.perf_counter(), children()
    shell = ["bash", "-euc", command]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}\nended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - start, children() - spent


def children() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--from", dest="source", default=str(ROOT), help="repository to clone")
    arguments.add_argument("--json", type=Path, default=ROOT / "docs" / "records" / "newcomer.json")
    given = arguments.parse_args()
    from sciml.measure.record import record, write_json

    venv, install, solve = readme_command().split(" && ")
    steps = {
        "git clone": f"git clone -q {given.source} sciml",
        "environment and install": f"cd sciml && {venv} && {install}",
        "solve and draw": f"cd sciml && {solve} && test -s solution.png",
    }
    rows: list[dict[str, Any]] = [{"step": name} for name in (*steps, "all")]
    with tempfile.TemporaryDirectory() as folder:
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
        clean["PIP_CACHE_DIR"] = str(Path(folder) / "pip")
        for temperature in ("cold", "warm"):
            place = Path(folder) / temperature
            place.mkdir()
            for row, command in zip(rows, steps.values(), strict=False):
                if temperature == "warm" and row["step"] == "solve and draw":
                    place = Path(folder) / "cold"  # where the kernels were compiled
                row[temperature], row[f"{temperature}_processor"] = seconds(command, place, clean)
            for column in (temperature, f"{temperature}_processor"):
                rows[-1][column] = sum(row[column] for row in rows[:-1])
    for row in rows:
        print(*(f"{key} {value:.1f}" if key != "step" else f"{value:24}" for key, value in row.items()))
    write_json(given.json, record("newcomer", "page", 0, {"first figure": rows}, []))


if __name__ == "__main__":
    main()
