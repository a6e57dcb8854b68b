"""Samplers that learn a density: what adversarial and cross-entropy training share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...gradient import tensors
from ..density import DENSITIES, Density, fit_density
from ..density.base import quasi_uniform
from ..domain import Domain
from .base import BaseSampler, Residual, magnitude, positive_integer, share

__all__ = ["LearnedDensity", "WithDensity"]

EXPLORED = 0.5, 0.25
"""Shares of uniform points and of points from the source's density among those a density is trained on. The
first bounds the importance ratios."""

POWERS = tuple(0.8**i for i in range(25))
"""Powers of the target that are tried, from the target itself to nearly its support."""

_ATTEMPTS = 2**18


class LearnedDensity:
    """A density over the bounding box of a domain, and its training on squared residuals.

    Parameters
    ----------
    domain : Domain
    density : str or Density
        A name from `DENSITIES`, or a density on the bounding box.
    pool : int
        Points that the residual is looked at in every call.
    steps : int
        Of Adam in every call.
    lr : float
        Rate of the first of them; it falls to zero.
    effective : float
        Smallest share of the pool that the target may rest on, in effective sample size. A residual that is
        large at a few points only is raised to a power below one before a density is fitted to it, so that
        the density closes in on it over several calls.
    seed : int
        Of the initial weights.

    Notes
    -----
    Half of the pool is uniform, half is drawn from the density as it is and from that of the source; the
    density of this mixture enters the importance weights. Outside the domain the target is zero. The samplers
    draw from a mixture too and discard what lies outside; that changes its density by a factor only, which
    weights of mean one do not contain.
    """

    def __init__(
        self, domain: Domain, density: str | Density, *, pool: int, steps: int, lr: float, effective: float,
        seed: int,
    ):  # fmt: skip
        self.domain = domain
        self.pool, self.steps = positive_integer("pool", pool), positive_integer("steps", steps)
        self.effective = share("effective", effective)
        if not lr > 0:
            raise ValueError(f"lr is {lr!r}; expected a positive number")
        self.lr = float(lr)
        self.model = density if isinstance(density, Density) else _density(density, domain, seed)
        if self.model.dimension != domain.dimension:
            raise ValueError(
                f"density has dimension {self.model.dimension}; expected {domain.dimension} like the domain"
            )
        self.source: Density | None = None
        self.settings: dict[str, Any] = {
            "density": type(self.model).__name__, **getattr(self.model, "settings", {}), "pool": pool,
            "steps": steps, "lr": lr, "effective": effective, "seed": seed,
        }  # fmt: skip
        self.box_volume = float((self.model.upper - self.model.lower).prod())

    def keep_source(self) -> None:
        """Keep the density as it is, beside the one that goes on learning.

        In many dimensions a density that has left a peak does not find it again: no uniform point lies there.
        """
        self.source = copy.deepcopy(self.model)

    def look(self, residual: Residual, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pool: points (m, d) of the box, squared residuals (0 outside the domain), and their density."""
        x, density = self.mixture(self.pool, *EXPLORED, rng)
        inside = self.domain.contains(x)
        target = torch.zeros_like(density)
        target[inside] = magnitude(residual, x[inside]) ** 2
        return x, target, density

    def learn(self, loss: Callable[[], Tensor], steps: int | None = None) -> list[float]:
        """Adam on `loss`; its values."""
        return fit_density(self.model, loss, steps=self.steps if steps is None else steps, lr=self.lr)

    def mixture(
        self, n: int, uniform: float, source: float, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """`n` points of the box from a mixture, and its density.

        Shares of it are uniform, from the density of the source if there is one, and from the density.
        """
        parts = {self.model: 1.0 - uniform} if self.source is None else {
            self.source: source, self.model: 1.0 - uniform - source
        }  # fmt: skip
        counts = [round(share * n) for share in parts.values()][:-1]
        counts.append(n - round(uniform * n) - sum(counts))
        u = quasi_uniform(n - sum(counts), self.model.dimension, rng)
        x = self.model.lower + (self.model.upper - self.model.lower) * torch.as_tensor(u).to(self.model.lower)
        drawn = [part.sample(m, rng, quasi=True) for part, m in zip(parts, counts, strict=True)]
        x = torch.cat([x, *drawn])
        density = torch.full_like(x[:, 0], uniform / self.box_volume)
        with torch.no_grad():
            for part, weight in parts.items():
                density += weight * part.log_prob(x).exp()
        return x, density

    def draw(self, n: int, uniform: float, source: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`n` points of the domain from `mixture`, and its density in the box."""
        kept: list[tuple[Tensor, Tensor]] = []
        have, drawn, size = 0, 0, n
        while have < n:
            x, density = self.mixture(size, uniform, source, rng)
            order = torch.as_tensor(rng.permutation(size))  # what is cut off at the end is a random part
            order = order[self.domain.contains(x)[order]]
            kept.append((x[order], density[order]))
            have, drawn = have + len(kept[-1][0]), drawn + size
            if have == 0 and drawn >= _ATTEMPTS:
                raise ValueError(f"the domain {self.domain!r} is empty: none of {drawn} points lies in it")
        x, density = (torch.cat(parts)[:n] for parts in zip(*kept, strict=True))
        return x, density

    def temper(self, target: Tensor, density: Tensor) -> Tensor:
        """`target` of mean one over the box, raised to the largest power that rests on enough points."""
        if not bool((target > 0).any()):
            return torch.ones_like(target)
        target = target / target.max()
        for power in POWERS:
            tempered = target**power * (target > 0)
            weight = tempered / density
            if weight.sum() ** 2 / (weight**2).sum() >= self.effective * len(weight):
                break
        return tempered * (1 / density).sum() / weight.sum()

    def state(self) -> dict[str, Any]:
        return {"density": _weights(self.model), "source": self.source and _weights(self.source)}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(tensors(state["density"]))
        if state["source"] is not None:
            self.keep_source()
            assert self.source is not None
            self.source.load_state_dict(tensors(state["source"]))


class WithDensity(BaseSampler):
    """What samplers have that keep a `LearnedDensity` beside their memory: a base beside their own one."""

    _learned: LearnedDensity

    def _learn(self, domain: Domain, density: str | Density, **settings: Any) -> None:
        """Make the density; its settings become part of the sampler's."""
        self._learned = LearnedDensity(domain, density, **settings)
        self.settings.update(self._learned.settings)

    @property
    def density(self) -> Density:
        """As it is now."""
        return self._learned.model

    def state(self) -> dict[str, Any]:
        return {**super().state(), "learned": self._learned.state()}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self._learned.load(state["learned"])


def _weights(density: Density) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in density.state_dict().items()}


def _density(name: str, domain: Domain, seed: int) -> Density:
    if name not in DENSITIES:
        raise ValueError(f"density is {name!r}; expected a density or one of {', '.join(DENSITIES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        return DENSITIES[name](*domain.bounds)
