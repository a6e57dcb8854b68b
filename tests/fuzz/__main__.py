"""Damaged files into every reader, hostile words into every command.

``cd tests && python -m fuzz --count 10000``. Each reader works in a process of its own with little memory to
spare; one that crashes or hangs is started anew behind the input that did it. An input is known by reader,
seed and number: ``--only MATLAB --number 17 --keep FOLDER`` makes it again and leaves the file there.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.inputs import COMMAND_LINE, GOOD, NAMES, available, memory, outcome

SPARE = 512 * 2**20
"""Bytes of address space a reader may use for one input. No file is larger than a megabyte."""

PATIENCE = 60.0
"""Seconds without a word until a reader counts as hanging."""


# -- the process that reads -------------------------------------------------------------------
def work(name: str, first: int, count: int, seed: int) -> None:
    """Judge inputs `first` to ``first + count - 1``; one JSON line each, announced by its number."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # libraries in C complain here
    for number in range(20 if name == COMMAND_LINE else 2):  # imports and compilers
        _once(name, number, seed)
    for number in range(first, first + count):
        print(number, file=out)
        Path("/proc/self/clear_refs").write_text("5")  # the largest memory so far is forgotten
        before, start = memory("VmRSS"), time.process_time()
        verdict, text = _once(name, number, seed, spare=SPARE, audit=True)
        growth = max(0, memory("VmHWM") - before)
        print(json.dumps([verdict, text[:500], time.process_time() - start, growth]), file=out)


def _once(name: str, number: int, seed: int, **options: int | None) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        return outcome(name, number, seed, Path(folder), **options)


# -- the process that watches -----------------------------------------------------------------
def judged(name: str, count: int, seed: int) -> Iterator[tuple[int, str, str, float, int]]:
    """Number, verdict, text, CPU seconds and growth of memory of every input."""
    number = 0
    while number < count:
        command = [sys.executable, "-m", "fuzz", "--work", name, str(number), str(count - number), str(seed)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
        assert process.stdout is not None
        pending, lines = None, process.stdout
        while True:
            ready, _, _ = select.select([lines], [], [], PATIENCE)
            if not ready:
                process.kill()
            line = lines.readline()
            if not line:
                break
            if pending is None:
                pending = int(line)
            else:
                yield pending, *json.loads(line)
                number, pending = pending + 1, None
        code = process.wait()
        lines.close()
        if pending is not None:
            yield pending, "hang" if code == -9 else "crash", f"exit code {code}", 0.0, 0
            number = pending + 1
        elif number < count:
            raise RuntimeError(f"the process for {name!r} ended with code {code} before input {number}")


@dataclass
class Row:
    """The table's row of one reader."""

    name: str
    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    growth: int = 0

    @property
    def bad(self) -> dict[str, int]:
        return {verdict: n for verdict, n in self.verdicts.items() if verdict not in GOOD}

    def __str__(self) -> str:
        v, wrong = self.verdicts, ", ".join(f"{n} {verdict}" for verdict, n in self.bad.items()) or "none"
        return (
            f"{self.name:<22} {v.total():>6} {v['read']:>7} {v['refused']:>8} {self.seconds:>10.2f} "
            f"{self.growth / 2**20:>11.0f}  {wrong}"
        )


def run(name: str, count: int, seed: int, show: int) -> Row:
    """Put `count` inputs into the reader `name`; print the first failures."""
    row, shown = Row(name), 0
    for number, verdict, text, seconds, growth in judged(name, count, seed):
        row.verdicts[verdict] += 1
        row.seconds, row.growth = max(row.seconds, seconds), max(row.growth, growth)
        if verdict not in GOOD and shown < show:
            shown += 1
            print(f"{name} {number}: {verdict}: {text}", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="inputs in all, shared by the readers")
    parser.add_argument("--only", choices=NAMES, action="append", help="a reader; repeat for several")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="make and judge this one input here")
    parser.add_argument("--keep", type=Path, help="with --number: folder to leave the file in")
    parser.add_argument("--show", type=int, default=5, help="failures to print per reader")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], *map(int, given.work[1:]))
        return 0
    wanted = given.only or NAMES
    names = [name for name in wanted if available(name)]
    if given.number is not None:
        folder = given.keep or Path(tempfile.mkdtemp())
        folder.mkdir(exist_ok=True)
        print(*outcome(names[0], given.number, given.seed, folder), folder, sep="\n")
        return 0
    rows = [run(name, -(-given.count // len(names)), given.seed, given.show) for name in names]
    print(f"\n{'reader':<22} inputs    read  refused  slowest s  memory MiB  wrong")
    print(*rows, sep="\n")
    wrong = sum(sum(row.bad.values()) for row in rows)
    print(f"{'all':<22} {sum(row.verdicts.total() for row in rows):>6}, {wrong} wrong")
    missing = [name for name in wanted if name not in names]
    if missing:
        print(f"left out, as their libraries are not installed: {', '.join(missing)}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
