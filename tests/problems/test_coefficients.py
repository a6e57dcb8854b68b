"""Problems with coefficients that are hard for multigrid."""

from __future__ import annotations

import numpy as np
import pytest

from sciml import cg
from sciml.preconditioners import Multigrid
from sciml.problems import anisotropic, jump_coefficient


def cell_diagonal(problem):
    return problem.A.diagonal().reshape(problem.A.in_shape)


@pytest.mark.parametrize("pattern", ["checkerboard", "balls", "layers", "squares", "oblique", "random"])
@pytest.mark.parametrize("shape", [(20, 28), (10, 12, 14)], ids=["2d", "3d"])
def test_jumps_span_the_contrast(pattern, shape):
    problem = jump_coefficient(shape, contrast=1e3, pattern=pattern, bc="neumann", seed=2)
    d = cell_diagonal(problem)
    decades = np.log10(d.max() / d.min())
    # Neumann sides and harmonic means change a diagonal by less than a decade.
    assert 1.8 < decades < 4


def test_squares_have_seven_cells():
    d = cell_diagonal(jump_coefficient((21, 21), contrast=1e6, pattern="squares", bc="periodic"))
    high = d > 1e3 * d.min()
    assert high[3, 10]
    assert not high[3, 3]
    assert high[:7, 8:13].all()


def test_oblique_layers_turn_with_the_seed():
    first, second = (jump_coefficient((24, 24), pattern="oblique", seed=s).A for s in (0, 1))
    assert (first.tocsr() != second.tocsr()).nnz > 0


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("orientation", ["aligned", "checkerboard", "swirl"])
def test_anisotropy_couples_one_axis_weakly(orientation, ndim):
    problem = anisotropic((16,) * ndim, epsilon=0.01, orientation=orientation)
    assert cg(problem.A, problem.b, M=Multigrid(problem.A), rtol=1e-6).converged
    if orientation == "aligned":
        weights = [w for w in problem.A.weights3 if w > 0]
        assert weights[-1] / weights[0] == pytest.approx(0.01)
        return
    faces = problem.A.faces[3 - ndim :]
    ratio = [f[f > 0].max() / f[f > 0].min() for f in faces]
    assert max(ratio) == pytest.approx(100, rel=0.35)


def test_checkerboard_turns_the_weak_axis():
    rows, columns = anisotropic((16, 16), orientation="checkerboard", length=16.0).A.faces[1:]
    inside = (slice(1, 3), slice(1, 3)), (slice(1, 3), slice(5, 7))
    for place, weak, strong in ((inside[0], rows, columns), (inside[1], columns, rows)):
        np.testing.assert_allclose(weak[0][place], 0.01)
        np.testing.assert_allclose(strong[0][place], 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: anisotropic((4, 4), orientation="up"), "orientation is 'up'"),
        (lambda: jump_coefficient((4, 4), pattern="dots"), "pattern is 'dots'"),
    ],
    ids=["orientation", "pattern"],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("pattern", ["squares", "balls"])
def test_multigrid_keeps_its_pace_across_jumps(pattern):
    """Blocks split at jumps: at most half the iterations of the cycle that joins both sides."""
    problem = jump_coefficient((96, 96), contrast=1e4, pattern=pattern, seed=1)
    split, joined = (
        cg(problem.A, problem.b, M=M, rtol=1e-6).iterations
        for M in (Multigrid(problem.A), Multigrid(problem.A, split=False, omega=1.0, sweeps=2))
    )
    assert split <= 0.55 * joined
