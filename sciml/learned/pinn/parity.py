"""Even and odd functions: the mean of a network over its reflected points, with signs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .derivatives import Channels

__all__ = ["Parity"]

_SIGNS = {"even": 1.0, "odd": -1.0}


class Parity:
    """Makes the output of a network even or odd about the centre of the box along some axes.

    Parameters
    ----------
    axes : sequence of (int, str)
        Axes, and ``"even"`` or ``"odd"`` for each.
    center : Tensor (d,)
        Of the box.

    Raises
    ------
    ValueError
        For an axis that does not exist or comes twice, or another word.
    """

    def __init__(self, axes: Sequence[tuple[int, str]], center: Tensor):
        pairs = [(int(axis), str(word)) for axis, word in axes]
        numbers = [axis for axis, _ in pairs]
        if any(word not in _SIGNS for _, word in pairs):
            raise ValueError(f"parity is {axes!r}; expected 'even' or 'odd' for each axis")
        if len(set(numbers)) < len(numbers) or any(not 0 <= axis < len(center) for axis in numbers):
            raise ValueError(f"parity is {axes!r}; expected different axes from 0 to {len(center) - 1}")
        self.pairs, self._center = sorted(pairs), center

    def unfold(self, x: Tensor) -> Tensor:
        """The points (n, d), then their reflections."""
        for axis, _ in self.pairs:
            reflected = x.clone()
            reflected[:, axis] = 2.0 * self._center[axis] - x[:, axis]
            x = torch.cat([x, reflected])
        return x

    def fold(self, data: Tensor, channels: Channels) -> Tensor:
        """From the channels of a network on `unfold(x)` those of its even or odd part on `x`."""
        for axis, word in reversed(self.pairs):
            here, there = data.chunk(2, dim=1)
            data = 0.5 * (here + self._signs(axis, word, channels, data) * there)
        return data

    def unfold_cotangent(self, cotangent: Tensor, channels: Channels) -> Tensor:
        """The adjoint of `fold`."""
        for axis, word in self.pairs:
            signs = self._signs(axis, word, channels, cotangent)
            cotangent = 0.5 * torch.cat([cotangent, signs * cotangent], dim=1)
        return cotangent

    def fold_rows(self, rows: Tensor) -> Tensor:
        """Sums of the rows that belong to one point."""
        for _ in self.pairs:
            here, there = rows.chunk(2)
            rows = here + there
        return rows

    def _signs(self, axis: int, word: str, channels: Channels, like: Tensor) -> Tensor:
        """What a reflection does to every channel: a derivative along the axis changes its sign."""
        signs = torch.full((channels.count,), _SIGNS[word], dtype=like.dtype)
        if channels.gradient:
            signs[1 + axis] *= -1.0
        for second in channels.seconds:
            if second != "laplacian" and (second[0] == axis) != (second[1] == axis):
                signs[channels.second(second)] *= -1.0
        return signs.reshape(-1, *(1,) * (like.ndim - 1))
