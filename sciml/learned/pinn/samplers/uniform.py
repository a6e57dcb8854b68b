"""Uniform points: the baseline every adaptive sampler has to beat."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..domain import Domain
from .base import BaseSampler, Points, Residual, positive_integer

__all__ = ["Uniform"]


class Uniform(BaseSampler):
    """Independent uniform points.

    Parameters
    ----------
    domain : Domain
    fresh : bool
        Draw anew at every call; False keeps the first points, as scarce data would.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import Uniform
    >>> Uniform(Box([0], [1])).sample(lambda x: x[:, 0], 5, np.random.default_rng(0)).x.shape
    torch.Size([5, 1])
    """

    def __init__(self, domain: Domain, *, fresh: bool = True):
        super().__init__(domain, {"fresh": bool(fresh)})
        self.fresh = fresh

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        kept = self.memory.get("x")
        if self.fresh or kept is None or len(kept) != n:
            kept = self._draw(positive_integer("n", n), rng)
            if not self.fresh:
                self.memory["x"] = kept
        return Points.plain(kept)

    def _draw(self, n: int, rng: np.random.Generator) -> Tensor:
        return self.domain.sample(n, rng)
