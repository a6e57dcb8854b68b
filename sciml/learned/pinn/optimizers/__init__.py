"""Optimisers of fields, first and second order, behind one protocol."""

from __future__ import annotations

from typing import Any

from .adam import Adam
from .base import Optimizer
from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["OPTIMIZERS", "Adam", "LevenbergMarquardt", "Optimizer"]

OPTIMIZERS: dict[str, Any] = {kind.name: kind for kind in (Adam, LevenbergMarquardt)}
"""Name -> class."""
