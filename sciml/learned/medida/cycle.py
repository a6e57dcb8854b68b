"""A local ensemble filter cycled through all snapshots: better starts for the windows of a discovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .correct import corrected
from .filters import LETKF, assimilate
from .library import Library
from .snapshots import Snapshots

__all__ = ["filtered_pairs"]


def filtered_pairs(
    model: Any,
    library: Library,
    coefficients: np.ndarray,
    observations: Snapshots,
    noise_std: float,
    members: int,
    inflation: float,
    half_width: float | None,
    seed: int,
) -> tuple[np.ndarray, Callable[[Any], np.ndarray]]:
    """Analyses at the start of each pair, and their error variance per coordinate.

    An analysis there has seen all earlier snapshots and the one at its own time, but never the later snapshot
    of its pair, whose noise is therefore independent of it.

    Returns
    -------
    before : ndarray, shape (n, *space)
    variance : callable
        ``variance(modes)``, from the differences of observations and analyses.
    """
    assert observations.times is not None
    used = np.flatnonzero(coefficients)
    best = corrected(model, [library.terms[j] for j in used], coefficients[used])
    width = min(model.grid.lengths) / 8.0 if half_width is None else half_width
    gaps = np.diff(observations.times) - observations.window
    counts = np.rint(gaps / model.dt).astype(int)
    if np.any(np.abs(counts * model.dt - gaps) > 1e-6 * np.maximum(gaps, model.dt)) or np.any(counts < 0):
        raise ValueError(
            "times do not fit the window and dt; expected pairs that do not overlap, whole steps apart"
        )
    window = round(observations.window / model.dt)
    # Observations in time order: the start of a pair, its end, the start of the next.
    fields = np.stack([observations.current, observations.after], axis=1).reshape(-1, *observations.space)
    steps = np.full(len(fields), window)
    steps[0], steps[2::2] = 0, counts
    rng = np.random.default_rng(seed)
    first = observations.current[0] + noise_std * rng.standard_normal((members, *observations.space))
    method = LETKF(model.grid, width, inflation)
    means, _ = assimilate(best, first, fields, steps, noise_std=noise_std, method=method, rng=rng)
    before, residual = means[0::2], observations.current - means[0::2]

    def variance(modes: Any) -> np.ndarray:
        """Of the analyses: for an optimal filter ``E (o − a)² = R − A``, so ``A = R − E (o − a)²``."""
        spread = np.mean(modes.coordinates(residual) ** 2, axis=0)
        return np.clip(noise_std**2 - spread, 0.02 * noise_std**2, noise_std**2)

    return before, variance
