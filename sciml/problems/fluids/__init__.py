"""Incompressible flow on a MAC grid: advection, moving obstacles, the pressure projection, smoke."""

from .advection import SCHEMES, advect, advect_velocity
from .bodies import Body, ball, box
from .mac import MacGrid
from .projection import PressureProjection, Projected
from .scenes import smoke_plume
from .smoke import Smoke, SmokeSimulation

__all__ = [
    "SCHEMES",
    "Body",
    "MacGrid",
    "PressureProjection",
    "Projected",
    "Smoke",
    "SmokeSimulation",
    "advect",
    "advect_velocity",
    "ball",
    "box",
    "smoke_plume",
]
