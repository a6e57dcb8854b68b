"""`check_finite_sum` passes our own sums and names planted defects."""

import numpy as np
import pytest

from sciml import constrained_qp, matrix_game
from sciml.operators import AffineSum, Box, ComponentSum, LeastSquares, Resolvent
from sciml.problems import membrane_over_ball, ouyang_xu_qp
from sciml.testing import check_finite_sum

A = np.random.default_rng(2).standard_normal((9, 4))
OURS = {
    "game": lambda: matrix_game(A),
    "qp": lambda: constrained_qp(np.eye(4), np.ones(4), A, np.ones(9)),
    "hard-qp": lambda: ouyang_xu_qp(12),
    "rows": lambda: LeastSquares(A, np.ones(9)),
    "uniform-rows": lambda: LeastSquares(A, np.ones(9), sampling="uniform", G=Box(0.0, 1.0)),
    "membrane": lambda: membrane_over_ball(8).F,
}


@pytest.mark.parametrize("make", OURS.values(), ids=OURS)
def test_our_sums_pass(make):
    assert check_finite_sum(make()) == []


def broken(what):
    F = LeastSquares(A, np.ones(9))
    if what == "not monotone":
        F = ComponentSum([lambda u: u, lambda u: -3.0 * u], (3,), lipschitz=3.0)
    elif what == "lipschitz_full":
        F.lipschitz_full *= 0.3
    elif what == "not average-cocoercive":
        F.lipschitz *= 0.3
    elif what == "Lipschitz on average":
        F = AffineSum(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.ones(2))
        F.lipschitz *= 0.1
    elif what == "mean of the components":
        right = F.difference
        F.difference = lambda batch, u, v: 1.5 * right(batch, u, v)
    elif what == "not reproducible":
        F.sample = lambda rng, size: np.random.default_rng().integers(9, size=size)
    elif what == "expected 5 numbers":
        F.sample = lambda rng, size: np.arange(5) + 5
    elif what == "modifies its input":
        right = F.full

        def full(u):
            value = right(u)
            u *= 1.0001
            return value

        F.full = full
    elif what == "firmly non-expansive":
        F.G = Resolvent()
        F.G.resolvent = lambda u, step=1.0: 2.0 * u
    return F


@pytest.mark.parametrize(
    "what",
    [
        "not monotone",
        "lipschitz_full",
        "not average-cocoercive",
        "Lipschitz on average",
        "mean of the components",
        "not reproducible",
        "expected 5 numbers",
        "modifies its input",
        "firmly non-expansive",
    ],
)
def test_planted_defects_are_named(what):
    F = broken(what)
    sentences = check_finite_sum(F, raise_on_failure=False)
    assert any(what in sentence for sentence in sentences), sentences
    with pytest.raises(AssertionError, match="the finite sum breaks its contract"):
        check_finite_sum(F)


def test_missing_members_are_listed():
    assert "no n, lipschitz, full" in check_finite_sum(object(), raise_on_failure=False)[0]
