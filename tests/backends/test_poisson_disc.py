"""The Poisson-disc kernel: no two kept cells too close, nothing left to add, forbidden cells stay empty."""

from __future__ import annotations

import numpy as np

from sciml.backends.kernels.numba.poisson_disc import poisson_disc


def test_discs_are_maximal(rng):
    spacing = np.full((20, 24), 3.0)
    spacing[:, :4] = -1.0
    kept = poisson_disc(rng.permutation(480), spacing)
    points = np.argwhere(kept)
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    assert distances[distances > 0].min() >= 3.0
    assert not kept[:, :4].any()
    y, x = np.nonzero(~kept & (spacing > 0))
    nearest = np.min(np.hypot(y[:, None] - points[:, 0], x[:, None] - points[:, 1]), axis=1)
    assert nearest.max() < 3.0
