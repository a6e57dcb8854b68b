"""Deep adaptive sampling: a density fitted to the squared residual by cross-entropy, stage by stage."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..density import Density, cross_entropy
from ..domain import Domain
from .adaptive import Growing
from .base import Points, Residual, positive_integer, share
from .learned import LearnedDensity, WithDensity

__all__ = ["DASG", "DASR"]


class DASR(WithDensity):
    r"""All points from a density that follows :math:`r^2` (DAS-R: the sampled set is replaced).

    Parameters
    ----------
    domain : Domain
    density : str or Density
        A name from `DENSITIES`, or a density on the bounding box of the domain.
    uniform : float
        Share of uniform points; none in the published method.
    importance : float
        Exponent of the importance weights, see `Points.weighted`; 0 in the published method.
    pool, steps, lr, effective, seed
        See `LearnedDensity`. The published method trains the density on the points of the last stage; here
        it is trained on a pool of its own.

    References
    ----------
    Tang, Wan and Yang, DAS-PINNs, J. Comput. Phys. 476 (2023) 111868.
    """

    def __init__(
        self, domain: Domain, *, density: str | Density = "knothe-rosenblatt", uniform: float = 0.0,
        importance: float = 0.0, pool: int = 4000, steps: int = 200, lr: float = 1e-2,
        effective: float = 0.02, seed: int = 0,
    ):  # fmt: skip
        super().__init__(domain, {"uniform": uniform, "importance": importance})
        self._learn(domain, density, pool=pool, steps=steps, lr=lr, effective=effective, seed=seed)
        self.uniform, self.importance = share("uniform", uniform), share("importance", importance)

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        _follow(self._learned, residual, rng)
        x, density = self._learned.draw(positive_integer("n", n), self.uniform, 0.0, rng)
        return Points.weighted(x, density, self.importance)


class DASG(WithDensity, Growing):
    r"""A growing set, with additions from a density that follows :math:`r^2` (DAS-G).

    Parameters
    ----------
    domain : Domain
    start, add : float
        See `Growing`.
    density, pool, steps, lr, effective, seed
        See `DASR`.
    """

    def __init__(
        self, domain: Domain, *, start: float = 0.5, add: float = 0.1,
        density: str | Density = "knothe-rosenblatt", pool: int = 4000, steps: int = 200, lr: float = 1e-2,
        effective: float = 0.02, seed: int = 0,
    ):  # fmt: skip
        super().__init__(domain, start=start, add=add)
        self._learn(domain, density, pool=pool, steps=steps, lr=lr, effective=effective, seed=seed)

    def _choose(self, residual: Residual, n: int, rng: np.random.Generator) -> Tensor:
        _follow(self._learned, residual, rng)
        return self._learned.draw(n, 0.0, 0.0, rng)[0]


def _follow(learned: LearnedDensity, residual: Residual, rng: np.random.Generator) -> None:
    """Fit the density to the squared residual."""
    x, target, density = learned.look(residual, rng)
    weight = learned.temper(target, density) / density
    learned.learn(lambda: cross_entropy(learned.model, x, weight))
