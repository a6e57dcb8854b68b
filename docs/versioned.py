"""Documentation of several versions side by side: a folder for each, and a page that lists them.

``python docs/versioned.py v0.1.0 v0.2.0`` builds those tags, each with its own sources, into
``docs/_build/html/0.1.0`` and so on; without arguments the working tree is built. The page
``docs/_build/html/index.html`` links to every folder there is. Nothing needs a server.
"""

from __future__ import annotations

import html
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sciml: documentation of all versions</title>
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem;
color-scheme: light dark }}</style></head>
<body><h1>sciml</h1><p>Documentation, newest version first:</p><ul>
{entries}
</ul></body></html>
"""


def main(tags: list[str]) -> None:
    """Build the tags (or the working tree), then the list."""
    output = ROOT / "docs" / "_build" / "html"
    for tag in tags or [None]:
        with tempfile.TemporaryDirectory() as folder:
            source = ROOT if tag is None else checked_out(tag, Path(folder))
            build(source, output / version_of(source))
    write_list(output)


def checked_out(tag: str, folder: Path) -> Path:
    """The sources of a tag, in a folder of their own."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", tag], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def version_of(source: Path) -> str:
    """The version these sources say they are."""
    return runpy.run_path(str(source / "sciml" / "_version.py"))["__version__"]


def build(source: Path, target: Path) -> None:
    """Build the documentation of `source`, which documents its own package and not the installed one."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(target)]
    paths = os.pathsep.join(p for p in (str(source), os.environ.get("PYTHONPATH")) if p)
    subprocess.run(command, cwd=source, env={**os.environ, "PYTHONPATH": paths}, check=True)


def write_list(output: Path) -> None:
    """Write the page that links to every version built so far."""
    found = []
    for folder in output.iterdir():
        try:
            if (folder / "index.html").is_file():
                found.append(Version(folder.name))
        except InvalidVersion:
            continue
    newest = max((v for v in found if not v.is_prerelease), default=None)
    entries = []
    for version in sorted(found, reverse=True):
        note = " (unreleased)" if version.is_prerelease else " (current)" if version == newest else ""
        name = html.escape(str(version))
        entries.append(f'<li><a href="{name}/index.html">{name}</a>{note}</li>')
    (output / "index.html").write_text(PAGE.format(entries="\n".join(entries)))


if __name__ == "__main__":
    main(sys.argv[1:])
