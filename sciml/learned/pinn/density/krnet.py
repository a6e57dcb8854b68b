"""KRnet: affine couplings in triangular order behind a logit map, with a Gaussian latent variable."""

from __future__ import annotations

import math
from typing import Any

import torch

from .base import Density, zero_network

__all__ = ["KRNet"]

EDGE = 1e-12
"""Share of the box next to its faces where the logit map is cut off."""

REACH, RATIO = 50.0, 1.2
"""Half-width of the interval that the last layer deforms, and ratio of the sizes of adjacent cells there."""

STRENGTH, LOG_LIMIT = 0.6, 5.0
"""Largest relative scaling of a coupling, and largest logarithm of a learned factor."""


class KRNet(Density):
    """Density of KRnet on a box, for comparison with the published method; `KnotheRosenblatt` is the default.

    The logit of the box goes through ``d - 1`` stages of `depth` blocks (scaling, affine coupling, reversed
    order). Every stage leaves one coordinate more as it is, which makes the map block-triangular; the one
    that remains at the end passes a monotone piecewise quadratic function. The latent
    variable is Gaussian. The density tends to zero or grows steeply at the faces, so gradient-penalised
    ascent does not reach its maximiser. The rotations of the publication, off by default there, are left out.

    Parameters
    ----------
    lower, upper : sequence of float
        Corners of the box.
    depth, width : int
        Blocks per stage; width of the two hidden layers of their networks.
    bins : int
        Cells of the last layer, an even number.

    References
    ----------
    Tang, Wan and Liao, Deep density estimation via invertible block-triangular mapping, Theor. Appl. Mech.
    Lett. 10 (2020) 143–148; Tang, Wan and Yang, DAS-PINNs, J. Comput. Phys. 476 (2023) 111868.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn.density import KRNet
    >>> p = KRNet([0.0, 0.0], [1.0, 2.0])
    >>> x = p.sample(100, np.random.default_rng(0))
    >>> bool(((x > p.lower) & (x < p.upper)).all())
    True
    """

    def __init__(self, lower: Any, upper: Any, *, depth: int = 6, width: int = 24, bins: int = 32):
        super().__init__(lower, upper)
        for name, value in (("depth", depth), ("width", width), ("bins", bins)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected a positive integer")
        if bins % 2:
            raise ValueError(f"bins is {bins}; expected an even number")
        self.settings = {"depth": depth, "width": width, "bins": bins}
        blocks = [_Block(active, width) for active in range(self.dimension, 1, -1) for _ in range(depth)]
        self.layers = torch.nn.ModuleList([*blocks, _Scaling(1), _Monotone(bins)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = self.upper - self.lower
        y = ((self.check(x) - self.lower) / size).clamp(EDGE, 1 - EDGE)
        z = torch.logit(y)
        log_det = -(y.log() + torch.log1p(-y) + size.log()).sum(1)
        for layer in self.layers:
            active: Any = layer.active
            changed, more = layer(z[:, :active])
            z, log_det = torch.cat([changed, z[:, active:]], 1), log_det + more
        return z, log_det

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        x = self.check(z)
        for layer in reversed(list[Any](self.layers)):
            x = torch.cat([layer.inverse(x[:, : layer.active]), x[:, layer.active :]], 1)
        return self.lower + (self.upper - self.lower) * torch.sigmoid(x)

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        return torch.special.ndtri(u.clamp(EDGE, 1 - EDGE))

    def latent_log_prob(self, z: torch.Tensor) -> torch.Tensor:
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(1)


class _Scaling(torch.nn.Module):
    """Learned shift and scale of every coordinate."""

    def __init__(self, active: int):
        super().__init__()
        self.active = active
        self.shift = torch.nn.Parameter(torch.zeros(active, dtype=torch.float64))
        self.log_scale = torch.nn.Parameter(torch.zeros(active, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_scale = self.log_scale.clamp(-LOG_LIMIT, LOG_LIMIT)
        return (x + self.shift) * log_scale.exp(), log_scale.sum().expand(len(x))

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        return z * (-self.log_scale.clamp(-LOG_LIMIT, LOG_LIMIT)).exp() - self.shift


class _Block(torch.nn.Module):
    """Scaling, an affine coupling of the second half to the first, and reversal of the order."""

    def __init__(self, active: int, width: int):
        super().__init__()
        self.active, self.kept = active, active // 2
        self.scaling = _Scaling(active)
        moved = active - self.kept
        self.net = zero_network(self.kept, width, 2 * moved, torch.nn.ReLU)
        self.log_reach = torch.nn.Parameter(torch.zeros(moved, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, log_det = self.scaling(x)
        scale, shift = self._affine(x[:, : self.kept])
        z = torch.cat([x[:, : self.kept], x[:, self.kept :] * scale + shift], 1)
        return z.flip(1), log_det + scale.log().sum(1)

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        z = z.flip(1)
        scale, shift = self._affine(z[:, : self.kept])
        return self.scaling.inverse(torch.cat([z[:, : self.kept], (z[:, self.kept :] - shift) / scale], 1))

    def _affine(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        s, t = self.net(x).chunk(2, 1)
        reach = self.log_reach.clamp(-LOG_LIMIT, LOG_LIMIT).exp()
        return 1 + STRENGTH * torch.tanh(s), reach * torch.tanh(t)


class _Monotone(torch.nn.Module):
    """A monotone map of one coordinate: piecewise linear slope on a geometric mesh, the identity outside."""

    sizes: torch.Tensor
    nodes: torch.Tensor

    def __init__(self, bins: int):
        super().__init__()
        self.active = 1
        sizes = RATIO ** torch.arange(bins // 2, dtype=torch.float64)
        sizes = torch.cat([sizes.flip(0), sizes])
        self.register_buffer("sizes", sizes * (2 * REACH / sizes.sum()), persistent=False)
        self.register_buffer(
            "nodes", torch.cat([torch.zeros(1), self.sizes.cumsum(0)]) - REACH, persistent=False
        )
        self.log_slopes = torch.nn.Parameter(torch.zeros(bins - 1, dtype=torch.float64))

    def _slopes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes at the nodes, one at both ends, and the values there."""
        inner = self.log_slopes.clamp(-LOG_LIMIT, LOG_LIMIT).exp()
        weights = (self.sizes[:-1] + self.sizes[1:]) / 2
        inner = inner * ((2 * REACH - (self.sizes[0] + self.sizes[-1]) / 2) / (inner * weights).sum())
        one = torch.ones_like(inner[:1])
        slopes = torch.cat([one, inner, one])
        rises = self.sizes * (slopes[:-1] + slopes[1:]) / 2
        return slopes, torch.cat([0 * one, rises.cumsum(0)]) - REACH

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slopes, values = self._slopes()
        inside = x.abs() < REACH
        cell = (torch.searchsorted(self.nodes, x.detach().contiguous(), right=True) - 1).clamp(
            0, len(self.sizes) - 1
        )
        size, left, right = self.sizes[cell], slopes[cell], slopes[cell + 1]
        t = (x - self.nodes[cell]) / size
        slope = left + (right - left) * t
        z = values[cell] + size * t * (left + slope) / 2
        return torch.where(inside, z, x), torch.where(inside, slope, 1.0).log()[:, 0]

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        slopes, values = self._slopes()
        inside = z.abs() < REACH
        cell = (torch.searchsorted(values, z.contiguous(), right=True) - 1).clamp(0, len(self.sizes) - 1)
        size, left, right = self.sizes[cell], slopes[cell], slopes[cell + 1]
        rise = (z - values[cell]) / size
        root = (left**2 + 2 * (right - left) * rise).clamp(min=0).sqrt()
        t = (2 * rise / (left + root)).clamp(0, 1)
        return torch.where(inside, self.nodes[cell] + size * t, z)
