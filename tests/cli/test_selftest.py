"""``sciml selftest``: table, exit code, one line per failure, a line for bug reports, a record."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sciml.cli.app import app
from sciml.selftest import Part


def broken():
    raise RuntimeError("the kernel\nis gone")


GOOD = Part("sums", lambda: {"one": list, "two": list})
BAD = Part("kernels", lambda: {"apply": broken, "adjoint": lambda: ["[wrong] by 2", "and by 3"]})
ABSENT = Part(
    "figures", lambda: {"one": broken}, lambda: 'matplotlib is not installed: pip install "sciml[plot]"'
)


@pytest.fixture
def run(monkeypatch):
    def call(parts, *options):
        monkeypatch.setattr("sciml.cli.selftest.plan", lambda: parts)
        return CliRunner().invoke(app, ["selftest", *map(str, options)])

    return call


def test_all_is_well(run):
    result = run([GOOD, ABSENT])
    assert result.exit_code == 0
    assert 'skipped: matplotlib is not installed: pip install "sciml[plot]"' in result.stdout
    line = result.stdout.splitlines()[-1]
    assert line.startswith("2 of 2 checks passed, 1 parts skipped")
    for part in ("python 3", "sciml ", "numpy ", "scipy ", "numba ", "thread(s)", "processors", "GPU"):
        assert part in line


def test_failures_are_one_line_each(run):
    result = run([GOOD, BAD])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "✗ kernels: apply: RuntimeError: the kernel is gone" in lines
    assert "✗ kernels: adjoint: [wrong] by 2" in lines
    assert "✗ kernels: adjoint: and by 3" in lines
    assert lines[-1].startswith("2 of 4 checks passed")
    assert "Traceback" not in result.output


def test_verbose_shows_where_it_was_raised(run):
    result = run([BAD], "--verbose")
    assert result.exit_code == 1
    assert "Traceback" in result.stdout
    assert 'RuntimeError("the kernel' in result.stdout


def test_many_failures_are_cut_to_a_few(run):
    many = Part("kernels", lambda: {"apply": lambda: [f"wrong by {n}" for n in range(15)]})
    result = run([many])
    assert result.stdout.count("✗ kernels: apply") == 10
    assert "and 5 more; --verbose shows them all" in result.stdout
    assert run([many], "--verbose").stdout.count("✗ kernels: apply") == 15


def test_record(run, tmp_path):
    path = tmp_path / "selftest.json"
    assert run([GOOD, BAD, ABSENT], "--json", path).exit_code == 1
    found = json.loads(path.read_text())
    assert [part["status"] for part in found["parts"]] == ["passed", "failed", "skipped"]
    assert found["parts"][1]["failures"][0]["check"] == "apply"
    assert found["environment"]["versions"]["sciml"]


def test_a_record_that_cannot_be_written_is_refused_before_the_work(run, tmp_path):
    def never():
        raise AssertionError("work was done")

    result = run([Part("sums", never)], "--json", tmp_path / "nowhere" / "x.json")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
