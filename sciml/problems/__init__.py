"""Ready-made systems: Poisson problems, inclusions, and time steppers for chaotic models."""

from .burgers import burgers
from .coefficients import anisotropic, jump_coefficient
from .crank_nicolson import CrankNicolson
from .equation import SpectralEquation
from .forecast import BlowUpError, forecast, trajectory
from .geometry import GEOMETRIES, obstacle_mask
from .kolmogorov import kolmogorov, kolmogorov_forcing, velocity
from .kuramoto_sivashinsky import KS_CASES, KSCase, kuramoto_sivashinsky
from .lorenz import lorenz63, lorenz96
from .manufactured import Manufactured
from .poisson import heat, open_top, poisson
from .problem import Grid, Problem
from .spectral import Fields, FourierMultiplier, PeriodicGrid, random_phases
from .steppers import CNAB2, ETDRK4, RK4
from .variational import (
    ShiftedSolve,
    VariationalProblem,
    bounded_least_squares,
    membrane_over_ball,
    obstacle_sum,
    ouyang_xu_qp,
    policeman_and_burglar,
    refine,
)

__all__ = [
    "CNAB2",
    "ETDRK4",
    "GEOMETRIES",
    "KS_CASES",
    "RK4",
    "BlowUpError",
    "CrankNicolson",
    "Fields",
    "FourierMultiplier",
    "Grid",
    "KSCase",
    "Manufactured",
    "PeriodicGrid",
    "Problem",
    "ShiftedSolve",
    "SpectralEquation",
    "VariationalProblem",
    "anisotropic",
    "bounded_least_squares",
    "burgers",
    "forecast",
    "heat",
    "jump_coefficient",
    "kolmogorov",
    "kolmogorov_forcing",
    "kuramoto_sivashinsky",
    "lorenz63",
    "lorenz96",
    "membrane_over_ball",
    "obstacle_mask",
    "obstacle_sum",
    "open_top",
    "ouyang_xu_qp",
    "poisson",
    "policeman_and_burglar",
    "random_phases",
    "refine",
    "trajectory",
    "velocity",
]
