"""One colour of the red-black sweep against the operator's own matrix."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.kernels.numba.half_sweep import half_sweep
from sciml.operators import PoissonOperator


@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 8)], ids=["2D", "3D"])
@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("variable", [False, True], ids=["constant", "variable"])
def test_relaxes_one_colour_and_nothing_else(shape, colour, variable, rng):
    solid = rng.uniform(size=shape) < 0.2
    k = np.exp(rng.standard_normal(shape)) if variable else None
    A = PoissonOperator(shape, cells=solid, coefficient=k)
    grid, omega = A.kernel_grid, 1.3
    inside = A.fluid.reshape(-1)
    x, b = (np.where(inside, rng.standard_normal(inside.size), 0.0) for _ in range(2))
    padded = np.concatenate([x, np.zeros(grid.shape[2])])
    comb = np.zeros(grid.shape[2] + 2)
    comb[::2] = omega
    half_sweep(0, grid.shape[0], colour, padded, b, grid.stencil(np.float64), comb)
    relaxed = inside & ((np.indices(shape).sum(axis=0) + colour) % 2 == 0).reshape(-1)
    expected = x + np.where(relaxed, omega * (b - A.tocsr() @ x) / A.diagonal(), 0.0)
    np.testing.assert_allclose(padded[: x.size], expected, rtol=1e-12, atol=1e-12)
    assert not padded[x.size :].any()
