"""Grid kernels against plain NumPy and SciPy, for every boundary, shape and medium."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.grid import Grid, affine_diagonal
from sciml.backends.kernels.numba import grid_cg, smoothers, stencil
from sciml.backends.threads import parallel, use_threads

from ..preconditioners.grid_systems import SINGULAR, SYSTEMS

ALL = {**SYSTEMS, **SINGULAR}


def padded(grid, values, dtype=np.float64):
    x = np.zeros(grid.padded, dtype)
    x[: grid.cells] = values.ravel()
    return x


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


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_cg_updates(name, threads):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    n = grid.cells
    z, p, x, r = (system.rhs(seed).ravel() for seed in range(4))
    Z, P, X, R = padded(grid, z, np.float32), padded(grid, p), padded(grid, x), padded(grid, r)
    s, sums = grid.stencil(np.float64), np.zeros(grid.shape[0])
    with use_threads(threads):
        for phase in (1, 2):
            parallel(grid_cg.direction, grid.shape[0], phase, Z, 0.5, 0.25, P, s, sums)
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


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", [n for n in ALL if Grid.from_operator(ALL[n]()).two_colourable])
def test_red_black_sweeps(name, threads):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    b = system.rhs(0).ravel()
    scale, omega, n = 0.5, 1.2, grid.cells
    unknown, colour = system.unknown.ravel(), colour_of(grid)
    red, black = np.flatnonzero(unknown & (colour == 0)), np.flatnonzero(unknown & (colour == 1))
    s = grid.stencil(np.float64)
    comb = np.zeros(grid.shape[2] + 2)
    comb[::2] = omega
    empty = np.zeros(0, np.int64)
    start = np.zeros(grid.shape[0] * grid.shape[1] + 1, np.int64)
    blocks = ((1, 1, 1), grid.shape, start, empty, empty, empty)
    e = np.random.default_rng(0).standard_normal(n)
    dots = np.zeros(grid.shape[0])

    def run(x, kind, first):
        with use_threads(threads):
            for phase in (1, 2, 3) if kind == smoothers.PROLONG else (1, 2):
                parallel(
                    smoothers.sweep,
                    grid.shape[0],
                    phase,
                    kind,
                    first,
                    x,
                    b,
                    scale,
                    s,
                    comb,
                    blocks,
                    e,
                    None,
                    dots,
                )
        return x[:n]

    x = np.full(grid.padded, 7.0)
    x[n:] = 0
    expected = half_sweep(A, half_sweep(A, np.zeros(n), scale * b, red, omega), scale * b, black, omega)
    np.testing.assert_allclose(run(x, smoothers.ZERO, 0), expected, rtol=1e-12, atol=1e-12)
    expected = half_sweep(A, half_sweep(A, expected, scale * b, red, omega), scale * b, black, omega)
    np.testing.assert_allclose(run(x, smoothers.PLAIN, 0), expected, rtol=1e-12, atol=1e-12)
    expected = expected + np.where(unknown, e, 0.0)
    expected = half_sweep(A, half_sweep(A, expected, scale * b, black, omega), scale * b, red, omega)
    np.testing.assert_allclose(run(x, smoothers.PROLONG, 1), expected, rtol=1e-12, atol=1e-12)
    assert dots.sum() == pytest.approx(expected @ b, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("name", ["odd-periodic2d", "porous3d", "faces3d"])
def test_chebyshev_step(name):
    system = ALL[name]()
    grid, A = Grid.from_operator(system), system.tocsr()
    n, unknown = grid.cells, system.unknown.ravel()
    x, d, b = (system.rhs(seed).ravel() for seed in range(3))
    X, Y, D = padded(grid, x), np.zeros(grid.padded), padded(grid, d)
    parallel(smoothers.chebyshev_step, grid.shape[0], X, Y, D, 0.3, 0.7, b, 2.0, grid.stencil(np.float64))
    diagonal = np.where(unknown, A.diagonal(), 1.0)
    d = 0.3 * d + 0.7 * (2.0 * b - A @ x) / diagonal
    np.testing.assert_allclose(D[:n], d, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(Y[:n], x + d, rtol=1e-12, atol=1e-12)


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
