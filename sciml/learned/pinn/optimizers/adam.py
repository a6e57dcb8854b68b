"""Adam: many cheap steps on fresh points, to where second-order methods take over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...gradient import tensors
from ...schedules import LinearDecay, Schedule, described
from ..objective import Objective

__all__ = ["Adam"]


class Adam:
    """Adam on whatever the objective is at the moment.

    Parameters
    ----------
    lr : float
        Largest learning rate.
    schedule : Schedule, optional
        Factor of it at every step; by default `sciml.learned.schedules.LinearDecay`.
    """

    name = "adam"
    steps, points, resample = 3000, 2000, 100

    def __init__(self, lr: float = 5e-3, schedule: Schedule | None = None):
        if not lr > 0:
            raise ValueError(f"lr is {lr!r}; expected a positive number")
        self.lr, self.schedule = float(lr), LinearDecay() if schedule is None else schedule
        self._optimizer: Any = None
        self._saved: Any = None

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam([objective.net.theta], lr=self.lr)
            if self._saved is not None:
                self._optimizer.load_state_dict(self._saved)
        loss, gradient = objective.gradient()
        if not (math.isfinite(loss) and bool(torch.isfinite(gradient).all())):
            return {"loss": math.nan}
        rate = self.lr * self.schedule(index, steps)
        self._optimizer.param_groups[0]["lr"] = rate
        objective.net.theta.grad = gradient
        self._optimizer.step()
        return {"loss": loss, "gradient": float(gradient.norm()), "rate": rate}

    def resampled(self) -> None:
        """Fresh points are what Adam is made for."""

    def settings(self) -> dict[str, Any]:
        return {"lr": self.lr, "schedule": described(self.schedule)}

    def state(self) -> dict[str, Any]:
        return {} if self._optimizer is None else {"optimizer": self._optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self._optimizer, self._saved = None, tensors(state.get("optimizer"))
