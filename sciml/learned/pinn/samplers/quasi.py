"""Quasi-random points: uniform ones that fill the domain more evenly than chance does."""

from __future__ import annotations

import numpy as np
import scipy.stats.qmc
import torch
from torch import Tensor

from .uniform import Uniform

__all__ = ["Halton", "Sobol"]

_ATTEMPTS = 2**18
"""Points of the box that may miss a domain before it counts as empty."""


class Sobol(Uniform):
    """Scrambled Sobol points, scrambled anew at every call unless `fresh` is False.

    Other domains than boxes take those points of their bounding box that lie inside.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import Sobol
    >>> x = Sobol(Box([0], [1])).sample(lambda x: x[:, 0], 8, np.random.default_rng(0)).x
    >>> torch.histc(x, 8, 0, 1).tolist()   # one in every eighth
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def _draw(self, n: int, rng: np.random.Generator) -> Tensor:
        engine = self._engine(rng)
        lower, upper = self.domain.bounds
        kept: list[Tensor] = []
        have, drawn = 0, 0
        size = 1 << (n - 1).bit_length()
        while have < n:
            x = lower + (upper - lower) * torch.as_tensor(engine.random(size)).to(lower)
            x = x[self.domain.contains(x)]
            kept.append(x)
            have, drawn = have + len(x), drawn + size
            if have == 0 and drawn >= _ATTEMPTS:
                raise ValueError(f"the domain {self.domain!r} is empty: none of {drawn} points lies in it")
        return torch.cat(kept)[:n]

    def _engine(self, rng: np.random.Generator) -> scipy.stats.qmc.QMCEngine:
        return scipy.stats.qmc.Sobol(self.domain.dimension, scramble=True, seed=rng)


class Halton(Sobol):
    """Scrambled Halton points; see `Sobol`."""

    def _engine(self, rng: np.random.Generator) -> scipy.stats.qmc.QMCEngine:
        return scipy.stats.qmc.Halton(self.domain.dimension, scramble=True, seed=rng)
