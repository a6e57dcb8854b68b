"""Recurrent inference machines: learned solvers of linear inverse problems, such as accelerated MRI."""

from __future__ import annotations

from .cells import CELLS
from .loss import step_weights
from .solver import CIRIM, RIM
from .ssdu import split_mask
from .train import Sample, train_rim

__all__ = ["CELLS", "CIRIM", "RIM", "Sample", "split_mask", "step_weights", "train_rim"]
