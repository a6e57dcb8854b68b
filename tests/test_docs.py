"""What the README and the pages promise: their examples run, their commands and links exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMPLETE = ["README.md", "docs/index.md", "docs/mri.md", "docs/operator_protocol.md"]
"""Pages whose first Python block stands on its own."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", COMPLETE)
def test_first_example_runs(page):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks(ROOT / page, "python")[0]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "converged" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=[p.name for p in PAGES])
def test_python_blocks_are_valid(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=[p.name for p in PAGES])
def test_links_within_the_project_exist(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        made_at_build = target.startswith(("generated/", "gallery/"))
        assert "://" in target or made_at_build or (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["solve", "test"])
def test_readme_marks_the_commands_that_ci_runs(name):
    text = (ROOT / "README.md").read_text()
    match = re.search(rf"<!-- command: {name} -->\n```bash\n(.+)\n```", text)
    assert match, f"README.md holds no command marked {name!r}"
    assert "\n" not in match.group(1)
    assert f"readme_command {name}" in (ROOT / ".ci" / "run").read_text()


def test_readme_solve_command_is_understood_by_the_command_line():
    """The arguments, at a size that takes no time."""
    text = (ROOT / "README.md").read_text()
    arguments = re.search(r"bin/sciml (solve poisson .*)\n", text).group(1)
    arguments = arguments.replace("128 128 128", "12 12 12").replace("--plot solution.png", "").split()
    code = "import sys; from sciml.cli import main; main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
