"""The command line: exit codes, one-line errors, tables, files; through typer's runner and for real."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from sciml.cli.app import app
from sciml.cli.run import parse_bc
from sciml.measure.methods import parse_methods
from sciml.problems import poisson


def sciml(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def one_line(result):
    """The error message, after checking that it is one line on standard error with exit code 2."""
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sciml: error: ")
    return lines[0].removeprefix("sciml: error: ")


# -- solve ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "shape",
    [("--shape", 12, 12, 12), ("--shape", 12, "--shape", 12), ("--shape=12", 12)],
    ids=["3d", "twice", "equals"],
)
def test_solve_converges(shape):
    result = sciml("solve", "poisson", *shape, "--obstacles", "balls", "--method", "cg")
    assert result.exit_code == 0, result.output
    assert "converged" in result.stdout


def test_shape_may_stand_before_other_options_and_the_target():
    assert sciml("solve", "--shape", 8, 8, "poisson").exit_code == 0
    assert sciml("solve", "--shape", 8, 8, "--method", "cg", "poisson").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "cg", "--precond", "multigrid"),
        ("--method", "cg+jacobi"),
        ("--precond", "mic0"),
        ("--method", "splu"),
        ("--obstacles", "walls"),
        ("--bc", "periodic,neumann:dirichlet"),
        ("--bc", "neumann", "--rhs", "smooth"),
        ("--dtype", "float32", "--rtol", "1e-4"),
        ("--seed", "5"),
    ],
    ids=" ".join,
)
def test_options_of_solve(options):
    result = sciml("solve", "poisson", "--shape", 24, 24, *options)
    assert result.exit_code == 0, result.output


def test_solve_on_torch():
    pytest.importorskip("torch")
    result = sciml("solve", "poisson", "--shape", 12, 12, "--backend", "torch", "--method", "cg")
    assert result.exit_code == 0, result.output


def test_failure_to_converge_is_exit_code_one():
    result = sciml("solve", "poisson", "--shape", 32, 32, "--method", "cg", "--maxiter", 2)
    assert result.exit_code == 1
    assert "reached maxiter before the tolerance" in result.stdout
    assert result.stderr == ""


def test_manufactured_error_is_shown():
    result = sciml("solve", "poisson", "--shape", 32, 32, "--rhs", "manufactured")
    assert "relative error against the exact solution" in result.stdout


def test_solve_writes_figure_and_record(tmp_path):
    pytest.importorskip("matplotlib")
    png, record = tmp_path / "s.png", tmp_path / "s.json"
    result = sciml("solve", "poisson", "--shape", 16, 16, "--method", "cg", "--plot", png, "--json", record)
    assert result.exit_code == 0, result.output
    assert png.read_bytes().startswith(b"\x89PNG")
    content = json.loads(record.read_text())
    row = content["tables"]["methods"][0]
    assert row["status"] == "CONVERGED"
    assert row["relative_residual"] <= 1e-6
    assert len(content["histories"]["cg"]) == row["iterations"] + 1
    assert all(claim["holds"] for claim in content["claims"])
    assert content["system"]["shape"] == [16, 16]


@pytest.fixture
def system_file(tmp_path):
    A = poisson((9, 8)).A.tocsr()
    sp.save_npz(tmp_path / "A.npz", A)
    np.save(tmp_path / "b.npy", A @ np.arange(72.0))
    return tmp_path / "A.npz", tmp_path / "b.npy"


def test_solve_a_file(system_file):
    matrix, rhs = system_file
    result = sciml("solve", matrix)
    assert result.exit_code == 0, result.output
    assert "b is all ones" in result.stdout
    result = sciml("solve", matrix, "--rhs", rhs, "--rtol", "1e-10")
    assert result.exit_code == 0, result.output
    assert "right-hand side from b.npy" in result.stdout


# -- compare ----------------------------------------------------------------------------------
def test_compare_writes_table_figure_and_record(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pyamg")
    png, record = tmp_path / "c.png", tmp_path / "c.json"
    result = sciml(
        "compare", "poisson", "--shape", 16, 16, 16, "--obstacles", "balls", "--methods",
        "cg,cg+jacobi,cg+amg,cg+multigrid", "--json", record, "--plot", png,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads(record.read_text())["tables"]["methods"]
    assert [row["method"] for row in rows] == ["cg", "cg+jacobi", "cg+amg-sa", "cg+amg-rs", "cg+multigrid"]
    for row in rows:
        assert row["method"] in result.stdout
        assert row["relative_residual"] <= 1e-6
        assert row["total_seconds"] == pytest.approx(row["setup_seconds"] + row["solve_seconds"])
    assert "than the better AMG" in result.stdout
    assert "peak resident memory" in result.stdout
    assert png.stat().st_size > 5000


def test_compare_a_file(system_file):
    result = sciml("compare", system_file[0], "--methods", "cg,cg+ic0,gmres,splu")
    assert result.exit_code == 0, result.output


def test_compare_is_one_when_a_method_fails():
    result = sciml("compare", "poisson", "--shape", 32, 32, "--methods", "cg,splu", "--maxiter", 3)
    assert result.exit_code == 1
    assert "✗ cg: reached maxiter" in result.stdout


# -- info -------------------------------------------------------------------------------------
def test_info_shows_the_capability_table(tmp_path):
    result = sciml("info", "--json", tmp_path / "i.json")
    assert result.exit_code == 0
    for word in ("numpy", "numba", "preconditioners", "multigrid", "red-black"):
        assert word in result.stdout
    assert json.loads((tmp_path / "i.json").read_text())["capabilities"]["M:jacobi"]["backends"][0] == "numpy"


# -- errors -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("solve poisson", "poisson needs --shape"),
        ("solve poisson --shape 8", "shape is [8]; expected two or three"),
        ("solve poisson --shape 8 0", "shape is [8, 0]"),
        ("solve poisson --shape 8 x", "unexpected extra argument"),
        ("solve poisson --shape 8 8 --obstacles stones", "obstacles is 'stones'; expected"),
        ("solve poisson --shape 8 8 --bc robin", "bc is 'robin'"),
        ("solve poisson --shape 8 8 --bc neumann,neumann:robin", "'robin'"),
        ("solve poisson --shape 8 8 --rhs noise", "rhs is 'noise'"),
        ("solve poisson --shape 8 8 --rtol -1", "'--rtol'"),
        ("solve poisson --shape 8 8 --rtol nan", "rtol"),
        ("solve poisson --shape 8 8 --rtol abc", "'--rtol'"),
        ("solve poisson --shape 8 8 --dtype float16", "float16"),
        ("solve poisson --shape 8 8 --dtype flat", "flat"),
        ("solve poisson --shape 8 8 --backend jax", "backend is 'jax'"),
        ("solve poisson --shape 8 8 --method newton", "method is 'newton'; expected a solver"),
        ("solve poisson --shape 8 8 --precond ilu", "expected a preconditioner"),
        ("solve poisson --shape 8 8 --method cg+", "expected a preconditioner after the plus"),
        ("solve poisson --shape 8 8 --method auto+jacobi", "auto chooses its preconditioner itself"),
        ("solve poisson --shape 8 8 --method cg+jacobi --precond ic0", "already names a preconditioner"),
        ("solve poisson --shape 8 8 --method cg,fcg", "expected one method"),
        ("solve poisson --shape 8 8 --key A", "--key names a matrix in a file"),
        ("solve poisson --shape 8 8 --bogus 1", "--bogus"),
        ("solve poisson --shape 8 8 --plot no/such/folder.png", "no such folder"),
        ("solve poisson --shape 8 8 --json no/such/folder.json", "no such folder"),
        ("solve poisson --shape 8 8 --plot figure.docx", "cannot write 'figure.docx'"),
        ("compare poisson --shape 8 8 --methods cg,cg", "names 'cg' twice"),
        ("compare poisson --shape 8 8 --methods ,", "method is ''"),
        ("solve heat", "unknown system 'heat'; expected poisson or a file"),
        ("solve missing.mtx", "missing.mtx: no such file"),
        ("solve missing.mtx --shape 8 8", "--shape describes a Poisson problem"),
        ("solve missing.mtx --dtype float32", "numpy float64"),
        ("solve", "Missing argument"),
        ("frobnicate", "No such command"),
    ],
)  # fmt: skip
def test_errors_are_one_line(arguments, message):
    assert message in one_line(sciml(*arguments.split()))


def test_singular_system_with_incompatible_rhs_is_refused(tmp_path):
    A = sp.csr_array(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    sp.save_npz(tmp_path / "A.npz", A)
    result = sciml("solve", tmp_path / "A.npz", "--method", "cg")
    assert result.exit_code == 1  # no x exists: an honest failure, not a crash
    assert "converged" not in result.stdout.replace("not converged", "")


def test_damaged_file_is_one_line(tmp_path):
    (tmp_path / "A.mtx").write_text("%%MatrixMarket matrix coordinate real general\n3 3 3\n1 1 1.0\n")
    assert "truncated" in one_line(sciml("solve", tmp_path / "A.mtx"))


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("SCIML_TRACEBACK", "1")
    assert isinstance(sciml("solve", "poisson", "--shape", 8).exception, ValueError)


# -- pieces -----------------------------------------------------------------------------------
def test_methods_are_parsed():
    assert [m.name for m in parse_methods("cg, cg+amg")] == ["cg", "cg+amg-sa", "cg+amg-rs"]
    assert [m.name for m in parse_methods("cg+amg", expand_amg=False)] == ["cg+amg"]


def test_boundary_conditions_are_parsed():
    assert parse_bc("open-top") == "open-top"
    assert parse_bc("periodic,neumann:dirichlet") == ["periodic", ("neumann", "dirichlet")]
    assert parse_bc(None) is None


# -- for real ---------------------------------------------------------------------------------
def real(*arguments):
    code = "from sciml.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_real_processes_exit_with_the_stated_codes():
    done = real("solve", "poisson", "--shape", 16, 16, "--method", "cg")
    assert (done.returncode, done.stderr) == (0, "")
    assert real("solve", "poisson", "--shape", 32, 32, "--method", "cg", "--maxiter", 1).returncode == 1
    done = real("solve", "poisson", "--shape", 16)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_help_needs_no_numerical_library():
    code = (
        "import sys\n"
        "from sciml.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "loaded = {'numpy', 'scipy', 'numba', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
