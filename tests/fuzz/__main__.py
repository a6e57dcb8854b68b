"""``cd tests && python -m fuzz --count 10000``: damaged files into every reader, hostile words into every command.

Each reader works in a process of its own with little memory to spare; one that crashes or hangs is started anew
behind the input that did it. An input is known by reader, seed and number: ``--only MATLAB --number 17 --keep DIR``
makes it again and leaves the file there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.inputs import GOOD, NAMES, available, outcome

SPARE = 512 * 2**20
"""Bytes of address space a reader may add to what its process has after the valid files."""

PATIENCE = 40.0
"""Seconds without a word until a reader counts as hanging."""


# -- the process that reads -------------------------------------------------------------------
def work(name: str, first: int, count: int, seed: int) -> None:
    """Judge inputs `first` to ``first + count - 1``; one JSON line each, announced by its number."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # libraries in C complain here
    for number in range(2):  # imports and compilers
        _once(name, number, seed)
    limit = _status("VmSize") + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(first, first + count):
        print(number, file=out)
        Path("/proc/self/clear_refs").write_text("5")  # the largest memory so far is forgotten
        before, start = _status("VmRSS"), time.process_time()
        verdict, text = _once(name, number, seed)
        growth = max(0, _status("VmHWM") - before)
        print(json.dumps([verdict, text[:500], time.process_time() - start, growth]), file=out)


def _once(name: str, number: int, seed: int) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        return outcome(name, number, seed, Path(folder))


def _status(entry: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry + ":"):
            return 1024 * int(line.split()[1])
    raise LookupError(entry)


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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="inputs in all, shared by the readers")
    parser.add_argument("--only", choices=NAMES, action="append", help="a reader; repeat for several")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="make and judge this one input here, with a traceback")
    parser.add_argument("--keep", type=Path, help="with --number: folder to leave the file in")
    parser.add_argument("--show", type=int, default=5, help="failures to print per reader")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], *map(int, given.work[1:]))
        return 0
    names = [name for name in given.only or NAMES if available(name)]
    if given.number is not None:
        folder = given.keep or Path(tempfile.mkdtemp())
        folder.mkdir(exist_ok=True)
        print(*outcome(names[0], given.number, given.seed, folder), folder, sep="\n")
        return 0
    table: list[tuple[Any, ...]] = []
    for name in names:
        verdicts: Counter[str] = Counter()
        seconds, growth, shown = 0.0, 0, 0
        for number, verdict, text, spent, grown in judged(name, -(-given.count // len(names)), given.seed):
            verdicts[verdict] += 1
            seconds, growth = max(seconds, spent), max(growth, grown)
            if verdict not in GOOD and shown < given.show:
                shown += 1
                print(f"{name} {number}: {verdict}: {text}", flush=True)
        bad = {verdict: n for verdict, n in verdicts.items() if verdict not in GOOD}
        table.append(
            (name, sum(verdicts.values()), verdicts["read"], verdicts["refused"], bad, seconds, growth)
        )
    print(f"\n{'reader':<22} inputs    read  refused  slowest s  memory MiB  wrong")
    for name, inputs, read, refused, bad, seconds, growth in table:
        wrong = ", ".join(f"{n} {verdict}" for verdict, n in bad.items()) or "none"
        print(
            f"{name:<22} {inputs:>6} {read:>7} {refused:>8} {seconds:>10.2f} {growth / 2**20:>11.0f}  {wrong}"
        )
    print(
        f"{'all':<22} {sum(row[1] for row in table):>6}, {sum(sum(row[4].values()) for row in table)} wrong"
    )
    missing = [name for name in given.only or NAMES if not available(name)]
    if missing:
        print(f"left out, as their libraries are not installed: {', '.join(missing)}")
    return int(any(row[4] for row in table))


if __name__ == "__main__":
    sys.exit(main())
