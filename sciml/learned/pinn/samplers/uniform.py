"""Fresh uniform points: the baseline every adaptive sampler has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..domain import Domain
from .base import Points, Residual

__all__ = ["Uniform"]


class Uniform:
    """Independent uniform points, drawn anew at every call.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import Uniform
    >>> Uniform(Box([0], [1])).sample(lambda x: x[:, 0], 5, np.random.default_rng(0)).x.shape
    torch.Size([5, 1])
    """

    def __init__(self, domain: Domain):
        self.domain = domain

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        return Points.plain(self.domain.sample(n, rng))

    def prefit(self, residual: Residual, rng: np.random.Generator) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass
