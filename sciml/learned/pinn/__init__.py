"""Physics-informed networks: fields trained to satisfy a PDE, where grids cannot go."""

from __future__ import annotations

from .domain import Ball, Box, Domain
from .samplers import SAMPLERS

__all__ = ["SAMPLERS", "Ball", "Box", "Domain"]
