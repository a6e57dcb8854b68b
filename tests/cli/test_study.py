"""``sciml study``: exit codes, the listing, errors of one line."""

import pytest
from typer.testing import CliRunner

from sciml.cli.app import app

CONFIG = """
name = "a [bold] study"
problems = [{kind = "poisson", obstacles = "balls"}]
sizes = [[12, 12]]
solvers = ["cg", {method = "fcg", name = "[red]fcg"}]
"""


def study(*arguments):
    return CliRunner().invoke(app, ["study", *map(str, arguments)])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG)
    return path


def test_runs_writes_beside_the_file_and_prints_the_table(config):
    pytest.importorskip("matplotlib")
    result = study(config)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("1 of 1") == 2
    assert "[red]fcg" in result.stdout
    written = {path.name for path in config.with_suffix("").iterdir()}
    assert written == {"rows.jsonl", "rows.csv", "study.json", "report.html"}


def test_a_solve_that_fails_is_exit_code_one_and_said(config, tmp_path):
    pytest.importorskip("matplotlib")
    config.write_text("maxiter = 3\n" + CONFIG)
    result = study(config, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "✗ cg on poisson balls 12x12 (seed 0): reached maxiter before the tolerance" in result.stdout


def test_check_lists_and_runs_nothing(config):
    result = study(config, "--check")
    assert result.exit_code == 0, result.output
    assert "poisson balls: 12x12; seeds 0" in result.stdout
    assert "solvers: cg, [red]fcg" in result.stdout
    assert "2 solves, 0 of them done" in result.stdout
    assert not config.with_suffix("").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtoll = 3\n" + CONFIG, "mine.toml: unknown key 'rtoll'"),
        (CONFIG.replace("balls", "stones"), "mine.toml: problems[0]: obstacles is 'stones'"),
        ("= 3", "mine.toml: not a TOML file"),
    ],
)
def test_errors_are_one_line_with_file_and_key(text, message, config):
    config.write_text(text)
    result = study(config, "--check")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sciml: error: ")
    assert message in lines[0]


def test_another_study_in_the_folder_is_exit_code_two(config):
    pytest.importorskip("matplotlib")
    assert study(config).exit_code == 0
    config.write_text("rtol = 1e-3\n" + CONFIG)
    result = study(config)
    assert result.exit_code == 2
    assert "holds another study (rtol: 1e-06 there, 0.001 here)" in result.stderr


def test_a_file_without_suffix_needs_a_folder(config):
    bare = config.rename(config.with_suffix(""))
    result = study(bare)
    assert result.exit_code == 2
    assert "expected --output" in result.stderr
