"""L-BFGS of torch, with a strong-Wolfe line search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...gradient import tensors
from ..objective import Objective

__all__ = ["LBFGS"]


class LBFGS:
    """``torch.optim.LBFGS``; one step of `train_pinn` is several of its iterations.

    Parameters
    ----------
    iterations : int
        In one step.
    memory : int
        Pairs of steps and changes of the gradient that are kept.
    """

    name = "lbfgs"
    steps, points, resample = 150, 8000, 25

    def __init__(self, iterations: int = 20, memory: int = 100):
        for label, value in (("iterations", iterations), ("memory", memory)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{label} is {value!r}; expected a positive integer")
        self.iterations, self.memory = iterations, memory
        self._optimizer: Any = None
        self._saved: Any = None

    def step(self, objective: Objective, index: int, steps: int) -> Mapping[str, float]:
        theta, start = objective.net.theta, objective.theta.clone()
        if self._optimizer is None:
            self._optimizer = torch.optim.LBFGS(
                [theta], max_iter=self.iterations, history_size=self.memory, line_search_fn="strong_wolfe",
                tolerance_grad=0.0, tolerance_change=0.0,
            )  # fmt: skip
            if self._saved is not None:
                self._optimizer.load_state_dict(self._saved)

        def closure() -> torch.Tensor:
            loss, theta.grad = objective.gradient()
            return torch.tensor(loss, dtype=theta.dtype)

        self._optimizer.step(closure)
        loss = objective.value()
        if not (math.isfinite(loss) and bool(torch.isfinite(theta).all())):
            objective.move(start)
            return {"loss": math.nan}
        return {"loss": loss}

    def resampled(self) -> None:
        """Changes of the gradient between two losses mean nothing: the memory starts empty."""
        self._optimizer = self._saved = None

    def settings(self) -> dict[str, Any]:
        return {"iterations": self.iterations, "memory": self.memory}

    def state(self) -> dict[str, Any]:
        return {} if self._optimizer is None else {"optimizer": self._optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self._optimizer, self._saved = None, tensors(state.get("optimizer"))
