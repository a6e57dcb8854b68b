"""Ready-made systems: Poisson problems with obstacles, heat steps, anisotropy, jumps; inclusions."""

from .coefficients import anisotropic, jump_coefficient
from .geometry import GEOMETRIES, obstacle_mask
from .manufactured import Manufactured
from .poisson import heat, open_top, poisson
from .problem import Grid, Problem
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
    "GEOMETRIES",
    "Grid",
    "Manufactured",
    "Problem",
    "ShiftedSolve",
    "VariationalProblem",
    "anisotropic",
    "bounded_least_squares",
    "heat",
    "jump_coefficient",
    "membrane_over_ball",
    "obstacle_mask",
    "obstacle_sum",
    "open_top",
    "ouyang_xu_qp",
    "poisson",
    "policeman_and_burglar",
    "refine",
]
