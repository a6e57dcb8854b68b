"""Retain, resample, release: points stay as long as their residual is above average."""

from __future__ import annotations

import numpy as np
import torch

from ..domain import Domain
from .base import BaseSampler, Points, Residual, magnitude, positive_integer

__all__ = ["R3"]


class R3(BaseSampler):
    """Points whose residual exceeds the mean stay; the others are drawn anew, uniformly.

    References
    ----------
    Daw, Bu, Wang, Perdikaris and Karpatne, Mitigating propagation failures in physics-informed neural
    networks using retain-resample-release (R3) sampling, ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import R3
    >>> sampler, rng = R3(Box([0], [1])), np.random.default_rng(0)
    >>> for _ in range(20):
    ...     x = sampler.sample(lambda x: 1.0 * (x[:, 0] > 0.9), 100, rng).x
    >>> int((x > 0.9).sum()) > 50
    True
    """

    def __init__(self, domain: Domain):
        super().__init__(domain)

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        kept = self.memory.get("x")
        if kept is None:
            x = self.domain.sample(positive_integer("n", n), rng)
        else:
            size = magnitude(residual, kept)
            kept = kept[size > size.mean()][: positive_integer("n", n)]
            missing = n - len(kept)
            x = torch.cat([kept, self.domain.sample(missing, rng)]) if missing else kept
        self.memory["x"] = x
        return Points.plain(x)
