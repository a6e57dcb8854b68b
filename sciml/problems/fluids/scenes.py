"""Ready-made smoke scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...operators.geometry_checks import check_shape
from .bodies import Body, ball, box
from .smoke import SmokeSimulation

__all__ = ["smoke_plume"]


def smoke_plume(shape: Sequence[int], *, seed: int = 0, **settings: Any) -> SmokeSimulation:
    """Smoke that rises from a hot spot past a ball that swings through it and a paddle that turns above.

    The box is 1 wide, has cubic cells and is open at its top. In the plane make it about twice as tall as
    wide, in space about as tall as wide.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, two or three.
    seed : int
        Of the small roughness of the source, without which the plume would start symmetric.
    **settings
        Of `SmokeSimulation`, instead of this scene's: ``solver``, ``preconditioner``, ``rtol``, ``dt``, ...

    Examples
    --------
    >>> from sciml.preconditioners.multigrid import Multigrid
    >>> from sciml.problems.fluids import smoke_plume
    >>> model = smoke_plume((24, 48), preconditioner=Multigrid)
    >>> state = model.step(model.initial(), 0.0)
    >>> state.projected.result.solver
    'cg + Multigrid'
    """
    shape = check_shape(shape)
    ndim, h = len(shape), 1.0 / shape[0]
    height = shape[-1] * h
    middle = [n * h / 2 for n in shape[1:-1]]
    radius = 0.1 if ndim == 2 else 0.13

    swinging = Body(ball(radius), position=lambda t: (0.5 + 0.22 * math.sin(2.0 * t), *middle, 0.4 * height))
    half_sides = (0.2, 0.025) if ndim == 2 else (0.2, 0.2, max(0.03, h))
    turning = Body(
        box(*half_sides), position=lambda t: (0.5, *middle, 0.72 * height), angle=lambda t: 0.5 + 1.5 * t
    )
    x = [(np.arange(n) + 0.5) * h for n in shape]
    mesh = np.meshgrid(*x, indexing="ij", sparse=True)
    offsets = [xa - ca for xa, ca in zip(mesh, (0.5, *middle, 0.12), strict=True)]
    inside = np.broadcast_to(ball(0.07 if ndim == 2 else 0.1)(offsets), shape)
    roughness = np.random.default_rng([seed, 0x5E0]).uniform(0.8, 1.0, size=shape)
    defaults: dict[str, Any] = {
        "spacing": h, "bodies": (swinging, turning), "source": np.where(inside, roughness, 0.0),
        "buoyancy": 3.0, "dt": 0.01 if ndim == 2 else 0.02,
    }  # fmt: skip
    return SmokeSimulation(shape, **{**defaults, **settings})
