"""Levenberg–Marquardt with geodesic acceleration: all residuals at once, as far as a model is trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk
from torch import Tensor

from ..objective import Objective

__all__ = ["LevenbergMarquardt"]

_TRIES = 12
"""Dampings tried in one step."""

_LARGEST = 1e6
"""Damping beyond which a step means nothing."""

_PROBE = 0.1
"""Share of a step over which the curvature of the residuals along it is measured."""

_BEND = 0.75
"""Largest acceleration taken, as a share of the step: beyond, the linear model means little."""


class LevenbergMarquardt:
    """``(JᵀJ + λ D) δ = −Jᵀ r``, with λ chosen by how well the linear model predicts the loss.

    ``JᵀJ`` is the metric of the natural gradient in function space (Müller and Zeinhofer, ICML 2023), so this
    is energy natural gradient descent with a trust region. The acceleration corrects a step by the second
    derivative of the residuals along it: valleys of the loss are bent, and following the bend allows a
    damping smaller by orders of magnitude. With fewer residuals than parameters the system of residuals is
    solved instead (Woodbury).

    Parameters
    ----------
    damping : float
        First λ; `D` is the diagonal of ``JᵀJ`` plus its mean.
    smallest : float
        Least λ.
    acceleration : bool
        Whether steps are bent.

    Notes
    -----
    λ is quartered where the loss fell by more than half of what was predicted and doubled below a tenth.
    Where it grew, or the acceleration is longer than three eighths of the step, the step is not taken and λ
    is multiplied by four.

    References
    ----------
    Transtrum and Sethna, "Improvements to the Levenberg–Marquardt algorithm for nonlinear least-squares
    minimization", arXiv:1201.5885.
    """

    name = "lm"
    steps, points, resample = 200, 8000, 40

    def __init__(self, damping: float = 1e-2, smallest: float = 1e-16, *, acceleration: bool = True):
        for label, value in (("damping", damping), ("smallest", smallest)):
            if not value > 0:
                raise ValueError(f"{label} is {value!r}; expected a positive number")
        self.first, self.smallest = float(damping), float(smallest)
        self.acceleration, self.damping = bool(acceleration), self.first
        self._before: float | None = None

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        start, before = objective.theta.clone(), self.damping
        system = _System(objective)
        if not math.isfinite(system.loss) or not np.isfinite(system.matrix).all():
            return {"loss": math.nan}
        for _ in range(_TRIES):
            found, ratio = self._try(system, start)
            if ratio > 0.0:
                self._before = None
                if ratio > 0.5:
                    self.damping = max(self.damping / 4.0, self.smallest)
                elif ratio < 0.1:
                    self.damping *= 2.0
                return {"loss": found, "damping": self.damping}
            objective.move(start)
            self.damping *= 4.0
        # Either λ has further to go, in the next step, or rounding leaves nothing to gain on these points;
        # the next ones start where this step did.
        self._before = before if self._before is None else self._before
        self.damping = min(self.damping, _LARGEST)
        return {"loss": system.loss, "damping": self.damping}

    def _try(self, system: _System, start: Tensor) -> tuple[float, float]:
        """Take the step of the present damping; its loss, and the share of the predicted gain (0 if bad)."""
        objective, factor = system.objective, system.factor(self.damping)
        if factor is None:
            return math.nan, 0.0
        velocity = system.step(factor, None)
        step = velocity
        if self.acceleration:
            bend = self._bend(system, factor, start, torch.from_numpy(velocity))
            if not 2.0 * system.size(bend) <= _BEND * system.size(velocity):  # NaN must not pass
                return math.nan, 0.0
            step = velocity + bend
        objective.move(start + torch.from_numpy(step))
        found = objective.value()
        predicted = self.damping * system.size(velocity) ** 2 - float(system.gradient @ velocity)
        if not math.isfinite(found) or found >= system.loss or predicted <= 0.0:
            return found, 0.0
        return found, (system.loss - found) / predicted

    def _bend(self, system: _System, factor: Any, start: Tensor, velocity: Tensor) -> np.ndarray:
        """Half the acceleration along the valley: the step that undoes the curvature of the residuals."""
        objective = system.objective
        objective.move(start + _PROBE * velocity)
        ahead = objective.vector()
        objective.move(start - _PROBE * velocity)
        curvature = (ahead - 2.0 * system.r + objective.vector()) / _PROBE**2
        objective.move(start)
        return 0.5 * system.step(factor, curvature)

    def resampled(self) -> None:
        """The damping stays, except where it rose in vain: it says how far the network is linear."""
        if self._before is not None:
            self.damping, self._before = self._before, None

    def settings(self) -> dict[str, Any]:
        return {"damping": self.first, "smallest": self.smallest, "acceleration": self.acceleration}

    def state(self) -> dict[str, Any]:
        return {"damping": self.damping, "before": self._before}

    def load(self, state: dict[str, Any]) -> None:
        self.damping, self._before = float(state["damping"]), state["before"]


class _System:
    """One linearisation, in variables scaled by ``D^½``: there the damping is λ times the identity.

    `matrix` is ``JᵀJ`` (its upper triangle), or ``J Jᵀ`` where there are fewer residuals than parameters.
    """

    def __init__(self, objective: Objective):
        self.objective, self.rows = objective, None
        size = objective.net.size
        if objective.residuals < size:
            blocks = list(objective.jacobian())
            self.r = torch.cat([r for r, _ in blocks])
            rows = torch.cat([j for _, j in blocks]).numpy()
            self._set_scale(np.einsum("ij,ij->j", rows, rows))
            self.gradient = rows.T @ self.r.numpy()
            self.rows = rows * self.scale
            self.matrix = self.rows @ self.rows.T
        else:
            upper, self.gradient, parts = np.zeros((size, size), order="F"), np.zeros(size), []
            for r, block in objective.jacobian():
                # Rows in C order are columns in Fortran order: the transpose needs no copy.
                upper = dsyrk(1.0, block.numpy().T, beta=1.0, c=upper, overwrite_c=True)
                self.gradient += (block.T @ r).numpy()
                parts.append(r)
            self.r = torch.cat(parts)
            self._set_scale(upper.diagonal())
            upper *= self.scale
            upper *= self.scale[:, None]
            self.matrix = upper
        self.loss = float(self.r @ self.r)

    def _set_scale(self, diagonal: np.ndarray) -> None:
        total = diagonal + (diagonal.mean() or 1.0)
        self.scale = 1.0 / np.sqrt(total)

    def factor(self, damping: float) -> Any:
        """A factorisation for :meth:`step`; None where rounding spoils it."""
        damped = self.matrix.copy(order="F")
        damped[np.diag_indices(len(damped))] += damping
        try:
            return cho_factor(damped, lower=False, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return None

    def step(self, factor: Any, r: Tensor | None) -> np.ndarray:
        """``−(JᵀJ + λ D)⁻¹ Jᵀ r``; the residual itself by default. The objective must stand at the start."""
        if self.rows is not None:
            r = self.r if r is None else r
            return -self.scale * (self.rows.T @ cho_solve(factor, r.numpy(), check_finite=False))
        right = self.gradient if r is None else self.objective.pullback(r).numpy()
        return -self.scale * cho_solve(factor, self.scale * right, check_finite=False)

    def size(self, delta: np.ndarray) -> float:
        """Length of a step in the scaled variables."""
        return float(np.linalg.norm(delta / self.scale))
