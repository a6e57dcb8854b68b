"""The page about extending: its blocks are one file that runs as it stands; its parts keep the contracts."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import sciml
import sciml.weights
from sciml.backends.namespace import to_numpy
from sciml.testing import (
    check_linear_operator,
    check_operator,
    check_preconditioner,
    check_solver,
)

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
PARTS = ("class MotionBlur", "def steepest_descent", "class JacobiSweeps", "class LearnedInverse")


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The page as the module it says it is; importing it runs every check on it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("mine")
        (folder / "mine.py").write_text("\n".join(BLOCKS))
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("mine")
        del sys.modules["mine"], sciml.weights.KINDS["inverse"]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_takes_fewer_than_thirty_lines(part):
    (block,) = (block for block in BLOCKS if part in block)
    assert len(block.splitlines()) < 30


def test_the_page_checks_every_part():
    text = "\n".join(BLOCKS)
    for check in (
        "check_linear_operator(blur)",
        "check_solver(steep",
        "check_preconditioner(Jac",
        "check_preconditioner(M",
    ):
        assert check in text


def test_operator(mine, namespace):
    blur = mine.MotionBlur((6, 8), 3)
    check_linear_operator(blur, like=namespace.array(0.0))
    picture = np.zeros((6, 8))
    picture[2, 3] = 3.0
    expected = np.zeros((6, 8))
    expected[2, 3:6] = 1.0
    np.testing.assert_allclose(to_numpy(blur @ namespace.array(picture)), expected, atol=1e-15)


def test_operator_sharpens_a_picture(mine, rng):
    blur = mine.MotionBlur((16, 16), 5)
    picture = rng.standard_normal((16, 16))
    seen = blur @ picture
    sharp = sciml.cg(blur.H @ blur + 1e-3, blur.H @ seen, rtol=1e-8).x
    assert np.linalg.norm(sharp - picture) < 0.3 * np.linalg.norm(seen - picture)


def test_a_wrong_adjoint_would_be_seen(mine):
    class Wrong(mine.MotionBlur):
        def _apply_adjoint(self, y):
            return self._mean(y, 1)

    assert any("adjoint" in s for s in check_linear_operator(Wrong((6, 8), 3), raise_on_failure=False))


def test_solver(mine, namespace):
    check_solver(mine.steepest_descent, like=namespace.array(0.0))


def test_solver_in_complex_numbers(mine):
    check_solver(mine.steepest_descent, dtype="complex128")


def test_solver_stands_where_ours_stand(mine, rng):
    from sciml.problems import CNAB2, burgers
    from sciml.tuning import TsallisINF, tuned

    A = sciml.PoissonOperator((12, 12))
    b = rng.standard_normal((12, 12))
    solve = tuned(
        mine.steepest_descent,
        parameter="M",
        policy=TsallisINF([None, mine.JacobiSweeps], seed=0),
        cost="matvecs",
    )
    assert all(solve(A, b).converged for _ in range(3))
    M = sciml.inverse(A, mine.steepest_descent, rtol=1e-2)
    assert sciml.cg(A, b, M=M).iterations < sciml.cg(A, b).iterations
    equation = burgers(32, viscosity=0.1)
    u = np.sin(equation.grid.coordinates()[0])

    def precise(A, b):
        return mine.steepest_descent(A, b, rtol=1e-10)

    ours, exact = CNAB2(equation, 0.01, precise), CNAB2(equation, 0.01)
    np.testing.assert_allclose(ours.first_step(u, 0.0, 0.01), exact.first_step(u, 0.0, 0.01), atol=1e-9)


def test_preconditioner(mine, namespace):
    A = sciml.PoissonOperator((9, 8), **namespace.operator_settings)
    M = mine.JacobiSweeps(A)
    check_preconditioner(M, A, like=namespace.array(0.0))
    b = namespace.array(np.random.default_rng(0).standard_normal((9, 8)))
    assert sciml.cg(A, b, M=M).iterations < sciml.cg(A, b).iterations


def test_learned_component_saves_iterations_on_other_grids_too(mine):
    for size in (24, 64):
        A = sciml.PoissonOperator((size, size), backend="torch")
        M = sciml.learned.load("inverse.safetensors")(A)
        check_preconditioner(M, A, like=torch.zeros(1))
        b = torch.from_numpy(np.random.default_rng(1).standard_normal((size, size)))
        assert sciml.cg(A, b, M=M).iterations < 0.7 * sciml.cg(A, b).iterations


def test_learned_component_learned_something(mine):
    A = sciml.PoissonOperator((24, 24), backend="torch")
    untrained, trained = (mine.train_inverse(A, steps=steps) for steps in (1, 300))
    r = torch.from_numpy(np.random.default_rng(2).standard_normal((24, 24)))
    assert torch.linalg.norm(r - A(trained(r))) < 0.7 * torch.linalg.norm(r - A(untrained(r)))


def test_a_network_that_promises_nothing(mine):
    A = sciml.PoissonOperator((8, 8), backend="torch")
    net = sciml.CallableOperator(lambda r: r / 4 + 0.01 * torch.tanh(r), (8, 8), dtype="float64")
    check_operator(net, like=torch.zeros(1))
    assert sciml.cg(A, torch.ones(8, 8, dtype=torch.float64), M=net).converged
