"""Densities on boxes that samplers learn, and the exact maximiser they are judged by."""

from __future__ import annotations

from .base import Density
from .fitting import cross_entropy, exact_maximiser, fit_density, penalised_mean
from .knothe_rosenblatt import KnotheRosenblatt
from .krnet import KRNet

__all__ = [
    "DENSITIES",
    "Density",
    "KRNet",
    "KnotheRosenblatt",
    "cross_entropy",
    "exact_maximiser",
    "fit_density",
    "penalised_mean",
]

DENSITIES = {"knothe-rosenblatt": KnotheRosenblatt, "krnet": KRNet}
"""Name -> class, constructed as ``class(lower, upper, **settings)``."""
