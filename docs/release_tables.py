"""Writes ``generated/versions.md`` and ``generated/shipped.md``: supported versions, and the data that ship.

Nothing is typed in: lowest versions are those of ``pyproject.toml``, what was tried at its lowest is what
``.ci/lowest.py`` pins for ``.ci/release``, the last column is what built these pages, and files are read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import runpy
import tomllib
from pathlib import Path

import sciml
from sciml.weights import load_weights, shipped, shipped_names

EXTRAS = ("", "amg", "plot", "weights", "learned", "mri", "gpu", "petsc")
REMARKS = {
    "gpu": "never tried: no GPU has run this code yet",
    "petsc": "tried by `.ci/run` with the packages of Debian 12",
}
"""What stands instead of a version where no version can be installed on the machines at hand."""

SLICES = "problems/mri/data/slices.npz"


def build(docs: Path) -> None:
    """Write both tables below `docs`."""
    folder = docs / "generated"
    folder.mkdir(exist_ok=True)
    (folder / "versions.md").write_text(versions(docs.parent))
    (folder / "shipped.md").write_text(files(Path(sciml.__file__).parent))


def versions(root: Path) -> str:
    """One row per package: what it comes with, lowest allowed, lowest tried, and what built this page."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    tried = runpy.run_path(str(root / ".ci" / "lowest.py"))
    pinned, reasons = tried["lowest"](), tried["NOT_TRIED"]
    python = project["requires-python"]
    rows = [f"| Python | – | {python} | the one it is run with | {platform.python_version()} |"]
    for extra in EXTRAS:
        for line in project["optional-dependencies"][extra] if extra else project["dependencies"]:
            name, allowed = re.fullmatch(r"([\w.-]+)(.*)", line).groups()
            if allowed.startswith("["):
                continue  # one extra that brings another
            lowest = (
                pinned.get(name) or REMARKS.get(extra) or f"not tried: {reasons.get(name, 'no step does')}"
            )
            part = f"`sciml[{extra}]`" if extra else "always"
            rows.append(f"| {name} | {part} | {allowed} | {lowest} | {installed(name)} |")
    return table(
        ("package", "comes with", "allowed", "lowest tried by `.ci/release`", "built this page"), rows
    )


def installed(name: str) -> str:
    """The version of a package in this environment."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def files(package: Path) -> str:
    """One row per weight file, with the command that makes it again, and one for the images."""
    rows = []
    for name in shipped_names():
        path, weights = shipped(name), load_weights(shipped(name))
        seconds = weights.training.get("seconds", 0.0)
        made = f"`sciml retrain {name}` ({seconds / 60:.0f} min where it was made)"
        rows.append(_row(path, package, f"weights of `{weights.kind}`", "BSD-3-Clause", made))
    made = "`python -m sciml.problems.mri.build_slices FOLDER slices.npz`"
    rows.append(_row(package / SLICES, package, "slices of heads", "those of the sources", made))
    return table(("file in `sciml/`", "what it is", "bytes", "licence", "made again by", "SHA-256"), rows)


def table(head: tuple[str, ...], rows: list[str]) -> str:
    """A Markdown table of rows that are written already."""
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows]) + "\n"


def _row(path: Path, package: Path, what: str, licence: str, made: str) -> str:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"| `{path.relative_to(package)}` | {what} | {len(content):,} | {licence} | {made} | `{digest}` |"


if __name__ == "__main__":
    build(Path(__file__).parent)
