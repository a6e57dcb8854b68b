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
    part, tests = inner.parts[0], ROOT / "tests"
    named = [path for path in sorted(tests.rglob("test_*.py")) if inner.stem in path.stem]
    folders = [tests.joinpath(*inner.parts[:n]) for n in range(len(inner.parts) - 1, 0, -1)]
    far = [folder for folder in folders if folder.is_dir()][-1:] or [tests]
    # Kernels and operators are seen through what is built on them.
    users = ("preconditioners", "operators", "solvers") if part in ("backends", "operators") else ()
    far += [tests / user for user in users if tests / user not in far]
    if part in ("backends", "operators", "preconditioners", "solvers"):
        far.append(tests / "contract")
    return [[str(file), *_relative(named)], _relative(far)]


def _relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def caught(copy: Path, flip: Flip, patience: float) -> str:
    """The first test that fails with the flip and not without it, ``"(hangs)"``, or nothing."""
    path = copy / flip.file
    original, stat = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(flip.applied(original), encoding="utf-8")
    try:
        for targets in stages(flip.file):
            done = _tests(copy, targets, patience)
            if done is None:
                return "(hangs)"
            if done.returncode not in (0, 5):  # 5: nothing to run
                lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
                break
        else:
            return ""
    finally:
        path.write_text(original, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # compiled code is found again
    if not lines:
        return f"(exit code {done.returncode})"
    test = lines[0].split(" - ")[0].split(" ", 1)[1]
    whole = _tests(copy, [test], patience)
    if whole is None or whole.returncode != 0:
        raise RuntimeError(f"{test} fails without the flip, too; mend it first")
    return test


def _tests(copy: Path, targets: list[str], patience: float) -> subprocess.CompletedProcess[str] | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *targets]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Flip operators and see whether the tests notice.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=900.0, help="seconds of tests per flip and stage")
    parser.add_argument("--skip", type=int, default=0, help="flips judged in an earlier run of this seed")
    parser.add_argument("--list", action="store_true", help="say what would be flipped, and nothing else")
    given = parser.parse_args()
    files = [p.relative_to(ROOT) for p in sorted((ROOT / "sciml").rglob("*.py"))]
    files = [f for f in files if not str(f.relative_to("sciml")).startswith(SKIPPED)]
    known = [flip for file in files for flip in flips(file)]
    drawn = np.random.default_rng(given.seed).choice(len(known), given.count, replace=False)[given.skip :]
    print(f"{len(known)} comparisons and signs in {len(files)} files", flush=True)
    slipped = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        if not given.list:
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", ".venv", "_build"))
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
    if not given.list:
        print(f"{len(drawn) - slipped} of {len(drawn)} caught")
    return int(slipped > 0)


if __name__ == "__main__":
    sys.exit(main())
