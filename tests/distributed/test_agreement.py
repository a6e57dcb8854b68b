"""The distributed engine against the serial code, on one, two and four ranks."""

from __future__ import annotations

import json

import pytest

RANKS = pytest.mark.parametrize("ranks", [1, 2, 4], ids=["1rank", "2ranks", "4ranks"])


@RANKS
def test_problems_are_the_serial_ones(measured, ranks):
    for name, found in measured(ranks)["problems"].items():
        assert found["same cells"], name
        assert found["same b"] or "manufactured" in name, name
        assert found["error of b"] <= 1e-12, name
        assert found["unknowns"][0] == found["unknowns"][1], name
        if "manufactured" not in name:
            assert found["notes"][0] == found["notes"][1], name


@RANKS
@pytest.mark.parametrize("kind", ["shell", "entries"])
def test_products_are_the_serial_ones(measured, ranks, kind):
    for name, found in measured(ranks)["problems"].items():
        assert found[f"error of {kind}"] <= 1e-13, name


@RANKS
def test_obstacle_case_of_128_cubed(measured, serial, ranks):
    found = measured(ranks)["balls"]
    expected = json.loads((serial / "iterations.json").read_text())["balls"]
    assert found["status"] == "CONVERGED"
    assert abs(found["iterations"] - expected) <= 1
    assert found["error"] <= 1e-8


@RANKS
def test_user_matrix(measured, serial, ranks):
    found = measured(ranks)["user matrix"]
    expected = json.loads((serial / "iterations.json").read_text())["user"]
    assert abs(found["jacobi"]["iterations"] - expected) <= 1
    assert found["jacobi"]["error"] <= 1e-8
    assert found["round trip"] == 0.0


@RANKS
def test_methods_for_matrices(measured, ranks):
    found = measured(ranks)["user matrix"]
    for method in ("auto", "cg+hypre", "fcg+gamg"):
        assert found[method]["error"] <= 1e-8, method
    assert found["auto"]["choice"] == "cg + gamg: A is symmetric"
    assert found["tilted auto"] == {"status": "CONVERGED", "choice": "gmres + bjacobi: A is not symmetric"}
    assert found["tilted bicgstab+bjacobi"]["status"] == "CONVERGED"


@RANKS
def test_multigrid_takes_the_iterations_of_the_serial_one(measured, ranks):
    """Wherever the divided levels end and the others begin, and with the parameters of a serial one."""
    for name, found in measured(ranks)["multigrid"].items():
        for how, iterations in found["distributed"].items():
            assert abs(iterations - found["serial"]) <= 1, f"{name}, {how}"


@RANKS
def test_binary_files_round_trip(measured, ranks):
    found = measured(ranks)["binary"]
    assert found["matrix"] == 0.0
    assert found["b"] == 0.0
    assert found["notes"] == [f"right-hand side from system{ranks}.petsc"]


@RANKS
def test_whole_arrays_stay_whole(measured, ranks):
    found = measured(ranks)["whole arrays"]
    assert found["shape"] == [12, 14, 16]
    assert found["solver"] == "petsc cg + Multigrid"
    assert found["ranks"] == ranks
    for what in ("operator", "matrix", "solid cells", "variable"):
        assert found[what] <= 1e-8, what


@RANKS
@pytest.mark.parametrize("kind", ["matrix", "block", "overlap"])
def test_any_operator_on_boxes(measured, ranks, kind):
    found = measured(ranks)["shells"][kind]
    assert found["status"] == "CONVERGED"
    assert found["error"] <= 1e-8


@RANKS
def test_stopping_rules(measured, ranks):
    found = measured(ranks)["stopping"]
    assert found["fixed"] == ["FIXED", 7]
    assert found["fixed as serial"] <= 1e-10
    assert found["stopped"] == ["STOPPED", 3, [1, 2, 3]]  # one rank's word is enough
    assert found["history"] == 4
    assert found["residual is true"] <= 1e-10
    assert found["zero"] == ["CONVERGED", 0.0]
    assert found["exact x0"] == 0
    assert found["too tight"] == "STAGNATED"
    assert found["maxiter"] == "MAXITER"
    assert found["warned"] == ["SolverWarning"]
    assert len(set(found["scaled"])) == 1


WRONG = {
    "nan": "ValueError: b holds a value that is not finite",
    "shape": "ValueError: b has shape",
    "method": "ValueError: method is 'cgs'; the engine 'petsc' expects one of cg",
    "preconditioner": "ValueError: the preconditioner is 'amg'; the engine 'petsc' expects one of jacobi",
    "parameter": "TypeError: multigrid has no parameter 'omgea'; expected omega",
    "rtol": "ValueError: rtol is -1.0; expected a finite number >= 0",
    "two preconditioners": "TypeError: method is 'cg+jacobi' and M is given too",
    "cycle": "ValueError: cycle='F'; expected 'V' or 'W'",
    "obstacles": "ValueError: obstacles is 'bolls'; expected None",
    "singular": "ValueError: bc is (('neumann', 'neumann')",
    "enclosed": "ValueError: obstacles enclose 1 fluid cell(s)",
    "odd periodic": "ValueError: the grid (24, 21, 24) is periodic along an axis with an odd number",
    "multigrid of a matrix": "TypeError: multigrid expects a distributed Poisson operator",
    "missing": "FileNotFoundError: ",
    "short": "ValueError: ",
    "infinite": "ValueError: ",
    "foreign": "ValueError: ",
    "foreign petsc": "ValueError: ",
}


@RANKS
@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_the_same_error_on_every_rank(measured, ranks, what):
    messages = measured(ranks)["wrong input"][what]
    assert len(messages) == 1
    assert messages[0].startswith(WRONG[what])


FILES = {
    "missing": "none.mtx: no such file",
    "short": "short.mtx: the header announces",
    "infinite": "infinite.mtx: the matrix holds a value that is not finite",
    "foreign": "foreign.mtx: not a Matrix Market file",
    "foreign petsc": "foreign.petsc: not a matrix in PETSc's binary format",
}


@RANKS
@pytest.mark.parametrize("what", FILES)
def test_errors_name_the_file(measured, ranks, what):
    assert FILES[what] in measured(ranks)["wrong input"][what][0]


@pytest.mark.parametrize("ranks", [2, 4], ids=["2ranks", "4ranks"])
def test_memory_per_rank_falls_with_the_number_of_ranks(measured, ranks):
    """Problem and solve of 128³ cells; one array of the whole grid more would show as 20 % on four ranks."""
    alone = measured(1)["balls"]["memory"][0]
    each = measured(ranks)["balls"]["memory"]
    assert max(each) * ranks / alone == pytest.approx(1.0, abs=0.15)
