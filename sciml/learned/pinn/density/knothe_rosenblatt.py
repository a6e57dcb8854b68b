"""A triangular map of the box onto the unit cube whose conditional densities are piecewise linear."""

from __future__ import annotations

from typing import Any

import torch

from .base import Density, zero_network

__all__ = ["KnotheRosenblatt"]

LIMIT = 10.0
"""Heights of one conditional lie within a factor of ``exp(2 LIMIT)`` of each other."""


class KnotheRosenblatt(Density):
    r"""Bounded Knothe–Rosenblatt density :math:`p(x) = \prod_i p_i(x_i \mid x_1, …, x_{i-1})`.

    Every conditional is linear on each of `bins` equal cells of its axis, so its distribution function is
    quadratic there and is inverted in closed form; a small tanh network turns the coordinates before it into
    the heights at the nodes. The density is positive up to the faces of the box, has bounded gradients, and
    is uniform before training. A map with a Gaussian latent variable (`KRNet`) is neither, and a penalty on
    gradients keeps it from the maximiser.

    Parameters
    ----------
    lower, upper : sequence of float
        Corners of the box.
    bins : int
        Cells per axis.
    width : int
        Of the two hidden layers of the networks.

    References
    ----------
    Rosenblatt, Remarks on a multivariate transformation, Ann. Math. Statist. 23 (1952) 470–472; the flows on
    bounded domains of Zeng, Wan and Zhou, arXiv:2305.09063, follow the same idea with other layers.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn.density import KnotheRosenblatt
    >>> p = KnotheRosenblatt([-1.0, -1.0], [1.0, 1.0], bins=8)
    >>> x = p.sample(5, np.random.default_rng(0))
    >>> p.log_prob(x).exp().tolist()
    [0.25, 0.25, 0.25, 0.25, 0.25]
    """

    log_masses: torch.Tensor

    def __init__(self, lower: Any, upper: Any, *, bins: int = 32, width: int = 48):
        super().__init__(lower, upper)
        for name, value in (("bins", bins), ("width", width)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected a positive integer")
        self.bins = bins
        self.settings = {"bins": bins, "width": width}
        self.first = torch.nn.Parameter(torch.zeros(1, bins + 1, dtype=torch.float64))
        self.rest = torch.nn.ModuleList(zero_network(i, width, bins + 1) for i in range(1, self.dimension))
        masses = torch.full((bins + 1,), 1.0 / bins, dtype=torch.float64)
        masses[[0, -1]] /= 2
        self.register_buffer("log_masses", masses.log(), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = (self.check(x) - self.lower) / (self.upper - self.lower)
        latent, log_det = [], -(self.upper - self.lower).log().sum().expand(len(y))
        for i in range(self.dimension):
            heights = self._heights(y[:, :i])
            position = y[:, i] * self.bins
            cell = position.detach().floor().clamp(0, self.bins - 1).long()[:, None]
            left, right = heights.gather(1, cell)[:, 0], heights.gather(1, cell + 1)[:, 0]
            t = position - cell[:, 0]
            density = left + (right - left) * t
            below = _distribution(heights).gather(1, cell)[:, 0]
            latent.append(below + t * (left + density) / (2 * self.bins))
            log_det = log_det + density.log()
        return torch.stack(latent, 1), log_det

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        y = self.check(z)[:, :0]
        for i in range(self.dimension):
            heights = self._heights(y)
            below = _distribution(heights)
            target = z[:, i : i + 1].contiguous()
            cell = (torch.searchsorted(below, target, right=True) - 1).clamp(0, self.bins - 1)
            left, right = heights.gather(1, cell), heights.gather(1, cell + 1)
            # left t + (right - left) t²/2 = mass, solved in the form that does not cancel.
            mass = (target - below.gather(1, cell)) * self.bins
            root = (left**2 + 2 * (right - left) * mass).clamp(min=0).sqrt()
            t = (2 * mass / (left + root)).clamp(0, 1)
            y = torch.cat([y, (cell + t) / self.bins], 1)
        return self.lower + (self.upper - self.lower) * y

    def _heights(self, before: torch.Tensor) -> torch.Tensor:
        """Heights (n, bins + 1) of the density of the next coordinate, given those `before` it, on [0, 1]."""
        i = before.shape[1]
        # A step of Adam moves a network further than a parameter: the first axis makes up for it.
        raw = self.first if i == 0 else self.rest[i - 1](2 * before - 1) / LIMIT
        raw = LIMIT * torch.tanh(raw)
        normalised = raw - torch.logsumexp(raw + self.log_masses, 1, keepdim=True)
        return normalised.exp().expand(len(before), -1)


def _distribution(heights: torch.Tensor) -> torch.Tensor:
    """Values of the distribution function at the nodes."""
    cells = (heights[:, :-1] + heights[:, 1:]) / (2 * (heights.shape[1] - 1))
    return torch.cat([torch.zeros_like(cells[:, :1]), cells.cumsum(1)], 1).contiguous()
