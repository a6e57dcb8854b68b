"""Do the tests notice? ``cd tests && python -m mutation --count 10`` flips operators, one at a time.

In a copy of the project a comparison or a sign drawn at random is flipped, and the tests that belong to the
module are run: first those of its own name, then those of its folder. A flip that passes them all has slipped
through. (Tools such as mutmut and cosmic-ray were looked at: they rewrite modules in ways compiled kernels do
not survive, or keep a database for what is a list of ten here.)
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
FLIPS = {
    ast.Lt: ("<", ">="), ast.GtE: (">=", "<"), ast.Gt: (">", "<="), ast.LtE: ("<=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"),
}  # fmt: skip
SKIPPED = ("distributed", "testing", "problems/mri/build_slices.py")
"""The first needs MPI, the second is what tests are made of, the last is run once, by hand."""


@dataclass(frozen=True)
class Flip:
    """One operator of one file, and what takes its place."""

    file: Path
    start: int
    old: str
    new: str

    def applied(self, text: str) -> str:
        assert text[self.start :].startswith(self.old)
        return text[: self.start] + self.new + text[self.start + len(self.old) :]

    def __str__(self) -> str:
        text = (ROOT / self.file).read_text(encoding="utf-8")
        line = text.count("\n", 0, self.start)
        return f"{self.file}:{line + 1}: {self.old} became {self.new} in: {text.splitlines()[line].strip()}"


def flips(file: Path) -> Iterator[Flip]:
    """Every comparison and sign in a file below the root."""
    text = (ROOT / file).read_text(encoding="utf-8")
    begin = np.cumsum([0, *(len(line) for line in text.splitlines(keepends=True))])

    def at(line: int, byte: int) -> int:
        row = text[begin[line - 1] : begin[line]].encode()
        return int(begin[line - 1]) + len(row[:byte].decode())

    def between(left: ast.expr, right: ast.expr, kind: type) -> Iterator[Flip]:
        old, new = FLIPS[kind]
        low = at(left.end_lineno or 0, left.end_col_offset or 0)
        gap = text[low : at(right.lineno, right.col_offset)]
        found = re.search(rf"(?<![\w=<>!]){re.escape(old)}(?![\w=])".replace(" ", r"\s+"), gap)
        if found and found.group() == old:
            yield Flip(file, low + found.start(), old, new)

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            for left, op, right in zip(
                [node.left, *node.comparators], node.ops, node.comparators, strict=False
            ):
                yield from between(left, right, type(op))
        elif isinstance(node, ast.BinOp) and type(node.op) in FLIPS and not _is_text(node):
            yield from between(node.left, node.right, type(node.op))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield Flip(file, at(node.lineno, node.col_offset), "-", "+")


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
        for s in sides
    )


def stages(file: Path) -> list[list[str]]:
    """Which tests to run for a module, the closest first."""
    inner = file.relative_to("sciml")
    folders = [Path("tests", *inner.parts[:n]) for n in range(len(inner.parts) - 1, 0, -1)]
    folders = [folder for folder in folders if (ROOT / folder).is_dir()]
    named = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests").rglob(f"test_{inner.stem}.py"))
    close = [str(file), *(named or [str(f) for f in folders[:1]])]
    contract = (
        ["tests/contract"]
        if inner.parts[0] in ("operators", "solvers", "preconditioners", "backends")
        else []
    )
    far = [str(f) for f in folders[-1:]] + contract
    far += [str(p.relative_to(ROOT)) for p in sorted((ROOT / "tests").glob(f"*/test_{inner.parts[0]}*.py"))]
    return [close, far or ["tests"]]


def caught(copy: Path, flip: Flip, patience: float) -> str:
    """The first test that fails with the flip, ``"(hangs)"``, or nothing."""
    path = copy / flip.file
    original, stat = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(flip.applied(original), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    try:
        for targets in stages(flip.file):
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *targets]
            try:
                done = subprocess.run(
                    command, cwd=copy, env=environment, capture_output=True, text=True, timeout=patience
                )
            except subprocess.TimeoutExpired:
                return "(hangs)"
            if done.returncode not in (0, 5):  # 5: nothing to run
                lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
                return lines[0].split(" - ")[0] if lines else f"(exit code {done.returncode})"
        return ""
    finally:
        path.write_text(original, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # compiled code is found again


def main() -> int:
    parser = argparse.ArgumentParser(description="Flip operators and see whether the tests notice.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=900.0, help="seconds of tests per flip and stage")
    parser.add_argument("--list", action="store_true", help="say what would be flipped, and nothing else")
    given = parser.parse_args()
    files = [p.relative_to(ROOT) for p in sorted((ROOT / "sciml").rglob("*.py"))]
    files = [f for f in files if not str(f.relative_to("sciml")).startswith(SKIPPED)]
    known = [flip for file in files for flip in flips(file)]
    drawn = np.random.default_rng(given.seed).choice(len(known), given.count, replace=False)
    print(f"{len(known)} comparisons and signs in {len(files)} files", flush=True)
    slipped = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        if not given.list:
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "docs", ".*_cache", ".venv"))
        for flip in (known[i] for i in drawn):
            if given.list:
                print(flip)
                continue
            start = time.monotonic()
            by = caught(copy, flip, given.patience)
            slipped += not by
            print(
                f"{'caught ' if by else 'SLIPPED'} {flip}\n        {by} {time.monotonic() - start:.0f} s",
                flush=True,
            )
    print(f"{given.count - slipped} of {given.count} caught" if not given.list else "")
    return int(slipped > 0)


if __name__ == "__main__":
    sys.exit(main())
