"""Physics-informed networks: fields trained to satisfy a PDE, where grids cannot go."""

from __future__ import annotations

from .domain import Ball, Box, Domain
from .field import Field
from .library import PROBLEMS
from .network import MLP
from .optimizers import OPTIMIZERS
from .problem import Condition, Problem, dirichlet, neumann
from .samplers import SAMPLERS
from .train import train_pinn

__all__ = [
    "MLP",
    "OPTIMIZERS",
    "PROBLEMS",
    "SAMPLERS",
    "Ball",
    "Box",
    "Condition",
    "Domain",
    "Field",
    "Problem",
    "dirichlet",
    "neumann",
    "train_pinn",
]
