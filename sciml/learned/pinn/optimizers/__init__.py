"""Optimisers of fields, first and second order, behind one protocol."""

from __future__ import annotations

from typing import Any

from .adam import Adam
from .base import Optimizer
from .broyden import SelfScaledBFGS, SelfScaledBroyden
from .lbfgs import LBFGS
from .levenberg_marquardt import LevenbergMarquardt

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "Adam",
    "LevenbergMarquardt",
    "Optimizer",
    "SelfScaledBFGS",
    "SelfScaledBroyden",
]

OPTIMIZERS: dict[str, Any] = {
    kind.name: kind for kind in (Adam, LBFGS, LevenbergMarquardt, SelfScaledBFGS, SelfScaledBroyden)
}
"""Name -> class."""
