"""Whatever goes wrong on a rank ends all of them, soon, with one error and a non-zero exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import sciml
from sciml.distributed import engine

FAIL = str(Path(__file__).with_name("fail.py"))
SOLVE = ("-m", "sciml", "solve", "poisson", "--engine", "petsc")


def sentences(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if start in line]


@pytest.mark.parametrize("ranks", [2, 4], ids=["2ranks", "4ranks"])
@pytest.mark.parametrize("how", ["alone", "callback", "local"])
def test_one_rank_that_raises_ends_all(run_on, ranks, how):
    done = run_on(ranks, FAIL, how, timeout=60)
    assert done.returncode != 0
    told = sentences(done.stderr, "Error: this rank has had enough")
    assert told == [f"RuntimeError: this rank has had enough (rank {ranks - 1} of {ranks})"]


def test_a_rank_that_dies_ends_all(run_on):
    assert run_on(2, FAIL, "killed", timeout=60).returncode != 0


def test_an_error_on_all_ranks_is_told_once(run_on):
    done = run_on(2, FAIL, "together", timeout=60)
    assert done.returncode != 0
    assert sentences(done.stderr, "Error") == ["ValueError: rtol is -1; expected a finite number >= 0"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--shape", "16", "16", "--obstacles", "bolls"), "obstacles is 'bolls'; expected None"),
        (("--shape", "16", "16", "--dtype", "float32"), "drop --backend and --dtype"),
    ],
    ids=["obstacles", "dtype"],
)
def test_command_line_tells_an_error_once(run_on, options, expected):
    done = run_on(2, *SOLVE, *options, timeout=60)
    assert done.returncode == 2
    errors = sentences(done.stderr, "sciml: error:")
    assert len(errors) == 1
    assert expected in errors[0]


def test_command_line_solves_plots_and_records(run_on, tmp_path):
    pytest.importorskip("matplotlib")
    import json

    files = (tmp_path / "x.png", tmp_path / "x.json")
    options = (
        "--shape",
        "24",
        "24",
        "24",
        "--obstacles",
        "balls",
        "--plot",
        str(files[0]),
        "--json",
        str(files[1]),
    )
    done = run_on(2, *SOLVE, *options, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("converged: the recomputed residual is within the tolerance") == 1
    assert "on 2 rank(s) (2 x 1 x 1)" in done.stdout
    assert files[0].stat().st_size > 10_000
    row = json.loads(files[1].read_text())["tables"]["methods"][0]
    assert row["status"] == "CONVERGED"
    assert row["relative_residual"] <= 1e-6


def test_command_line_exits_with_one_when_not_converged(run_on):
    done = run_on(2, *SOLVE, "--shape", "24", "24", "--method", "cg", "--maxiter", "2", timeout=60)
    assert done.returncode == 1
    assert done.stdout.count("reached maxiter before the tolerance") == 1


def test_no_rank_needs_room_for_a_whole_grid(run_on):
    """Four ranks whose address space is limited solve what a single process under this limit cannot."""
    done = run_on(4, FAIL, "limited", timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("solved within the limit") == 4
    assert done.stdout.count("the serial solve is out of memory") == 4


# -- without MPI ------------------------------------------------------------------------------
@pytest.mark.parametrize("missing", ["mpi4py", "petsc4py"])
def test_asking_for_the_engine_says_what_to_install(monkeypatch, missing):
    if missing == "petsc4py":
        monkeypatch.setattr(engine, "load_mpi", lambda: None)  # MPI must not be initialised in this process
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError) as raised:
        sciml.solve(sciml.PoissonOperator((8, 8)), sciml.PoissonOperator((8, 8)).diagonal(), engine="petsc")
    for needed in ("petsc4py and mpi4py", "apt-get install python3-petsc4py python3-mpi4py", "sciml[petsc]"):
        assert needed in str(raised.value)


def test_command_line_says_what_to_install(monkeypatch):
    from sciml.cli import main

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(SystemExit) as left:
        main(["solve", "poisson", "--shape", "8", "8", "--engine", "petsc"])
    assert left.value.code == 2


@pytest.mark.parametrize("engine_name", ["petcs", "PETSc"])
def test_unknown_engine(engine_name):
    A = sciml.PoissonOperator((8, 8))
    with pytest.raises(ValueError, match=f"engine is '{engine_name}'; expected None or one of petsc"):
        sciml.solve(A, A.diagonal(), engine=engine_name)


def test_unknown_engine_on_the_command_line(capsys):
    from sciml.cli import main

    with pytest.raises(SystemExit) as left:
        main(["solve", "poisson", "--shape", "8", "8", "--engine", "mpi"])
    assert left.value.code == 2
    assert "--engine is 'mpi'; expected petsc" in capsys.readouterr().err
