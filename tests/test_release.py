"""What a release says of itself: citation, versions, licences, and the list of documentation."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import sciml

ROOT = Path(__file__).parent.parent
CITATION = (ROOT / "CITATION.cff").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def script(path: str) -> dict:
    return runpy.run_path(str(ROOT / path))


# -- citation ---------------------------------------------------------------------------------
def test_the_citation_is_of_this_version():
    assert re.search(r"^version: (.+)$", CITATION, re.MULTILINE)[1] == sciml.__version__
    assert re.search(r"^license: (.+)$", CITATION, re.MULTILINE)[1] == PROJECT["license"]


def test_cited_papers_are_those_the_code_names():
    """Each has its number in a docstring or on a page, and the link is to that number."""
    text = "".join(path.read_text() for path in sorted((ROOT / "sciml").rglob("*.py")))
    text += "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    numbers = re.findall(r"arXiv:([\d.]+)", CITATION)
    assert len(numbers) >= 8
    assert re.findall(r"arxiv\.org/abs/([\d.]+)", CITATION) == numbers
    assert [n for n in numbers if n not in text] == []


# -- versions ---------------------------------------------------------------------------------
def test_every_dependency_is_tried_at_its_lowest_version():
    lowest = script(".ci/lowest.py")["lowest"]()
    for line in PROJECT["dependencies"]:
        name, version = line.split(">=")
        assert lowest[name] == version
    assert "torch" not in lowest
    assert {"pyamg", "matplotlib", "safetensors", "h5py", "array-api-strict"} <= set(lowest)


def test_the_table_of_versions_has_every_requirement_once():
    table = script("docs/release_tables.py")["versions"](ROOT)
    rows = re.findall(r"^\| ([\w.-]+) \| [^|]+ \| ([^|]+) \|", table, re.MULTILINE)[1:]
    names = [name for name, _ in rows]
    assert names[0] == "Python"
    assert len(names) == len(set(names))
    extras = PROJECT["optional-dependencies"]
    for line in PROJECT["dependencies"] + [
        r for e in ("amg", "learned", "mri", "gpu", "petsc") for r in extras[e]
    ]:
        if not line.startswith("sciml["):
            assert (
                line[: re.search("[<>=]", line).start()],
                line[re.search("[<>=]", line).start() :],
            ) in rows
    assert "never tried: no GPU" in table


# -- what ships -------------------------------------------------------------------------------
def test_every_file_that_is_not_code_is_listed_with_its_origin():
    package = ROOT / "sciml"
    table = script("docs/release_tables.py")["files"](package)
    no_code = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
    }
    assert set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == no_code - {
        "py.typed",
        "problems/mri/data/PROVENANCE.md",
    }
    assert "`sciml retrain dcd2d`" in table


# -- documentation of several versions --------------------------------------------------------
@pytest.fixture
def versioned():
    pytest.importorskip("packaging")
    return script("docs/versioned.py")


def test_the_list_of_versions(versioned, tmp_path):
    for name in ("0.1.0", "0.10.0", "0.2.0", "0.11.0.dev0", "_static", "0.3.0"):
        (tmp_path / name).mkdir()
        if name != "0.3.0":  # a build that failed
            (tmp_path / name / "index.html").write_text("")
    versioned["write_list"](tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r'<a href="([^"]+)/index\.html">\1</a>([^<]*)', page) == [
        ("0.11.0.dev0", " (unreleased)"), ("0.10.0", " (current)"), ("0.2.0", ""), ("0.1.0", ""),
    ]  # fmt: skip
    assert versioned["version_of"](ROOT) == sciml.__version__


def test_a_tag_is_built_from_its_own_sources(versioned, tmp_path):
    pytest.importorskip("sphinx")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "docs").mkdir()
    (tmp_path / "sciml").mkdir()
    (tmp_path / "docs" / "conf.py").write_text("project = 'p'\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for version in ("0.1.0", "0.2.0"):
        (tmp_path / "docs" / "index.rst").write_text(f"Page of {version}\n=============\n")
        (tmp_path / "sciml" / "_version.py").write_text(f'__version__ = "{version}"\n')
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", version], check=True)
        subprocess.run([*git, "tag", f"v{version}"], check=True)
    versioned["main"].__globals__["ROOT"] = tmp_path
    versioned["main"](["v0.1.0"])
    versioned["main"]([])  # what is checked out
    html = tmp_path / "docs" / "_build" / "html"
    for version in ("0.1.0", "0.2.0"):
        assert f"Page of {version}" in (html / version / "index.html").read_text()
    assert '0.2.0</a> (current)</li>\n<li><a href="0.1.0/' in (html / "index.html").read_text()
