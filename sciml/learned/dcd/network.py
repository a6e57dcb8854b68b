"""The convolutional networks that map a normalised residual to a search direction."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

__all__ = ["ARCHITECTURES", "DirectionNet", "architecture"]

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "dcd-64": {"channels": 16, "levels": 1, "before": 4, "bottom": 3, "after": 2},
    "dcd-128": {"channels": 16, "levels": 1, "before": 6, "bottom": 5, "after": 3},
    "small": {"channels": 8, "levels": 3, "before": 2, "bottom": 1, "after": 1, "gain": 4.0},
    "linear": {"channels": 8, "levels": 3, "before": 2, "bottom": 1, "after": 1, "gain": 4.0, "linear": True},
}
"""Settings of `DirectionNet` by name. The first two are the published networks for 64³ and 128³ cells."""

LIMITS = {"channels": (1, 1024), "levels": (0, 16), "before": (2, 64), "bottom": (0, 64), "after": (0, 64)}
"""Of the settings: the header of a weight file alone must not be able to take all memory or time."""

NOISE = 0.1
"""Share of torch's usual random initial weights in networks that start near a multigrid cycle."""


def architecture(name: str, ndim: int) -> dict[str, Any]:
    """The settings called `name` for 2D or 3D grids.

    Raises
    ------
    ValueError
        For a name that is not in `ARCHITECTURES`.

    Examples
    --------
    >>> from sciml.learned.dcd import DirectionNet, architecture
    >>> sum(p.numel() for p in DirectionNet(**architecture("dcd-64", 3)).parameters())
    97457
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture is {name!r}; expected one of {', '.join(ARCHITECTURES)}")
    return {"ndim": ndim, **ARCHITECTURES[name]}


class DirectionNet(nn.Module):
    r"""A fully convolutional network on one channel: any grid size, no knowledge of the geometry.

    On each of `levels` resolutions `before` convolutions, then average pooling; `bottom` residual blocks on
    the coarsest; on the way up nearest-neighbour interpolation, a skip connection and `after` residual
    blocks. All convolutions are 3 cells wide with zero padding; the first one is linear, every other one is
    followed by a ReLU, and skips are added after it.

    Parameters
    ----------
    ndim : {2, 3}
    channels : int
    levels : int
        Resolutions below the finest; each halves the grid.
    before, bottom, after : int
        Convolutions (an even number) and residual blocks of two convolutions, as above.
    gain : float
        Factor on what comes from the coarser grid. The inverse of a second-order operator grows by 4 from
        one grid to the next coarser one; with that factor an identity on every level is an additive
        multigrid cycle, so weights start near it. 1 is the published network, with random initial weights.
    linear : bool
        No activations and no biases: a linear map, and the cheapest to train.

    References
    ----------
    Kaneda, Akar, Chen, Kala, Hyde and Teran, A deep conjugate direction method for iteratively solving linear
    systems, ICML 2023, arXiv:2205.10763.

    Examples
    --------
    >>> import torch
    >>> from sciml.learned.dcd import DirectionNet
    >>> net = DirectionNet(2, channels=4, levels=2, before=2, bottom=1, after=1)
    >>> net(torch.zeros(5, 30, 21)).shape
    torch.Size([5, 30, 21])
    """

    def __init__(
        self,
        ndim: int,
        channels: int,
        levels: int,
        before: int,
        bottom: int,
        after: int,
        gain: float = 1.0,
        linear: bool = False,
    ):
        super().__init__()
        counts = {
            "channels": channels, "levels": levels, "before": before, "bottom": bottom, "after": after,
        }  # fmt: skip
        for name, value in counts.items():
            least, most = LIMITS[name]
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {value!r}; expected an integer from {least} to {most}")
        if before % 2:
            raise ValueError(f"before is {before!r}; expected an even number")
        if ndim not in (2, 3):
            raise ValueError(f"ndim is {ndim!r}; expected 2 or 3")
        self.ndim, self.levels, self.gain, self.linear = ndim, levels, float(gain), linear
        self.settings = {
            "ndim": ndim, "channels": channels, "levels": levels, "before": before, "bottom": bottom,
            "after": after, "gain": float(gain), "linear": bool(linear),
        }  # fmt: skip
        self._memory: Any = torch.channels_last if ndim == 2 else torch.channels_last_3d
        kind: Any = nn.Conv2d if ndim == 2 else nn.Conv3d

        def convolutions(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                kind(channels, channels, 3, padding=1, bias=not linear) for _ in range(count)
            )

        self.first = kind(1, channels, 3, padding=1, bias=not linear)
        self.down = nn.ModuleList(convolutions(before) for _ in range(levels))
        self.bottom = convolutions(2 * bottom)
        self.up = nn.ModuleList(convolutions(2 * after) for _ in range(levels))
        self.last = kind(channels, 1, 1, bias=not linear)
        # Channels beside each other in memory: convolutions of few channels run several times faster.
        self.to(memory_format=self._memory)  # type: ignore[call-overload]
        if gain != 1.0 and not self.first.weight.is_meta:
            self._start_near_multigrid()

    @torch.no_grad()
    def _start_near_multigrid(self) -> None:
        """Weights of an additive multigrid cycle, and some noise to learn from.

        Every channel carries the input, with alternating sign so that a ReLU lets half of them through.
        """
        centre = (slice(None), slice(None), *(1,) * self.ndim)
        sign = torch.tensor([1.0, -1.0]).repeat(self.first.out_channels)[: self.first.out_channels]
        for parameter in self.parameters():
            parameter.mul_(NOISE)
        self.first.weight[centre] += sign[:, None]
        for level in self.down:
            for convolution in cast(Any, level):
                convolution.weight[centre] += torch.eye(len(sign))
        self.last.weight += (sign / len(sign)).reshape(self.last.weight.shape)

    def forward(self, r: torch.Tensor) -> torch.Tensor:
        """Directions of shape ``(batch, *grid)`` for residuals of that shape."""
        grid = tuple(r.shape[1:])
        if len(grid) != self.ndim:
            raise ValueError(f"r has shape {tuple(r.shape)}; expected (batch, {self.ndim} grid axes)")
        multiple = 2**self.levels
        x = r[:, None]
        missing = [-n % multiple for n in grid]
        if any(missing):
            x = nn.functional.pad(x, [side for n in reversed(missing) for side in (0, n)])
        x = _convolve(self.first, x.contiguous(memory_format=self._memory))
        x = _convolve(self.last, self._level(x, 0))[:, 0]
        return x[(slice(None), *map(slice, grid))]

    def _level(self, x: torch.Tensor, level: int) -> torch.Tensor:
        if level == self.levels:
            return self._blocks(x, self.bottom)
        first, *rest = cast(nn.ModuleList, self.down[level])
        a = b = self._act(_convolve(first, x))
        for i, convolution in enumerate(rest):
            if i % 2 == 0:
                b = self._act(_convolve(convolution, a))
            else:
                a = b = self._act(_convolve(convolution, b)) + a
        pool = nn.functional.avg_pool2d if self.ndim == 2 else nn.functional.avg_pool3d
        coarse = self._level(pool(b, 2), level + 1)
        fine = nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return self._blocks(self.gain * fine + b, cast(nn.ModuleList, self.up[level]))

    def _blocks(self, x: torch.Tensor, convolutions: nn.ModuleList) -> torch.Tensor:
        for i in range(0, len(convolutions), 2):
            y = self._act(_convolve(convolutions[i], x))
            x = self._act(_convolve(convolutions[i + 1], y)) + x
        return x

    def _act(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.linear else torch.relu(x)


def _convolve(convolution: Any, x: torch.Tensor) -> torch.Tensor:
    """``convolution(x)``, without the slow kernel torch takes for a single small 3D grid on the CPU."""
    slow = x.ndim == 5 and x.shape[0] == 1 and x.device.type == "cpu" and x.dtype == torch.float32
    if not (slow and torch.backends.mkldnn.is_available()):
        return convolution(x)
    c = convolution
    return torch.mkldnn_convolution(x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups)
