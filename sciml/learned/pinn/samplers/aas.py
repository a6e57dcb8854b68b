"""Adversarial adaptive sampling: the density that makes the mean squared residual largest."""

from __future__ import annotations

import numpy as np
import torch

from ..density import Density, penalised_mean
from ..domain import Domain
from .base import Points, Residual, positive_integer, share
from .learned import WithDensity

__all__ = ["AAS"]


class AAS(WithDensity):
    r"""Points from the density that an adversary of the field chooses.

    While the field makes the mean squared residual small, the density makes it large, and pays for its
    gradients (Tang, Zhai, Wan and Yang, *Adversarial adaptive sampling*, arXiv:2305.18702):

    .. math:: \min_u \max_{p > 0,\ \int p = 1}\ \int r_u^2\, p - β \int |∇p|^2 .

    Every call looks at the residual on a pool, takes some steps of ascent, and draws from a mixture of the
    density with uniform points and with the density as it was before the training. Some points of the last
    call stay (replay).

    Parameters
    ----------
    domain : Domain
    beta_rel : float
        The penalty relative to the mean of :math:`r^2`, for lengths relative to the size of the box. It
        keeps its effect while residuals fall. For a residual peak of standard deviation `s`, ``s² / (d + 2)``
        gives a density about as wide as :math:`r^2` itself; more makes it wider, down to uniform.
    beta : float, optional
        The absolute :math:`β` of the paper instead: the density concentrates while residuals are large, and
        relaxes to uniform when they are small against it.
    density : str or Density
        A name from `DENSITIES`, or a density on the bounding box of the domain.
    uniform, source : float
        Shares of uniform points, and of points from the density as it was after the pre-fit.
    replay : float
        Share of points kept from the last call.
    importance : float
        Exponent of the importance weights, see `Points.weighted`: 0 is the published method, 1 makes the loss
        an average over the domain.
    pool, steps, lr, effective, seed
        See `LearnedDensity`.
    prefit_rounds : int
        Calls on the residual of the zero field before the training.

    Attributes
    ----------
    density : Density
        As it is now.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import AAS
    >>> sampler, rng = AAS(Box([0], [1])), np.random.default_rng(0)
    >>> for _ in range(10):
    ...     x = sampler.sample(lambda x: torch.exp(-200 * (x[:, 0] - 0.9) ** 2), 1000, rng).x
    >>> int((x > 0.8).sum()) > 500
    True
    """

    def __init__(
        self, domain: Domain, *, beta_rel: float | None = None, beta: float | None = None,
        density: str | Density = "knothe-rosenblatt", uniform: float = 0.3, source: float = 0.2,
        replay: float = 0.25, importance: float = 0.75, pool: int = 1500, steps: int = 20, lr: float = 2e-2,
        effective: float = 0.02, prefit_rounds: int = 8, seed: int = 0,
    ):  # fmt: skip
        settings = {
            "beta_rel": beta_rel, "beta": beta, "uniform": uniform, "source": source, "replay": replay,
            "importance": importance, "prefit_rounds": prefit_rounds,
        }  # fmt: skip
        super().__init__(domain, settings)
        self._learn(domain, density, pool=pool, steps=steps, lr=lr, effective=effective, seed=seed)
        if beta is not None and beta_rel is not None:
            raise ValueError(f"beta is {beta!r} and beta_rel is {beta_rel!r}; expected one of them")
        beta_rel = 1e-4 if beta is None and beta_rel is None else beta_rel
        for name, value in (("beta", beta), ("beta_rel", beta_rel)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; expected a positive number")
        self.beta, self.beta_rel = beta, beta_rel
        self.uniform, self.source = share("uniform", uniform), share("source", source)
        if uniform + source > 1:
            raise ValueError(f"uniform is {uniform!r} and source {source!r}; expected at most 1 together")
        self.replay = share("replay", replay)
        self.importance = share("importance", importance)
        self.prefit_rounds = positive_integer("prefit_rounds", prefit_rounds)

    def prefit(self, residual: Residual, rng: np.random.Generator) -> None:
        for _ in range(self.prefit_rounds):
            self._ascend(residual, rng)
        self._learned.keep_source()

    def sample(self, residual: Residual, n: int, rng: np.random.Generator) -> Points:
        self._ascend(residual, rng)
        old = self.memory.get("x")
        kept = 0 if old is None else min(len(old), round(self.replay * positive_integer("n", n)))
        x, density = self._learned.draw(n - kept, self.uniform, self.source, rng)
        if old is not None and kept:
            chosen = torch.as_tensor(rng.permutation(len(old))[:kept])
            x, density = torch.cat([x, old[chosen]]), torch.cat([density, self.memory["density"][chosen]])
        self.memory = {"x": x, "density": density}
        return Points.weighted(x, density, self.importance)

    def _ascend(self, residual: Residual, rng: np.random.Generator) -> None:
        x, target, density = self._learned.look(residual, rng)
        weight = 1 / (len(x) * density)
        volume = self._learned.box_volume
        if self.beta is None:
            assert self.beta_rel is not None
            target = self._learned.temper(target, density)
            beta = self.beta_rel * volume ** (1 + 2 / self.domain.dimension)
        else:
            beta = self.beta
        self._learned.learn(lambda: -penalised_mean(self.density, x, target, weight, beta))
