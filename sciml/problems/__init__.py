"""Ready-made systems: Poisson problems with obstacles, heat steps, anisotropy, jumping coefficients."""

from .geometry import GEOMETRIES, obstacle_mask
from .manufactured import Manufactured
from .poisson import anisotropic, heat, jump_coefficient, open_top, poisson
from .problem import Grid, Problem

__all__ = [
    "GEOMETRIES",
    "Grid",
    "Manufactured",
    "Problem",
    "anisotropic",
    "heat",
    "jump_coefficient",
    "obstacle_mask",
    "open_top",
    "poisson",
]
