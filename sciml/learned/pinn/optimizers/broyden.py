"""Self-scaled quasi-Newton methods with a dense inverse Hessian, for up to a few thousand parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dsymv, dsyr
from scipy.optimize import line_search

from ..objective import Objective

__all__ = ["SelfScaledBFGS", "SelfScaledBroyden"]


class _SelfScaled:
    """What both updates share: a strong-Wolfe line search along ``−H g``, and the family of updates.

    ``H ← (H − H y yᵀ H / yᵀH y + φ v vᵀ) / τ + s sᵀ / yᵀs`` with the step `s`, the change `y` of the gradient
    and ``v = (yᵀH y)^½ (s / yᵀs − H y / yᵀH y)``; `_factors` gives τ and φ.
    """

    name: str
    steps, points, resample = 3000, 8000, 500

    def __init__(self) -> None:
        self._inverse: np.ndarray | None = None
        self._known: tuple[np.ndarray, float, np.ndarray] | None = None

    def _factors(self, b: float, h: float, n: int) -> tuple[float, float]:
        """τ and φ from ``b = sᵀB s / yᵀs``, ``h = yᵀH y / yᵀs`` and the number of parameters."""
        raise NotImplementedError

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        seen: dict[bytes, tuple[float, np.ndarray]] = {}

        def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
            key = theta.tobytes()
            if key not in seen:
                objective.move(torch.from_numpy(theta))
                loss, gradient = objective.gradient()
                seen[key] = loss, gradient.numpy()
            return seen[key]

        theta = objective.theta.numpy().copy()
        if self._known is not None and np.array_equal(self._known[0], theta):
            seen[theta.tobytes()] = self._known[1:]
        loss, gradient = evaluate(theta)
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            return {"loss": math.nan}
        for _ in range(2):
            direction = -self._times(gradient)
            alpha = self._search(evaluate, theta, direction, loss, gradient)
            if alpha is not None:
                break
            self._inverse = None  # what was learned of the curvature misleads: start again from the gradient
        else:
            objective.move(torch.from_numpy(theta))
            return {"loss": loss}
        new = theta + alpha * direction
        found, new_gradient = evaluate(new)
        objective.move(torch.from_numpy(new))
        self._update(new - theta, new_gradient - gradient, alpha, gradient)
        self._known = new, found, new_gradient
        return {"loss": found, "rate": alpha}

    def _search(
        self, evaluate: Any, theta: np.ndarray, direction: np.ndarray, loss: float, gradient: np.ndarray
    ) -> float | None:
        """Length of the step, or None."""
        if gradient @ direction >= 0.0:
            return None
        # Without curvature the gradient's length is no guide to that of a step.
        unit = 1.0 if self._inverse is not None else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
            warnings.simplefilter("ignore")  # a search that fails says so by None
            alpha = line_search(
                lambda t: evaluate(t)[0],
                lambda t: evaluate(t)[1],
                theta,
                unit * direction,
                gradient,
                loss,
                maxiter=20,
            )[0]
        return None if alpha is None or not np.isfinite(alpha) else float(alpha) * unit

    def _times(self, gradient: np.ndarray) -> np.ndarray:
        return gradient if self._inverse is None else dsymv(1.0, self._inverse, gradient)

    def _update(self, s: np.ndarray, y: np.ndarray, alpha: float, gradient: np.ndarray) -> None:
        rho = float(y @ s)
        if not rho > 0.0:
            return
        if self._inverse is None:
            self._inverse = np.asfortranarray(np.eye(len(s)) * rho / float(y @ y))
            bss = float(s @ s) * float(y @ y) / rho
        else:
            bss = -alpha * float(s @ gradient)
        H = self._inverse
        hy = dsymv(1.0, H, y)
        yhy = float(y @ hy)
        tau, phi = self._factors(bss / rho, yhy / rho, len(s))
        if not (yhy > 0.0 and math.isfinite(phi) and tau > 0.0):
            return
        v = math.sqrt(yhy) * (s / rho - hy / yhy)
        H /= tau
        for factor, vector in ((-1.0 / (tau * yhy), hy), (phi / tau, v), (1.0 / rho, s)):
            H = dsyr(factor, vector, a=H, overwrite_a=True)
        self._inverse = H

    def resampled(self) -> None:
        """The curvature learned so far stays; values do not."""
        self._known = None

    def settings(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"inverse": self._inverse}

    def load(self, state: dict[str, Any]) -> None:
        inverse = state["inverse"]
        self._inverse, self._known = None if inverse is None else np.asfortranarray(inverse), None


class SelfScaledBFGS(_SelfScaled):
    """BFGS whose matrix is scaled before every update.

    References
    ----------
    Urbán, Stefanou and Pons, "Unveiling the optimization process of physics informed neural networks: how
    accurate and competitive can PINNs be?", J. Comput. Phys. 523 (2025) 113656.
    """

    name = "ssbfgs"

    def _factors(self, b: float, h: float, n: int) -> tuple[float, float]:
        return min(1.0, 1.0 / b), 1.0


class SelfScaledBroyden(_SelfScaled):
    """The self-scaled Broyden method: every step chooses the member of Broyden's family and its scaling.

    References
    ----------
    As `SelfScaledBFGS`.
    """

    name = "ssbroyden"

    def _factors(self, b: float, h: float, n: int) -> tuple[float, float]:
        a = max(h * b - 1.0, 1e-12)  # zero or more by the Cauchy–Schwarz inequality
        c = math.sqrt(a / (a + 1.0))
        smaller = min(1.0, h * (1.0 - c))
        theta = max((smaller - 1.0) / a, min(1.0 / smaller, (1.0 - b) / b))
        sigma = 1.0 + a * theta
        size = sigma ** (-1.0 / (n - 1)) if n > 1 and sigma > 0 else 1.0
        first = min(1.0, 1.0 / b)
        tau = first * min(size, 1.0 / theta) if theta > 0 else min(first * size, sigma)
        return tau, (1.0 - theta) / sigma
