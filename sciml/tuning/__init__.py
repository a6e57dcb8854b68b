"""Policies that choose a solver's parameters online, across a sequence of related systems."""

from .chebcb import ChebCB, bounded_least_squares, chebyshev_features
from .gaussian_process import GaussianProcessCB
from .policy import Policy, omega_grid
from .tsallis import BinnedTsallisINF, TsallisINF, tsallis_weights
from .young import jacobi_radius, observed_rate, sor_rate, young_omega

__all__ = [
    "BinnedTsallisINF", "ChebCB", "GaussianProcessCB", "Policy", "TsallisINF", "bounded_least_squares", "chebyshev_features",
    "jacobi_radius", "observed_rate", "omega_grid", "sor_rate", "tsallis_weights", "young_omega",
]  # fmt: skip
