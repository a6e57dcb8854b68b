"""Parameters of multigrid: checked once, one value or one per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .aggregation import all_coarsened, block_factors

__all__ = ["CUT_UP", "MAX_LEVELS", "Parameters", "PerLevel"]

MAX_LEVELS = 30

STRENGTH, STRENGTH_UNEVEN = 0.005, 0.05
"""Where all neighbours are coupled alike; where coefficients vary or some axes are coupled weakly."""

LEAST_SCALING = 0.55
"""Of the Galerkin operators below levels that a W-cycle visits twice."""

CUT_UP = 0.02
"""Share of unknowns beyond the first in their block from which on the prolongation of level 2 is smoothed."""


class PerLevel:
    """A parameter per level: a scalar, or a sequence whose last entry repeats."""

    def __init__(self, name: str, value: Any, kind: type):
        several = isinstance(value, Sequence | np.ndarray)
        self.values = [kind(v) for v in value] if several else [kind(value)]
        if not self.values:
            raise ValueError(f"{name} is empty; expected a number or one number per level")

    def __call__(self, level: int) -> Any:
        return self.values[min(level, len(self.values) - 1)]


class Parameters:
    """What `Multigrid` takes beside the operator; the serial and the divided hierarchy are made with it."""

    def _set_parameters(self, parameters: dict[str, Any]) -> None:
        """Check and keep what `__init__` takes beside the operator."""
        self.parameters = parameters
        omega, sweeps, cycle = (parameters[name] for name in ("omega", "sweeps", "cycle"))
        coarse_scaling, smooth_from = parameters["coarse_scaling"], parameters["smooth_from"]
        smoother, split = parameters["smoother"], parameters["split"]
        interpolation, coarsest_size = parameters["interpolation"], parameters["coarsest_size"]
        if cycle not in ("V", "W"):
            raise ValueError(f"cycle={cycle!r}; expected 'V' or 'W'")
        if smoother not in ("red-black", "chebyshev"):
            raise ValueError(f"smoother={smoother!r}; expected 'red-black' or 'chebyshev'")
        if interpolation != "constant":
            raise ValueError(f"interpolation={interpolation!r}; expected 'constant'")
        self.cycle = cycle
        self.split = bool(split)
        if isinstance(smooth_from, str) and smooth_from != "auto":
            raise ValueError(f"smooth_from={smooth_from!r}; expected a level, 'auto' or None")
        self.smooth_from = smooth_from if split else None
        self.coarsest_size = int(coarsest_size)
        self._sweeps = PerLevel("sweeps", sweeps, int)
        self._omega = PerLevel("omega", (1.1, 1.3) if omega is None else omega, float)
        self._coarse_scaling = PerLevel("coarse_scaling", coarse_scaling, float)
        self._damping = PerLevel("damping", parameters["damping"], float)
        for level in range(MAX_LEVELS):
            if not 0 < self._damping(level) < 2:
                raise ValueError(f"damping={self._damping(level)}; expected 0 < damping < 2")
            if not 0 < self._omega(level) < 2:
                raise ValueError(f"omega={self._omega(level)} on level {level}; expected 0 < omega < 2")
            if self._sweeps(level) < 1:
                raise ValueError(f"sweeps={self._sweeps(level)} on level {level}; expected at least 1")
            if not self._coarse_scaling(level) > 0:
                raise ValueError(f"coarse_scaling={self._coarse_scaling(level)}; expected a positive number")
        if cycle == "W":
            # Two visits with a cycle B are 2 B - B A B, positive definite if no eigenvalue of B A reaches 2.
            # With a Galerkin operator scaled by s below, none exceeds 1 / s.
            scalings = [self._coarse_scaling(level) for level in range(MAX_LEVELS)]
            scalings[2:] = [max(s, LEAST_SCALING) for s in scalings[2:]]
            self._coarse_scaling = PerLevel("coarse_scaling", scalings, float)
        strength = parameters["strength"]
        if strength is not None and not 0 <= strength < 1:
            raise ValueError(f"strength={strength!r}; expected 0 <= strength < 1")

    def _fit(self, isotropic: bool, variable: bool) -> None:
        """Choose what was left open, by whether every axis is coarsened and whether coefficients vary."""
        strength = self.parameters["strength"]
        if strength is None:
            strength = STRENGTH if isotropic and not variable else STRENGTH_UNEVEN
        self.strength = float(strength)
        self._auto = self.smooth_from == "auto" and not variable
        self._smooth_from = 2 if isinstance(self.smooth_from, str) else self.smooth_from

    def _coarser(self, depth: int, shape: Any, weights: Any) -> tuple[tuple[int, ...], float]:
        """Factors by which blocks of level `depth` are joined, and the damping of the step that smooths
        interpolation; 0 leaves it constant.

        Over-correction only makes up for constant interpolation where every axis is coarsened; elsewhere it
        is smoothed. Along one axis, blocks of two would then couple to ever more neighbours from level to
        level; those of four keep two.
        """
        factors = block_factors(shape, weights)
        if self._smooth_from is None or max(factors) == 1:
            return factors, 0.0
        damping = self._damping(max(0, depth - self._smooth_from))
        if not all_coarsened(factors, shape):
            return tuple(f**2 for f in factors), damping
        return factors, damping if depth >= self._smooth_from else 0.0
