"""Training on a user's own geometries and machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...io import load_array
from ...problems import Problem, poisson
from .cost import Rates, calibrate

__all__ = ["own_problems", "rates_of_this_machine"]


def own_problems(masks: Sequence[Path]) -> list[tuple[str, Problem]]:
    """Problems from ``.npy`` masks, True in solid cells; the name of each is that of its file.

    Raises
    ------
    FileNotFoundError, ValueError
        For a file that is missing or not a boolean array of two or three axes.
    """
    out = []
    for path in masks:
        solid = load_array(path)
        if solid.dtype != bool or solid.ndim not in (2, 3):
            raise ValueError(
                f"{path}: holds {solid.dtype} of shape {solid.shape}; "
                "expected bool with two or three axes, True in solid cells"
            )
        out.append((path.stem, poisson(solid.shape, bc="open-top", obstacles=_filled(solid))))
    return out


def _filled(solid: np.ndarray) -> np.ndarray:
    """`solid` with the fluid filled that no open side reaches."""
    problem = poisson(solid.shape, bc="open-top", obstacles=solid)
    if problem.A.singular is None:
        return solid
    return solid | (problem.A.singular.labels.reshape(solid.shape) > 0)


def rates_of_this_machine(problems: Sequence[Problem]) -> tuple[Rates, float]:
    """`Rates` fitted on a few of the problems, and the median relative error of the model."""
    few = [problems[i] for i in np.unique(np.linspace(0, len(problems) - 1, 8).astype(int))]
    settings = [
        {"smooth_from": smooth, "sweeps": sweeps}
        for smooth in (1, 2, None)
        for sweeps in ((1, 1, 1, 2), (2, 2, 2, 4), (3, 2, 2, 4))
    ]
    calibrate(few[:1], settings[:1])  # loads the kernels
    return calibrate(few, settings)
