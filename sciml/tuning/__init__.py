"""Policies that choose a solver's parameters online, across a sequence of related systems."""

from .baselines import BestFixed, Fixed, Oracle
from .chebcb import ChebCB, bounded_least_squares, chebyshev_features
from .gaussian_process import GaussianProcessCB
from .hageman_young import adaptive_sor
from .policy import Policy, omega_grid
from .tsallis import BinnedTsallisINF, TsallisINF, tsallis_weights
from .tuned import TunedSolver, tuned
from .young import jacobi_radius, observed_rate, sor_rate, young_omega

__all__ = [
    "BestFixed",
    "BinnedTsallisINF",
    "ChebCB",
    "Fixed",
    "GaussianProcessCB",
    "Oracle",
    "Policy",
    "TsallisINF",
    "TunedSolver",
    "adaptive_sor",
    "bounded_least_squares",
    "chebyshev_features",
    "jacobi_radius",
    "observed_rate",
    "omega_grid",
    "sor_rate",
    "tsallis_weights",
    "tuned",
    "young_omega",
]
