"""Components with trained parameters. torch lives here, and is loaded only by the parts that need it."""

from __future__ import annotations

from ..weights import KINDS, WeightFile, load_weights, save_weights, shipped, shipped_names
from .base import load
from .training import History, TrainingWarning, fit

__all__ = [
    "KINDS",
    "History",
    "TrainingWarning",
    "WeightFile",
    "fit",
    "load",
    "load_weights",
    "save_weights",
    "shipped",
    "shipped_names",
]
