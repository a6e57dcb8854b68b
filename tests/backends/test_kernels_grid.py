"""Grid kernels against plain NumPy and SciPy, for every boundary, shape and medium."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.grid import Grid, affine_diagonal
from sciml.backends.kernels.numba import grid_cg, paired, smoothers, stencil
from sciml.backends.threads import parallel, use_threads

from ..preconditioners.grid_systems import SINGULAR, SYSTEMS, GridSystem

ALL = {**SYSTEMS, **SINGULAR}


def padded(grid, values, dtype=np.float64):
    x = np.zeros(grid.padded, dtype)
    x[: grid.cells] = values.ravel()
    return x


def to_paired(grid, values):
    """From natural order to even cells first, by definition; the row of zeros stays."""
    rows = values.reshape(-1, grid.shape[2])
    return np.concatenate([rows[:, ::2], rows[:, 1::2]], axis=1).ravel()


def to_natural(grid, values):
    rows, out = values.reshape(-1, grid.shape[2]), np.empty((values.size // grid.shape[2], grid.shape[2]))
    evens = -(-grid.shape[2] // 2)
    out[:, ::2], out[:, 1::2] = rows[:, :evens], rows[:, evens:]
    return out.ravel()


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_pairing(n):
    x = np.arange(3.0 * n)
    out, back = np.empty(3 * n), np.empty(3 * n)
    parallel(paired.pair_rows, 3, x, 2.0, out, n)
    expected = np.concatenate([np.concatenate([r[::2], r[1::2]]) for r in x.reshape(3, n)])
    np.testing.assert_array_equal(out, 2 * expected)
    parallel(paired.unpair_rows, 3, out, back, n)
    np.testing.assert_array_equal(back, 2 * x)
    np.testing.assert_array_equal(out[paired.pairing(np.arange(3 * n), n)], 2 * x)
    np.testing.assert_array_equal(paired.natural_cells(n), expected[:n])
    parallel(paired.pair_in_place, 3, back, n)
    np.testing.assert_array_equal(back, out)


@pytest.mark.parametrize("name", ALL)
def test_paired_residual(name):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    u, b = system.rhs(1).ravel(), system.rhs(2).ravel()
    r = np.zeros(grid.padded)
    x = to_paired(grid, padded(grid, u))
    parallel(paired.residual, grid.shape[0], x, to_paired(grid, b), r, grid.pair(grid.stencil(np.float64)))
    np.testing.assert_allclose(to_natural(grid, r)[: grid.cells], b - A @ u, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_enclosed_vectors_are_zero_where_there_is_no_unknown(name, threads):
    grid = Grid.from_operator(ALL[name]())
    v = np.random.default_rng(0).standard_normal(grid.cells)
    v[::7] = 0.0
    inside = grid.q != grid.none
    with use_threads(threads):
        work, held = grid.enclose(v)
    np.testing.assert_array_equal(work, padded(grid, np.where(inside, v, 0.0)))
    assert held == np.count_nonzero(v[~inside])
    np.testing.assert_array_equal(grid.blank(), np.flatnonzero(~inside))


def colour_of(grid):
    i, j, k = np.indices(grid.shape)
    return ((i + j + k) & 1).ravel()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_apply_and_residual(name, threads):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    u, b = system.rhs(1), system.rhs(2)
    x, y = padded(grid, u), np.zeros(grid.padded)
    s = grid.stencil(np.float64)
    with use_threads(threads):
        dot = sum(parallel(stencil.apply, grid.shape[0], x, y, s))
        np.testing.assert_allclose(y[: grid.cells], A @ u.ravel(), rtol=1e-13, atol=1e-11)
        assert dot == pytest.approx(u.ravel() @ (A @ u.ravel()), rel=1e-12)
        square = sum(parallel(stencil.residual, grid.shape[0], x, b.ravel(), y, s))
    r = b.ravel() - A @ u.ravel()
    np.testing.assert_allclose(y[: grid.cells], r, rtol=1e-13, atol=1e-11)
    assert square == pytest.approx(r @ r, rel=1e-12)


@pytest.mark.parametrize("layout", [False, True], ids=["natural", "paired"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_cg_updates(name, threads, layout):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    n = grid.cells
    z, p, x, r = (system.rhs(seed).ravel() for seed in range(4))
    Z, P, X, R = padded(grid, z, np.float32), padded(grid, p), padded(grid, x), padded(grid, r)
    if layout:
        Z = to_paired(grid, Z)
    s, sums = grid.stencil(np.float64), np.zeros(grid.shape[0])
    with use_threads(threads):
        for phase in (1, 2):
            parallel(grid_cg.direction, grid.shape[0], phase, Z, layout, 0.5, 0.25, P, s, sums)
        p = 0.5 * z.astype(np.float32) + 0.25 * p
        np.testing.assert_allclose(P[:n], p, rtol=1e-14)
        assert sums.sum() == pytest.approx(p @ (A @ p), rel=1e-12)
        parallel(grid_cg.step, grid.shape[0], 0.75, P, X, R, s, sums)
    np.testing.assert_allclose(X[:n], x + 0.75 * p, rtol=1e-13, atol=1e-13)
    r = r - 0.75 * (A @ p)
    np.testing.assert_allclose(R[:n], r, rtol=1e-12, atol=1e-11)
    assert sums.sum() == pytest.approx(r @ r, rel=1e-12)


def half_sweep(A, x, b, rows, omega):
    """One colour of successive over-relaxation, from its definition."""
    x = x.copy()
    d = A.diagonal()
    x[rows] += omega * (b - A @ x)[rows] / d[rows]
    return x


@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", [n for n in ALL if Grid.from_operator(ALL[n]()).two_colourable])
def test_red_black_sweeps(name, threads, sweeps):
    """All sweeps in one pass, or stage by stage, are what the definition says, on any number of slabs."""
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    b = system.rhs(0).ravel()
    scale, omega, n = 0.5, 1.2, grid.cells
    unknown, colour = system.unknown.ravel(), colour_of(grid)
    colours = [np.flatnonzero(unknown & (colour == c)) for c in (0, 1)]
    s = grid.pair(grid.stencil(np.float64))
    empty = np.zeros(0, np.int64)
    start = np.zeros(grid.shape[0] * grid.shape[1] + 1, np.int64)
    blocks = ((1, 1, 1), grid.shape, start, empty, empty, empty)
    e = np.random.default_rng(0).standard_normal(n)
    dots, B, empty_source = np.zeros(grid.shape[0]), np.zeros(n), np.zeros(0)

    def run(x, kind, first, source):
        total = 2 * sweeps + (kind == smoothers.PROLONG)
        at_once = not grid.periodic[0]
        passes = (
            [((0, total), False), ((0, total), True)]
            if at_once
            else [((s, s + 1), False) for s in range(total)]
        )
        dots[:] = 0
        with use_threads(threads):
            for stages, border in passes:
                parallel(
                    smoothers.relax, grid.shape[0], stages, border, total, kind, first, x, B, source, scale,
                    s, omega, blocks, to_paired(grid, e), None, dots, grain=2 * total if at_once else 1,
                )  # fmt: skip
        return to_natural(grid, x)[:n]

    def smoothed(x, first):
        for half in range(2 * sweeps):
            x = half_sweep(A, x, scale * b, colours[(first + half) % 2], omega)
        return x

    x = np.full(grid.padded, 7.0)
    x[n:] = 0
    expected = smoothed(np.zeros(n), 0)
    np.testing.assert_allclose(run(x, smoothers.ZERO, 0, b), expected, rtol=1e-11, atol=1e-11)
    expected = smoothed(expected, 0)
    np.testing.assert_allclose(run(x, smoothers.PLAIN, 0, empty_source), expected, rtol=1e-11, atol=1e-11)
    expected = smoothed(expected + np.where(unknown, e, 0.0), 1)
    np.testing.assert_allclose(run(x, smoothers.PROLONG, 1, empty_source), expected, rtol=1e-11, atol=1e-11)
    assert dots.sum() == pytest.approx(expected @ (scale * b), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("shape", [(40, 70, 300), (90, 1, 31)], ids=["tiled-planes", "rows"])
def test_sweeps_over_slabs_and_tiles(shape):
    """Planes large enough to be cut into tiles, slabs thick enough to be passed over at once."""
    grid = Grid.from_operator(GridSystem(np.ones(shape), ("DN", "ND", "DD")))
    s = grid.pair(grid.stencil(np.float32))
    source = np.random.default_rng(0).standard_normal(grid.cells)
    empty = np.zeros(0, np.int64)
    blocks = ((1, 1, 1), grid.shape, empty, empty, empty, empty)

    def run(threads, passes):
        x, b = np.zeros(grid.padded, np.float32), np.zeros(grid.cells, np.float32)
        with use_threads(threads):
            for stages, border in passes:
                parallel(
                    smoothers.relax, grid.shape[0], stages, border, 8, smoothers.ZERO, 0, x, b, source, 1.0,
                    s, np.float32(1.1), blocks, x, None, np.zeros(0), grain=16,
                )  # fmt: skip
        return x

    expected = run(1, [((stage, stage + 1), False) for stage in range(8)])
    for threads in (1, 2):
        np.testing.assert_array_equal(run(threads, [((0, 8), False), ((0, 8), True)]), expected)


@pytest.mark.parametrize("name", ["odd-periodic2d", "porous3d", "faces3d"])
def test_chebyshev_step(name):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    n, unknown = grid.cells, system.unknown.ravel()
    x, d, b = (system.rhs(seed).ravel() for seed in range(3))
    X, Y, D = to_paired(grid, padded(grid, x)), np.zeros(grid.padded), to_paired(grid, padded(grid, d))
    s = grid.pair(grid.stencil(np.float64))
    parallel(smoothers.chebyshev_step, grid.shape[0], X, Y, D, 0.3, 0.7, to_paired(grid, b), s)
    diagonal = np.where(unknown, A.diagonal(), 1.0)
    d = 0.3 * d + 0.7 * (b - A @ x) / diagonal
    np.testing.assert_allclose(to_natural(grid, D)[:n], d, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(to_natural(grid, Y)[:n], x + d, rtol=1e-12, atol=1e-12)


def test_affine_diagonal():
    table = np.ones(256)
    table[:4] = [6.5, 4.5, 5.5, 8.5]
    code = np.array([0, 1, 2, 3, 255, 1], np.uint8)
    q, d0, d1, none = affine_diagonal(code, table)
    assert q.dtype == np.uint8
    np.testing.assert_allclose(d0 + d1 * q[code != 255], table[code[code != 255]])
    assert q[4] == none
    table[2] = 5.1234567  # off the progression: falls back to one float per cell
    q, d0, d1, none = affine_diagonal(code, table)
    np.testing.assert_allclose(d0 + d1 * q[code != 255], table[code[code != 255]])
    assert q[4] == none
