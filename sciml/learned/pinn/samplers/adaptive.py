"""Points chosen from a pool of uniform candidates by the size of the residual there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..domain import Domain
from .base import BaseSampler, Points, Residual, magnitude, positive_integer, share

__all__ = ["RAD", "RAR", "RARD", "Growing"]


class RAD(BaseSampler):
    r"""Residual-based adaptive distribution: all points anew, with probability by the residual.

    Of `pool` uniform candidates, `n` are drawn without replacement with probabilities proportional to
    :math:`|r|^k / \overline{|r|^k} + c`.

    Parameters
    ----------
    domain : Domain
    power, floor : float
        The :math:`k` and :math:`c`; the floor keeps points everywhere.
    pool : int
        Candidates; at least twice the points drawn.
    importance : float
        Exponent of the importance weights, see `Points.weighted`. The published method has 0; second-order
        optimisers need more.

    References
    ----------
    Wu, Zhu, Tan, Kartha and Lu, Comput. Methods Appl. Mech. Engrg. 403 (2023) 115671.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import RAD
    >>> x = RAD(Box([0], [1])).sample(lambda x: 1.0 * (x[:, 0] > 0.9), 1000, np.random.default_rng(0)).x
    >>> 500 < int((x > 0.9).sum()) < 600   # a tenth of the floor, and all of the rest
    True
    """

    def __init__(
        self, domain: Domain, *, power: float = 1.0, floor: float = 1.0, pool: int = 40_000,
        importance: float = 0.5,
    ):  # fmt: skip
        super().__init__(domain, {"power": power, "floor": floor, "pool": pool, "importance": importance})
        self.law = _Law(domain, power, floor, pool)
        self.importance = share("importance", importance)

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        x, chance = self.law.draw(residual, positive_integer("n", n), rng)
        return Points.weighted(x, chance, self.importance)


class Growing(BaseSampler):
    """A set that starts uniform and grows by points chosen by the residual.

    Parameters
    ----------
    domain : Domain
    start, add : float
        Uniform points at the beginning, and points that every call adds, as shares of the `n` asked for. The
        set never exceeds `n`: then the oldest added points make room.
    """

    def __init__(self, domain: Domain, *, start: float = 0.5, add: float = 0.1):
        super().__init__(domain, {"start": start, "add": add})
        self.start, self.add = share("start", start), share("add", add)
        if start == 0 or add == 0 or start + add > 1:
            raise ValueError(
                f"start is {start!r} and add {add!r}; expected positive shares, together at most 1"
            )

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        first = max(1, round(self.start * positive_integer("n", n)))
        if "first" not in self.memory:
            self.memory["first"] = self.domain.sample(first, rng)
            self.memory["added"] = self.memory["first"][:0]
        more = self._choose(residual, max(1, round(self.add * n)), rng)
        fixed = self.memory["first"][:n]
        room = n - len(fixed)
        added = torch.cat([self.memory["added"], more])
        self.memory["added"] = added[max(0, len(added) - room) :]
        return Points.plain(torch.cat([fixed, self.memory["added"]]))

    def _choose(self, residual: Residual, n: int, rng: np.random.Generator) -> Tensor:
        """`n` points to add."""
        raise NotImplementedError


class RAR(Growing):
    """Residual-based adaptive refinement: adds the candidates with the largest residual.

    Parameters
    ----------
    domain : Domain
    start, add : float
        See `Growing`.
    pool : int
        Candidates.

    References
    ----------
    Lu, Meng, Mao and Karniadakis, DeepXDE, SIAM Review 63 (2021) 208–228.
    """

    def __init__(self, domain: Domain, *, start: float = 0.5, add: float = 0.1, pool: int = 40_000):
        super().__init__(domain, start=start, add=add)
        self.settings["pool"] = pool
        self.pool = positive_integer("pool", pool)

    def _choose(self, residual: Residual, n: int, rng: np.random.Generator) -> Tensor:
        candidates = self.domain.sample(max(self.pool, n), rng)
        return candidates[magnitude(residual, candidates).topk(n).indices]


class RARD(Growing):
    """Adaptive refinement that draws what it adds from the distribution of `RAD`.

    Parameters
    ----------
    domain : Domain
    start, add : float
        See `Growing`.
    power, floor, pool
        See `RAD`.
    """

    def __init__(
        self, domain: Domain, *, start: float = 0.5, add: float = 0.1, power: float = 2.0,
        floor: float = 0.0, pool: int = 40_000,
    ):  # fmt: skip
        super().__init__(domain, start=start, add=add)
        self.settings.update(power=power, floor=floor, pool=pool)
        self.law = _Law(domain, power, floor, pool)

    def _choose(self, residual: Residual, n: int, rng: np.random.Generator) -> Tensor:
        return self.law.draw(residual, n, rng)[0]


class _Law:
    """The distribution of RAD over a pool of candidates."""

    def __init__(self, domain: Domain, power: float, floor: float, pool: int):
        if not power > 0:
            raise ValueError(f"power is {power!r}; expected a positive number")
        if not floor >= 0:
            raise ValueError(f"floor is {floor!r}; expected a number that is not negative")
        self.domain, self.power, self.floor = domain, float(power), float(floor)
        self.pool = positive_integer("pool", pool)

    def draw(self, residual: Residual, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`n` points, and the probability of each to be among them."""
        candidates = self.domain.sample(max(self.pool, 2 * n), rng)
        size = magnitude(residual, candidates)
        law = (size / size.max().clamp(min=torch.finfo(size.dtype).tiny)) ** self.power
        law = law / law.mean() + self.floor if law.sum() > 0 else torch.ones_like(law)
        # The largest of log p + Gumbel noise are draws without replacement. Given the first one left out,
        # each is among them with probability 1 - exp(-p / exp(threshold)) (Kool et al., ICML 2019).
        log_law = law.clamp(min=torch.finfo(law.dtype).tiny).log()
        largest = (log_law + torch.as_tensor(rng.gumbel(size=len(law))).to(law)).topk(n + 1)
        chosen, threshold = largest.indices[:n], largest.values[n]
        return candidates[chosen], -torch.expm1(-torch.exp(log_law[chosen] - threshold))
