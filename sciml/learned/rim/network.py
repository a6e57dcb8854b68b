"""The update network of a recurrent inference machine: image and gradient in, change of the image out."""

from __future__ import annotations

import torch
from torch import nn

from .cells import CELLS, convolution

__all__ = ["Hidden", "UpdateNetwork", "from_channels", "to_channels"]

Hidden = tuple[torch.Tensor, torch.Tensor]
"""State of the two recurrent layers."""


class UpdateNetwork(nn.Module):
    """Two convolutions with a recurrent unit behind each, and a linear convolution to the change.

    Kernels are 5, 3 and 3 pixels wide, the second one dilated by 2: one step sees 11 pixels, and the operator
    in the gradient sees the whole image.

    Parameters
    ----------
    components : int
        Real numbers per pixel of the image: 2 if it is complex.
    channels : int
    cell : str
        A key of `CELLS`.
    recurrent_kernel : int
        Width of the convolutions in the recurrent units.

    Notes
    -----
    Source: Lønning et al., Med. Image Anal. 53 (2019) 64-78, and arXiv:2012.07819; layers as in their code.
    """

    def __init__(self, components: int, channels: int, cell: str, recurrent_kernel: int = 1):
        super().__init__()
        self.channels = channels
        self.first = convolution(2 * components, channels, 5)
        self.memory1 = CELLS[cell](channels, recurrent_kernel)
        self.second = convolution(channels, channels, 3, dilation=2)
        self.memory2 = CELLS[cell](channels, recurrent_kernel)
        self.last = convolution(channels, components, 3, bias=False)

    def forward(self, features: torch.Tensor, hidden: Hidden | None) -> tuple[torch.Tensor, Hidden]:
        """Change of the image, and the new state.

        Parameters
        ----------
        features : tensor of shape ``(batch, 2 components, height, width)``
        hidden : pair of tensors of shape ``(batch, channels, height, width)``, or None for zeros
        """
        # Channels next to each other in memory, as CPUs with matrix units and GPUs like convolutions best.
        features = features.contiguous(memory_format=torch.channels_last)
        if hidden is None:
            batch, _, *size = features.shape
            zeros = features.new_zeros(batch, self.channels, *size)
            zeros = zeros.contiguous(memory_format=torch.channels_last)
            hidden = (zeros, zeros)
        h1 = self.memory1(torch.relu(self.first(features)), hidden[0])
        h2 = self.memory2(torch.relu(self.second(h1)), hidden[1])
        return self.last(h2), (h1, h2)


def to_channels(image: torch.Tensor) -> torch.Tensor:
    """Images ``(..., height, width)`` as real channels ``(batch, 1 or 2, height, width)``."""
    image = image.reshape(-1, 1, *image.shape[-2:])
    return torch.cat([image.real, image.imag], dim=1) if image.is_complex() else image


def from_channels(channels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Real channels as images of the shape and dtype of `like`."""
    if like.is_complex():
        values = torch.complex(channels[:, 0].to(like.real.dtype), channels[:, 1].to(like.real.dtype))
    else:
        values = channels[:, 0].to(like.dtype)
    return values.reshape(like.shape)
