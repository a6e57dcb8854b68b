"""Set-up: level matrices against their definition, and what the hierarchy reports about itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sciml.backends.kernels.numba import paired, smoothers
from sciml.backends.threads import use_threads
from sciml.preconditioners.multigrid import Multigrid
from sciml.preconditioners.multigrid.blocks import BlockLevel
from sciml.problems import jump_coefficient, poisson

from .grid_systems import SYSTEMS, GridSystem


def grid_prolongation(M):
    """P from the first coarse level to the grid, column by column through the kernel."""
    grid, n = M.grid, M.level_matrices()[0][0].shape[0]
    P = np.zeros((grid.cells, n))
    order = paired.pairing(np.arange(grid.cells), grid.shape[2])
    for column in range(n):
        e = np.zeros(n, np.float32)
        e[column] = 1
        x = np.zeros(grid.padded, np.float32)
        smoothers.prolong(0, grid.shape[0], x, e, M._stencil, M.blocks)
        P[:, column] = x[order]
    return P


def permuted(system):
    """Axis order of the kernels: 2D grids are (n0, 1, n1) there, with the same memory layout."""
    return system.tocsr()


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n not in ("anisotropic", "heat")])
def test_first_coarse_level_is_half_galerkin(name):
    system = SYSTEMS[name]()
    M = Multigrid(system, coarsest_size=3)
    A = permuted(system).toarray()
    P = grid_prolongation(M)
    expected = P.T @ A @ P
    coarsened = [f for f, n in zip(M.blocks[0], M.grid.shape, strict=True) if n > 1]
    if all(f == 2 for f in coarsened):
        got = M.level_matrices()[0][0].toarray()
        np.testing.assert_allclose(got, 0.5 * expected, rtol=2e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", SYSTEMS)
def test_one_coarse_unknown_per_component_of_a_block(name):
    system = SYSTEMS[name]()
    M = Multigrid(system, coarsest_size=3)
    P = grid_prolongation(M)
    unknown = system.unknown.ravel()
    assert np.all(P[unknown].sum(axis=1) == 1)
    assert np.all(P[~unknown] == 0)
    A = permuted(system)
    for column in np.flatnonzero(P.any(axis=0)):
        cells = np.flatnonzero(P[:, column])
        assert connected_components(A[cells][:, cells], directed=False)[0] == 1
    # ... and different unknowns of a block are not connected inside it.
    factors, shape = M.blocks[0], M.grid.shape
    i, j, k = np.unravel_index(np.arange(M.grid.cells), shape)
    coarse = M.blocks[1]
    block = np.ravel_multi_index((i // factors[0], j // factors[1], k // factors[2]), coarse)
    owner = np.where(unknown, P.argmax(axis=1), -1)
    coo = A.tocoo()
    # Connections through a periodic wrap do not count as inside.
    near = np.ones(coo.nnz, bool)
    for x, n in zip((i, j, k), shape, strict=True):
        near &= (np.abs(x[coo.row] - x[coo.col]) <= 1) | (n <= 2)
    d = A.diagonal()
    strong = np.abs(coo.data) >= 1.001 * M.strength * np.sqrt(d[coo.row] * d[coo.col])
    if system.faces is None:
        strong[:] = True  # constant coefficients: every open face joins
    inside = (block[coo.row] == block[coo.col]) & (coo.data != 0) & near & strong
    if min(n for n, f in zip(shape, factors, strict=True) if f == 2) > 2:
        assert np.all(owner[coo.row[inside]] == owner[coo.col[inside]])


@pytest.mark.parametrize("name", ["porous3d", "box2d", "faces3d", "anisotropic"])
def test_smoothed_levels_are_galerkin(name):
    system = SYSTEMS[name]()
    M = Multigrid(system, coarsest_size=2, smooth_from=1)
    matrices = M.level_matrices()
    for (A, P), (A_coarse, _) in itertools.pairwise(matrices):
        expected = (P.T @ A @ P).toarray()
        np.testing.assert_allclose(
            A_coarse.toarray(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
        )


def as_matrix(triple, n):
    ptr, idx, val = triple
    return sp.csr_matrix((val, idx, ptr), shape=(n, n)).toarray()


@pytest.mark.parametrize("split", [True, False], ids=["split", "textbook"])
@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("name", SYSTEMS)
def test_second_coarse_level_is_that_of_the_matrix_of_the_first(name, width, split):
    level = Multigrid(SYSTEMS[name](), coarsest_size=1).levels[0]
    if not isinstance(level, BlockLevel):
        pytest.skip("the first coarse level needs more than two colours: it is a matrix already")
    matrix = level.sparse()
    factors = tuple(width if n > 1 else 1 for n in level.block_shape)
    shape = tuple(-(-n // f) for n, f in zip(level.block_shape, factors, strict=True))
    got = level.joined(factors, shape, strength=0.005, split=split)
    expected = matrix.joined(factors, shape, strength=0.005, split=split)
    np.testing.assert_array_equal(got.agg, expected.agg)
    np.testing.assert_array_equal(got.block_of, expected.block_of)
    np.testing.assert_array_equal(got.ptr, expected.ptr)
    np.testing.assert_array_equal(got.agg[got.members], expected.agg[expected.members])
    A = as_matrix(level.galerkin(got), got.count)
    np.testing.assert_allclose(A, as_matrix(matrix.galerkin(expected), got.count), rtol=2e-6, atol=1e-6)
    assert level.smoothing_suffices() == matrix.smoothing_suffices()


@pytest.mark.parametrize("shape", [(64, 64, 64), (400, 400)], ids=["3d", "2d"])
def test_set_up_is_the_same_on_any_number_of_threads(shape):
    system = poisson(shape, obstacles="porous", seed=3).A
    made = []
    for threads in (1, 3):
        with use_threads(threads):
            made.append(Multigrid(system).level_matrices())
    for (A, P), (B, Q) in zip(*made, strict=True):
        assert abs(A - B).max() == 0
        assert P is None or abs(P - Q).max() == 0


@pytest.mark.parametrize("shift", [0.0, 0.1, 1e3])
def test_a_large_shift_needs_no_coarser_level(shift):
    system = GridSystem(np.ones((16, 16, 16)), ("DD",) * 3, shift=shift)
    levels = Multigrid(system, coarsest_size=1).levels
    assert (len(levels) == 1) == (shift == 1e3)
    assert levels[0].smoothing_suffices() == (shift == 1e3)


def jumping(shape, contrast, seed=0):
    """Squares (cubes) of seven cells, every other `contrast` times more conductive."""
    index = np.meshgrid(*(np.arange(n) // 7 for n in shape), indexing="ij")
    k = np.where(sum(index) % 2 == 0, 1.0, contrast)
    return GridSystem(np.ones(shape), ("DD",) * len(shape), k=k)


@pytest.mark.parametrize("shape", [(21, 21), (14, 14, 14)], ids=["2d", "3d"])
def test_blocks_across_a_jump_split_into_its_sides(shape):
    system = jumping(shape, 1e4)
    M = Multigrid(system)
    owner = grid_prolongation(M)
    strong = np.asarray(system.diagonal3).ravel() > 1e3
    for column in np.flatnonzero(owner.any(axis=0)):
        assert np.ptp(strong[owner[:, column] > 0].astype(int)) == 0


def test_a_weak_coupling_inside_a_block_needs_more_colours_than_two():
    M = Multigrid(jumping((21, 21), 1e4), coarsest_size=10)
    A = M.level_matrices()[0][0].tocoo()
    level = M.levels[0]
    colour = np.full(level.n, -1)
    for c in range(level.colours):
        colour[level.order[level.colour_start[c] : level.colour_start[c + 1]]] = c
    off = (A.row != A.col) & (A.data != 0)
    assert level.colours > 2
    assert np.all(colour[A.row[off]] != colour[A.col[off]])


def test_heat_keeps_the_mass():
    system = GridSystem(np.ones((8, 8, 8)), ("NN",) * 3, shift=0.5)
    matrices = Multigrid(system, coarsest_size=2, smooth_from=None).level_matrices()
    for A, _ in matrices:
        assert A.sum() == pytest.approx(0.5 * 512, rel=1e-5)


def test_report():
    M = Multigrid(SYSTEMS["porous3d"](), coarsest_size=5)
    text = repr(M)
    for word in (
        "unknowns",
        "non-zeros",
        "colours",
        "matrix-free",
        "direct",
        "operator complexity",
        "set-up",
    ):
        assert word in text
    assert M.bytes_per_cycle() > 20 * M.grid.cells
    assert M.nbytes > M.grid.cells
    assert all(sp.issparse(A) for A, _ in M.level_matrices())


@pytest.mark.parametrize("smooth_from", [1, 2, 3])
@pytest.mark.parametrize("pattern", ["squares", "random", "balls"])
def test_smoothed_interpolation_is_bounded(pattern, smooth_from):
    """Lumping weak couplings of both signs may leave rows a tiny diagonal; dividing by it would not be."""
    A = jump_coefficient((128, 128), pattern=pattern, contrast=1e5, seed=1).A
    M = Multigrid(A, smooth_from=smooth_from)
    smoothed = [P for (_, P), hop in zip(M.level_matrices(), M.transfers, strict=False) if hop.P is not None]
    assert smoothed
    assert max(abs(P).max() for P in smoothed) <= 1 + 2 / 3 + 1e-5
