"""Levenberg–Marquardt: Gauss–Newton on all residuals at once, as far as its model can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from ..objective import Objective

__all__ = ["LevenbergMarquardt"]

_TRIES = 12
"""Dampings tried in one step."""


class LevenbergMarquardt:
    """``(JᵀJ + λ I) δ = −Jᵀ r`` with the damping λ chosen by how well the linear model predicted the loss.

    The Gauss–Newton matrix of the residual *is* the metric of the natural gradient in function space (Müller
    and Zeinhofer, ICML 2023), so this is energy natural gradient descent with a trust region. With fewer
    residuals than parameters the system of residuals is solved instead (Woodbury), at the same result.

    Parameters
    ----------
    damping : float
        First λ, relative to the mean diagonal entry of ``JᵀJ``.
    smallest : float
        Least λ on that scale; below the rounding of the matrix a smaller one means nothing.

    Notes
    -----
    λ is quartered where the loss fell by more than half of what was predicted, doubled below a tenth, and
    multiplied by five where it grew; such a step is not taken.
    """

    name = "lm"
    steps, points, resample = 200, 8000, 40

    def __init__(self, damping: float = 1e-2, smallest: float = 1e-15):
        for label, value in (("damping", damping), ("smallest", smallest)):
            if not value > 0:
                raise ValueError(f"{label} is {value!r}; expected a positive number")
        self.first, self.smallest = float(damping), float(smallest)
        self.damping = self.first

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        start = objective.theta.clone()
        system = _System.of(objective)
        if not math.isfinite(system.loss) or not np.isfinite(system.matrix).all():
            return {"loss": math.nan}
        loss = system.loss
        for _ in range(_TRIES):
            delta = system.solve(self.damping)
            if delta is None:
                self.damping *= 5.0
                continue
            predicted = system.reduction(delta)
            objective.move(start + torch.from_numpy(delta))
            found = objective.value()
            ratio = (loss - found) / predicted if predicted > 0 else -1.0
            if math.isfinite(found) and ratio > 0:
                if ratio > 0.5:
                    self.damping = max(self.damping / 4.0, self.smallest)
                elif ratio < 0.1:
                    self.damping *= 2.0
                return {"loss": found, "damping": self.damping, "gain": ratio}
            self.damping *= 5.0
        objective.move(start)
        self.damping = min(self.damping, 1e3)
        return {"loss": loss, "damping": self.damping, "gain": 0.0}

    def resampled(self) -> None:
        """The damping stays: it says how far the network is linear in its parameters."""

    def settings(self) -> dict[str, Any]:
        return {"damping": self.first, "smallest": self.smallest}

    def state(self) -> dict[str, Any]:
        return {"damping": self.damping}

    def load(self, state: dict[str, Any]) -> None:
        self.damping = float(state["damping"])


class _System:
    """The normal equations of one linearisation: of the parameters, or of the residuals where these are fewer."""

    def __init__(
        self, matrix: np.ndarray, gradient: np.ndarray, loss: float, J: np.ndarray | None, r: np.ndarray
    ):
        self.matrix, self.gradient, self.loss, self.J, self.r = matrix, gradient, loss, J, r
        # The matrices JᵀJ and JJᵀ have the same trace.
        self.scale = float(np.trace(matrix)) / len(gradient) or 1.0

    @classmethod
    def of(cls, objective: Objective) -> _System:
        size, loss = objective.net.size, 0.0
        gradient = np.zeros(size)
        if objective.residuals < size:
            blocks = list(objective.jacobian())
            r = torch.cat([b[0] for b in blocks]).numpy()
            J = torch.cat([b[1] for b in blocks]).numpy()
            return cls(J @ J.T, J.T @ r, float(r @ r), J, r)
        upper = np.zeros((size, size), order="F")
        for r, J in objective.jacobian():
            # Rows in C order are columns in Fortran order: the transpose needs no copy.
            upper = dsyrk(1.0, J.numpy().T, beta=1.0, c=upper, overwrite_c=True)
            gradient += (J.T @ r).numpy()
            loss += float(r @ r)
        return cls(upper, gradient, loss, None, np.zeros(0))

    def solve(self, damping: float) -> np.ndarray | None:
        """The step for a damping relative to `scale`; None where rounding spoils the factorisation."""
        damped = self.matrix.copy(order="F")
        damped[np.diag_indices(len(damped))] += damping * self.scale
        try:
            factor = cho_factor(damped, lower=False, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return None
        if self.J is None:
            return -cho_solve(factor, self.gradient, check_finite=False)
        return -self.J.T @ cho_solve(factor, self.r, check_finite=False)

    def reduction(self, delta: np.ndarray) -> float:
        """By how much the linear model lowers the loss."""
        linear = -2.0 * float(self.gradient @ delta)
        if self.J is not None:
            image = self.J @ delta
            return linear - float(image @ image)
        # Only the upper triangle is there.
        product = np.triu(self.matrix, 1)
        image = product @ delta + delta @ product + self.matrix.diagonal() * delta
        return linear - float(delta @ image)
