"""Multigrid inside the fused conjugate gradients: iterations, singular systems, any shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sciml import PoissonOperator, cg
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems import poisson

from .grid_systems import SINGULAR, SYSTEMS, GridSystem, random_medium


def solve(system, b, rtol=1e-8, maxiter=60, **settings):
    """Iterations of preconditioned CG on the assembled matrix; the true residual decides."""
    result = cg(
        system.tocsr(),
        b.ravel(),
        M=Multigrid(system, **settings),
        rtol=rtol,
        maxiter=maxiter,
        on_failure="raise",
    )
    assert np.all(result.x[~system.unknown.ravel()] == 0)
    return result.iterations


@pytest.mark.parametrize("name", SYSTEMS)
def test_small_systems(name):
    system = SYSTEMS[name]()
    iterations = solve(system, system.rhs(), coarsest_size=8)
    assert iterations <= 25


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_systems(name):
    system = SINGULAR[name]()
    iterations = solve(system, system.rhs(), coarsest_size=10)
    assert iterations <= 30


@pytest.mark.parametrize("bc", [("DD",) * 3, ("ND", "NN", "NN"), ("PP", "PP", "DN")])
def test_box_iterations(bc):
    system = GridSystem(np.ones((32, 32, 32)), bc)
    iterations = solve(system, system.rhs(), rtol=1e-6)
    assert iterations <= 12


@pytest.mark.parametrize("spacing", [(1, 10, 10), (10, 10, 1), (1, 1, 10), (1, 3, 9), (1, 100, 100)])
def test_unequally_coupled_axes_in_space(spacing):
    system = GridSystem(np.ones((32, 32, 32)), ("DD",) * 3, spacing=spacing)
    iterations = solve(system, system.rhs(), rtol=1e-6)
    assert iterations <= 9


@pytest.mark.parametrize("n", [64, 256])
@pytest.mark.parametrize("stretch", [3, 10, 100])
def test_unequally_coupled_axes_keep_coarse_matrices_sparse(stretch, n):
    """Smoothed interpolation between blocks of two fills them from level to level, and takes the time."""
    A = PoissonOperator((n, n), spacing=(1 / n, stretch / n))
    M = Multigrid(A)
    assert M.operator_complexity <= 2.1
    b = np.random.default_rng(0).standard_normal(A.in_shape)
    assert cg(A, b, M=M, rtol=1e-6, on_failure="raise").iterations <= 11


@pytest.mark.parametrize("kind", ["walls", "porous"])
def test_obstacles_on_a_stretched_grid(kind):
    problem = poisson((128, 128), obstacles=kind, length=(1, 8), seed=3)
    M = Multigrid(problem.A)
    assert M.operator_complexity <= 2.5
    assert cg(problem.A, problem.b, M=M, rtol=1e-6, on_failure="raise").iterations <= 12


def test_splitting_pays_in_porous_media():
    system = GridSystem(random_medium((96, 96), 0.35, 0), ("ND", "NN"))
    b = system.rhs()
    split = solve(system, b, rtol=1e-6)
    unsplit = solve(system, b, rtol=1e-6, maxiter=200, split=False)
    assert split <= 25
    assert unsplit > split


@pytest.mark.parametrize("seed", range(4))
def test_many_tiny_components(seed):
    """Prolongation smoothing can annihilate vectors of tiny components and make coarse matrices singular."""
    system = GridSystem(random_medium((96, 64), 0.5, seed), ("DD", "DD"))
    iterations = solve(system, system.rhs(), rtol=1e-6, coarsest_size=30)
    assert iterations <= 25


def fused_systems():
    rng = np.random.default_rng(0)
    solid = rng.random((12, 13, 14)) < 0.2
    sides = ["neumann", "periodic", ("dirichlet", "neumann")]
    yield "box", PoissonOperator((20, 17))
    yield "solids", PoissonOperator(solid.shape, cells=solid, bc=sides, spacing=(0.1, 0.2, 0.1))
    yield (
        "coefficients",
        PoissonOperator(solid.shape, cells=solid, bc=sides, coefficient=0.1 + rng.random(solid.shape)),
    )
    yield "shifted", PoissonOperator((30, 31), bc="neumann", shift=0.5)


@pytest.mark.parametrize("start", [False, True], ids=["zero", "start"])
@pytest.mark.parametrize("preconditioned", [False, True], ids=["plain", "multigrid"])
@pytest.mark.parametrize(("name", "A"), list(fused_systems()), ids=lambda v: v if isinstance(v, str) else "")
def test_fused_updates_equal_the_plain_ones(name, A, preconditioned, start):
    """On the operator CG runs fused kernels, on its matrix the array API: the same iterates."""
    rng = np.random.default_rng(1)
    b = rng.standard_normal(A.shape[0])  # not zero in solid cells, which carry an equation of their own
    settings = {"M": Multigrid(A) if preconditioned else None, "rtol": 1e-8}
    if start:
        settings["x0"] = rng.standard_normal(A.shape[0])
    fused, plain = cg(A, b, **settings), cg(A.tocsr(), b, **settings)
    assert fused.converged
    assert abs(fused.iterations - plain.iterations) <= 1
    np.testing.assert_allclose(fused.x, plain.x, rtol=0, atol=1e-6 * np.abs(plain.x).max())
    assert np.linalg.norm(b - A.tocsr() @ fused.x) == pytest.approx(fused.residual_norm, rel=1e-4)


@pytest.mark.parametrize("shift", [1e2, 1e4, 1e6])
def test_a_large_shift_needs_few_levels(shift):
    """Where the diagonal outweighs its row, smoothing is enough and coarser levels would add only work."""
    A = PoissonOperator((64, 64), spacing=1 / 64, shift=shift)
    M = Multigrid(A)
    result = cg(A, np.random.default_rng(0).standard_normal(A.in_shape), M=M, rtol=1e-8, on_failure="raise")
    assert result.iterations <= 7

    assert len(M.levels) == {1e2: 3, 1e4: 1, 1e6: 1}[shift]


def test_inverse_of_a_dominant_matrix_holds_no_denormal_numbers():
    from sciml.backends.kernels.numba import csr

    n = 120
    A = 1e3 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    inverse = A.copy()
    assert csr.invert(inverse)
    np.testing.assert_allclose(inverse @ A, np.eye(n), atol=1e-12)
    smallest = np.abs(inverse[inverse != 0]).min()
    assert smallest > np.finfo(float).tiny
    assert np.count_nonzero(inverse) < n * n  # the exact inverse has no zero entry


def test_a_matrix_that_is_not_positive_definite_is_not_inverted():
    from sciml.backends.kernels.numba import csr

    assert not csr.invert(np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def strips(seed, contrast, smoothness=3):
    """Winding strips a cell or two wide that conduct better than what lies between them."""
    noise = np.random.default_rng(seed).standard_normal((64, 64))
    strip = np.abs(gaussian_filter(noise, smoothness)) < 0.02
    sides = ["neumann", ("dirichlet", "neumann")]
    return PoissonOperator((64, 64), bc=sides, coefficient=np.where(strip, contrast, 1.0))


@pytest.mark.parametrize("contrast", [1e2, 1e4, 1e5])
@pytest.mark.parametrize("seed", range(3))
def test_jumps_of_five_decades(seed, contrast):
    A = strips(seed, contrast)
    b = np.random.default_rng(seed).standard_normal(A.in_shape)
    assert cg(A, b, M=Multigrid(A), rtol=1e-6, on_failure="raise").iterations <= 25


@pytest.mark.parametrize("seed", range(4))
def test_row_sums_of_rounding_do_not_count(seed):
    """In single precision the sum of a strongly coupled row is noise, which may outweigh weak couplings."""
    A = strips(seed, 1e6, smoothness=4)
    M = Multigrid(A)
    for matrix, _ in M.level_matrices():
        used = matrix.diagonal() > 0
        dense = matrix[used][:, used].toarray().astype(float)
        scale = 1 / np.sqrt(np.diagonal(dense))
        assert np.linalg.eigvalsh(scale[:, None] * dense * scale)[0] >= -3e-7
    b = np.random.default_rng(seed).standard_normal(A.in_shape)
    assert cg(A, b, M=M, rtol=1e-6, on_failure="raise").iterations <= 16


@pytest.mark.parametrize("seed", range(6))
def test_w_cycle_with_jumps_of_four_decades(seed):
    A = strips(seed, 1e4)
    b = np.random.default_rng(seed).standard_normal(A.in_shape)
    M = Multigrid(A, cycle="W", coarsest_size=20)
    assert cg(A, b, M=M, rtol=1e-6, on_failure="raise").iterations <= 25


@pytest.mark.parametrize("seed", range(4))
def test_jumps_beyond_single_precision_leave_the_coarsest_solve_positive(seed):
    """Seven decades make coarse matrices indefinite by rounding; what they say nothing of is left out."""
    M = Multigrid(strips(seed, 1e7))
    scale = np.sqrt(M.levels[-1].diag.astype(float))
    values = np.linalg.eigvalsh(scale[:, None] * M.coarsest.inverse * scale)
    assert values[0] >= -1e-6 * values[-1]
