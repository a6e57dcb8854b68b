"""A small tanh network whose derivatives and whose gradients, point by point, are written out by hand.

Training by least squares needs the derivative of every residual with respect to every parameter. Reverse mode
over the jets, layer by layer, gives all of them as a few batched matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .derivatives import Channels, Jet
from .parity import Parity

__all__ = ["MLP", "Tape"]


class MLP(torch.nn.Module):
    """A tanh network from points to one value each, in double precision.

    Its parameters are one flat vector `theta`. The last layer starts at zero, so that an untrained field is
    zero: an adaptive sampler then sees the source of the PDE and not the noise of random weights.

    Parameters
    ----------
    lower, upper : sequence of float
        The box that inputs are scaled from, to [-1, 1].
    hidden : sequence of int
        Widths of the hidden layers.
    periodic : sequence of int
        Axes on which the network is periodic over the box: they enter as sines and cosines.
    harmonics : int
        Of every periodic axis.
    parity : sequence of (int, str)
        Axes along which the output is ``"even"`` or ``"odd"`` about the centre of the box.
    seed : int
        Of the weights (Glorot's uniform law).

    Examples
    --------
    >>> import torch
    >>> from sciml.learned.pinn.network import MLP
    >>> net = MLP([0, 0], [1, 1], hidden=(8,))
    >>> net(torch.rand(5, 2, dtype=torch.float64)).abs().max().item()
    0.0
    """

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        *,
        hidden: Sequence[int] = (24, 24, 24),
        periodic: Sequence[int] = (),
        harmonics: int = 1,
        parity: Sequence[tuple[int, str]] = (),
        seed: int = 0,
    ):
        super().__init__()
        low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
        widths = [int(w) for w in hidden]
        if not widths or min(widths) < 1:
            raise ValueError(f"hidden is {hidden!r}; expected at least one positive width")
        if any(not 0 <= int(axis) < len(low) for axis in periodic):
            raise ValueError(f"periodic is {periodic!r}; expected axes from 0 to {len(low) - 1}")
        if isinstance(harmonics, bool) or not isinstance(harmonics, int) or harmonics < 1:
            raise ValueError(f"harmonics is {harmonics!r}; expected a positive integer")
        self.dimension = len(low)
        self._center = torch.from_numpy((low + high) / 2)
        self._scale = torch.from_numpy(2.0 / (high - low))
        self.parity = Parity(parity, self._center)
        self.settings: dict[str, Any] = {
            "lower": low.tolist(), "upper": high.tolist(), "hidden": widths,
            "periodic": sorted({int(axis) for axis in periodic}), "harmonics": harmonics,
            "parity": [list(pair) for pair in self.parity.pairs],
        }  # fmt: skip
        inputs = self.dimension + len(self.settings["periodic"]) * (2 * harmonics - 1)
        self.shapes = list(zip([*widths, 1], [inputs, *widths], strict=True))
        rng = np.random.default_rng([int(seed), 2])
        parts = []
        for i, (out, into) in enumerate(self.shapes):
            limit = 0.0 if i == len(widths) else math.sqrt(6.0 / (into + out))
            parts += [rng.uniform(-limit, limit, out * into), np.zeros(out)]
        self.theta = torch.nn.Parameter(torch.from_numpy(np.concatenate(parts)))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.theta.numel()

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases, as views of `theta`."""
        layers, start = [], 0
        theta = self.theta
        for out, into in self.shapes:
            end = start + out * into
            layers.append((theta[start:end].view(out, into), theta[end : end + out]))
            start = end + out
        return layers

    def forward(self, x: Tensor) -> Tensor:
        """Values (n,) at points (n, d)."""
        return self.jet(x, Channels(self.dimension)).value

    def jet(self, x: Tensor, channels: Channels) -> Jet:
        """Values and derivatives at points (n, d); differentiable in the parameters by autograd."""
        output = self._through(self.parity.unfold(x), channels)[-1][..., 0]
        return Jet(self.parity.fold(output, channels), channels)

    @torch.no_grad()
    def record(self, x: Tensor, channels: Channels) -> Tape:
        """As `jet`, without a graph, keeping what gradients need."""
        return Tape(self, channels, self._through(self.parity.unfold(x), channels))

    def inputs(self, x: Tensor, channels: Channels) -> Tensor:
        """What the first layer sees, with its derivatives: (channels, n, inputs)."""
        scaled = (Jet.coordinates(x, channels) + 0.0).data
        scaled[0] -= self._center
        scaled *= self._scale
        periodic = self.settings["periodic"]
        if not periodic:
            return scaled
        plain = [axis for axis in range(self.dimension) if axis not in periodic]
        parts = [scaled[..., plain]]
        for axis in periodic:
            angle = Jet(scaled[..., axis : axis + 1], channels) * math.pi
            for k in range(1, self.settings["harmonics"] + 1):
                parts += [(angle * k).function(name).data for name in ("cos", "sin")]
        return torch.cat(parts, dim=-1)

    def _through(self, x: Tensor, channels: Channels) -> list[Tensor]:
        """Activations and pre-activations in turn: inputs, z, h, z, h, ..., output."""
        kept = [self.inputs(x, channels)]
        *hidden, last = self.layers()
        for weights, bias in hidden:
            z = _linear(kept[-1], weights, bias)
            kept += [z, Jet(z, channels).function("tanh").data]
        return [*kept, _linear(kept[-1], *last)]


def _linear(h: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    z = h @ weights.T
    # The bias shifts values, not derivatives.
    return torch.cat([z[:1] + bias, z[1:]])


class Tape:
    """One forward pass, and the derivatives of linear functions of its output by the parameters."""

    def __init__(self, net: MLP, channels: Channels, kept: list[Tensor]):
        self._net, self._channels, self._kept = net, channels, kept
        self.output = Jet(net.parity.fold(kept[-1][..., 0], channels), channels)

    @torch.no_grad()
    def gradient(self, cotangent: Tensor) -> Tensor:
        """Gradient of ``Σ cotangent · output`` over channels and points: (parameters,)."""
        parts = []
        for z_bar, h in self._reversed(cotangent):
            flat = z_bar.reshape(-1, z_bar.shape[-1])
            parts.append(torch.cat([(flat.T @ h.reshape(-1, h.shape[-1])).reshape(-1), z_bar[0].sum(0)]))
        return torch.cat(parts[::-1])

    @torch.no_grad()
    def jacobian(self, cotangent: Tensor) -> Tensor:
        """Gradient of ``cotangent · output`` over channels, for every point: (n, parameters)."""
        rows = torch.empty(self._kept[0].shape[1], self._net.size, dtype=cotangent.dtype)
        end = self._net.size
        for z_bar, h in self._reversed(cotangent):
            out, into = z_bar.shape[-1], h.shape[-1]
            rows[:, end - out : end] = z_bar[0]
            end -= out
            outer = torch.bmm(z_bar.permute(1, 2, 0), h.permute(1, 0, 2))
            rows[:, end - out * into : end] = outer.reshape(len(rows), -1)
            end -= out * into
        return self._net.parity.fold_rows(rows)

    def _reversed(self, cotangent: Tensor) -> Any:
        """Cotangent of the pre-activation, and input, of every layer, last first."""
        layers = self._net.layers()
        z_bar = self._net.parity.unfold_cotangent(cotangent, self._channels)[..., None]
        for i in range(len(layers) - 1, -1, -1):
            yield z_bar, self._kept[2 * i]
            if i:
                z_bar = self._through_tanh(z_bar @ layers[i][0], self._kept[2 * i - 1], self._kept[2 * i])

    def _through_tanh(self, h_bar: Tensor, z: Tensor, h: Tensor) -> Tensor:
        c, t = self._channels, h[0]
        first = 1.0 - t * t
        z_bar = h_bar * first
        if not c.gradient:
            return z_bar
        second = -2.0 * t * first
        g = z[c.first]
        z_bar[0] += second * (h_bar[c.first] * g).sum(0)
        if c.seconds:
            seconds, split = h_bar[c.first.stop :], c.first.stop
            third = first * (6.0 * t * t - 2.0)
            z_bar[0] += (seconds * (second * z[split:] + third * c.squares(g))).sum(0)
            z_bar[c.first] += second * c.squares_adjoint(seconds, g)
        return z_bar
