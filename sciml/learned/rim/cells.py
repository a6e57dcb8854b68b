"""Recurrent units as convolutions: the memory a recurrent inference machine carries from step to step."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["CELLS", "GRU", "MGU", "IndRNN", "convolution"]


def convolution(inputs: int, outputs: int, kernel: int, *, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the image's size, with the border repeated outwards."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(
        inputs, outputs, kernel, dilation=dilation, padding=padding, bias=bias,
        # torch copies the image to repeat even a border of no pixels
        padding_mode="replicate" if padding else "zeros",
    )  # fmt: skip
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class GRU(nn.Module):
    r"""Gated recurrent unit: reset gate `r`, update gate `z`.

    .. math::
        r &= σ(W_r a + b_r + U_r h), \quad z = σ(W_z a + b_z + U_z h),\\
        n &= \tanh(W_n a + b_n + r (U_n h)), \quad h' = (1 - z) n + z h

    Source: Cho et al., arXiv:1406.1078, with the reset gate after `U_n`, as in the RIM's reference code.
    """

    def __init__(self, channels: int, kernel: int = 1):
        super().__init__()
        self.from_input = convolution(channels, 3 * channels, kernel)
        self.from_hidden = convolution(channels, 3 * channels, kernel, bias=False)
        for layer in (self.from_input, self.from_hidden):
            for part in layer.weight.chunk(3):
                nn.init.orthogonal_(part)

    def forward(self, a: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        input_r, input_z, input_n = self.from_input(a).chunk(3, dim=1)
        hidden_r, hidden_z, hidden_n = self.from_hidden(h).chunk(3, dim=1)
        r, z = torch.sigmoid(input_r + hidden_r), torch.sigmoid(input_z + hidden_z)
        n = torch.tanh(input_n + r * hidden_n)
        return n + z * (h - n)


class MGU(nn.Module):
    r"""Minimal gated unit: one gate `f` forgets and updates.

    .. math::
        f = σ(W_f a + b_f + U_f h), \quad c = \tanh(W_c a + b_c + f (U_c h)), \quad h' = c + f (h - c)

    Source: Zhou, Wu, Zhang and Zhou, arXiv:1603.09420, as in the RIM's reference code.
    """

    def __init__(self, channels: int, kernel: int = 1):
        super().__init__()
        self.from_input = convolution(channels, 2 * channels, kernel)
        self.from_hidden = convolution(channels, 2 * channels, kernel, bias=False)
        for layer in (self.from_input, self.from_hidden):
            for part in layer.weight.chunk(2):
                nn.init.xavier_uniform_(part, gain=nn.init.calculate_gain("relu"))

    def forward(self, a: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        input_f, input_c = self.from_input(a).chunk(2, dim=1)
        hidden_f, hidden_c = self.from_hidden(h).chunk(2, dim=1)
        f = torch.sigmoid(input_f + hidden_f)
        c = torch.tanh(input_c + f * hidden_c)
        return c + f * (h - c)


class IndRNN(nn.Module):
    """Independently recurrent unit: ``h' = ReLU(W a + b + u h)`` with one number `u` per channel.

    It starts as nearly no memory: `W` and `u` are drawn with a standard deviation of
    ``1 / (channels (1 + kernel²))``.

    Source: Li, Li, Cook, Zhu and Gao, arXiv:1803.04831, as in the RIM's reference code.
    """

    def __init__(self, channels: int, kernel: int = 1):
        super().__init__()
        self.from_input = convolution(channels, channels, kernel)
        self.u = nn.Parameter(torch.empty(1, channels, 1, 1))
        deviation = 1.0 / (channels * (1 + kernel**2))
        nn.init.normal_(self.from_input.weight, std=deviation)
        nn.init.normal_(self.u, std=deviation)

    def forward(self, a: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.from_input(a) + self.u * h)


CELLS: dict[str, type[nn.Module]] = {"gru": GRU, "mgu": MGU, "indrnn": IndRNN}
"""Recurrent units by name."""
