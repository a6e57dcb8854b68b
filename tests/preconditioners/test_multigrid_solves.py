"""Multigrid inside the fused conjugate gradients: iterations, singular systems, any shape."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.grid_cg import GridCG
from sciml.preconditioners.multigrid import Multigrid

from .grid_systems import SINGULAR, SYSTEMS, GridSystem, random_medium


def solve(system, b, rtol=1e-8, maxiter=60, **settings):
    """Iterations and solution; asserts the recomputed residual."""
    cg = GridCG(system, Multigrid(system, **settings))
    cg.start(b)
    tolerance = rtol * cg.residual_norm
    iterations = 0
    while cg.residual_norm > tolerance and iterations < maxiter:
        assert cg.iterate()
        iterations += 1
    true = np.linalg.norm(b.ravel() - system.tocsr() @ cg.x)
    assert true <= 1.01 * tolerance
    assert np.all(cg.x[~system.unknown.ravel()] == 0)
    return iterations, cg.x


@pytest.mark.parametrize("name", SYSTEMS)
def test_small_systems(name):
    system = SYSTEMS[name]()
    iterations, _ = solve(system, system.rhs(), coarsest_size=8)
    assert iterations <= 25


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_systems(name):
    system = SINGULAR[name]()
    iterations, _ = solve(system, system.rhs(), coarsest_size=10)
    assert iterations <= 30


@pytest.mark.parametrize("bc", [("DD",) * 3, ("ND", "NN", "NN"), ("PP", "PP", "DN")])
def test_box_iterations(bc):
    system = GridSystem(np.ones((32, 32, 32)), bc)
    iterations, _ = solve(system, system.rhs(), rtol=1e-6)
    assert iterations <= 12


def test_grid_aligned_anisotropy():
    system = GridSystem(np.ones((32, 32, 32)), ("DD",) * 3, spacing=(1, 10, 10))
    iterations, _ = solve(system, system.rhs(), rtol=1e-6)
    assert iterations <= 20


def test_splitting_pays_in_porous_media():
    system = GridSystem(random_medium((96, 96), 0.35, 0), ("ND", "NN"))
    b = system.rhs()
    split, _ = solve(system, b, rtol=1e-6)
    unsplit, _ = solve(system, b, rtol=1e-6, maxiter=200, split=False)
    assert split <= 25
    assert unsplit > split


@pytest.mark.parametrize("seed", range(4))
def test_many_tiny_components(seed):
    """Prolongation smoothing can annihilate vectors of tiny components and make coarse matrices singular."""
    system = GridSystem(random_medium((96, 64), 0.5, seed), ("DD", "DD"))
    iterations, _ = solve(system, system.rhs(), rtol=1e-6, coarsest_size=30)
    assert iterations <= 25


def test_without_preconditioner_and_with_a_start():
    system = SYSTEMS["odd3d"]()
    b = system.rhs()
    _, x = solve(system, b, rtol=1e-10)
    cg = GridCG(system)
    cg.start(b, x0=x)
    assert cg.residual_norm <= 1e-9 * np.linalg.norm(b)
    cg.start(b)
    for _ in range(200):
        if cg.residual_norm <= 1e-10 * np.linalg.norm(b):
            break
        cg.iterate()
    np.testing.assert_allclose(cg.x, x, atol=1e-7 * np.abs(x).max())
