"""Checks of the arguments of a discovery, before any work starts, and of the data against the model."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ...problems.spectral import PeriodicGrid
from .library import Library
from .rvm import RVM
from .snapshots import DiscoveryWarning, Snapshots

__all__ = [
    "check_amount",
    "check_options",
    "noise_level",
    "tendency_size",
    "warn_about_forecasts",
]

BAD_FORECAST = 30.0
"""Times worse than persistence; stiff terms that a model has in excess reach ten."""

METHODS = ("auto", "response", "direct", "shooting")


def check_options(
    method: str, selection: Any, assimilation: Any, margin: float, floor: float, passes: int, members: int
) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if not isinstance(selection, RVM) and selection not in (None, "evidence", "rvm", "tipping-faul"):
        raise ValueError(f"selection is {selection!r}; expected 'evidence', 'rvm', 'tipping-faul' or an RVM")
    if assimilation not in (None, "enkf", "letkf"):
        raise ValueError(f"assimilation is {assimilation!r}; expected None, 'enkf' or 'letkf'")
    for name, value in (("margin", margin), ("floor", floor)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}; expected a number >= 0")
    for name, count, least in (("passes", passes, 1), ("members", members, 2)):
        if count < least:
            raise ValueError(f"{name} is {count!r}; expected at least {least}")


def check_amount(observations: Snapshots, library: Library, std: float, grid: PeriodicGrid | None) -> None:
    rows = observations.after.size
    needed = 4 * len(library)
    if rows < needed:
        raise ValueError(
            f"{observations.n} pairs of {math.prod(observations.space)} values are too few for "
            f"{len(library)} candidate terms; expected at least "
            f"{math.ceil(needed / math.prod(observations.space))} pairs"
        )


def noise_level(noise: float | str | None, observations: Snapshots, grid: PeriodicGrid | None) -> float:
    if noise is None or noise == "estimate":
        if grid is None:
            raise ValueError(
                "noise is not given; expected the standard deviation of the observation noise (0: exact)"
            )
        std = _estimated_noise(grid, observations)
        if noise is None:
            warnings.warn(
                f"noise is not given; estimated as {std:.3g} from the highest wavenumbers. Pass noise= "
                "(0 for exact data, 'estimate' to accept this)",
                DiscoveryWarning,
                stacklevel=3,
            )
        return std
    if isinstance(noise, bool | str) or not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is {noise!r}; expected a standard deviation >= 0 or 'estimate'")
    return float(noise)


def _estimated_noise(grid: PeriodicGrid, observations: Snapshots) -> float:
    """Root mean square of the modes above two thirds of the largest wavenumber, per node value."""
    fields = np.concatenate([observations.current, observations.after])
    k = grid.magnitude()
    limit = min(np.abs(w).max() for w in grid.wavenumbers)
    high = (k > 2.0 / 3.0 * limit) & (k < limit * (1 - 1e-12))
    power = np.abs(grid.transform(fields)) ** 2 / math.prod(grid.shape)
    std = float(np.sqrt(np.median(power[:, high]) / math.log(2.0)))
    return std if std > 1e-9 * float(np.std(fields)) else 0.0


def tendency_size(tendency: np.ndarray, std: float, window: float) -> float:
    """Root mean square of the true tendency: that of the observed one without the noise."""
    square = float(np.mean(tendency**2))
    return math.sqrt(max(square - 2.0 * (std / window) ** 2, 1e-4 * square))


def warn_about_forecasts(error: np.ndarray, change_seen: np.ndarray, std: float) -> None:
    """A model that is this much worse than no model at all was probably given wrong data."""
    left, change, noise = float(np.mean(error**2)), float(np.mean(change_seen**2)), 2.0 * std**2
    if left > BAD_FORECAST**2 * max(change, noise):
        warnings.warn(
            f"forecasts are {math.sqrt(left / max(change, noise)):.3g} times worse than persistence; "
            "check the window, dt and units of the snapshots",
            DiscoveryWarning,
            stacklevel=3,
        )
