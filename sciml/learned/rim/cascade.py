"""The unrolled iteration: blocks of recurrent steps, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .network import Hidden, UpdateNetwork, from_channels, to_channels
from .steps import STEPS, CGStep, LearnedStep

__all__ = ["CONSISTENCY", "Block", "Cascade", "Memory"]

CONSISTENCY = ("implicit", "explicit", "cg")


@dataclass
class Memory:
    """What a block carries from one step to the next."""

    hidden: Hidden | None = None
    first_gradient: torch.Tensor | None = None


class Block(nn.Module):
    """One recurrent inference machine: `steps` steps with the same network.

    With explicit data consistency the block ends with ``x − w g₀``, where ``g₀`` is the gradient it began
    with: the soft consistency of the variational network (Sriram et al., arXiv:2004.06688), in image space.
    With that of CG it ends with a step of `CGStep` without a network, as a MoDL iteration does.
    """

    def __init__(
        self,
        network: UpdateNetwork,
        step: LearnedStep,
        steps: int,
        consistency: str = "implicit",
        cg_iterations: int = 4,
    ):
        super().__init__()
        self.network, self.step, self.steps = network, step, steps
        self.consistency = nn.Parameter(torch.ones(1)) if consistency == "explicit" else None
        self.last_step = CGStep(1, cg_iterations, mu=0.3) if consistency == "cg" else None

    def forward(self, x: torch.Tensor, g: torch.Tensor, normal: Any, t: int, memory: Memory) -> torch.Tensor:
        """The image after step `t`; `memory` is brought up to date.

        Parameters
        ----------
        x, g : tensors of shape ``(..., height, width)``
            Image, and gradient ``Aᴴ(A x − y)``.
        normal : operator
            ``Aᴴ A`` on tensors.
        """
        if t == 0:
            memory.hidden, memory.first_gradient = None, g
        before, direction = x, self.step.direction(g, normal)
        features = torch.cat([to_channels(x), to_channels(direction)], dim=1)
        change, memory.hidden = self.network(features.to(self.network.last.weight.dtype), memory.hidden)
        length = self.step.length(t)
        if not isinstance(length, float):
            x = x - length * direction
        x = x + from_channels(change, x)
        if self.consistency is not None and t == self.steps - 1 and memory.first_gradient is not None:
            x = x - self.consistency * memory.first_gradient
        if self.last_step is not None and t >= self.steps - 1:
            now = g + normal @ (x - before)
            x = x - self.last_step.length(0) * self.last_step.direction(now, normal)
        return x


class Cascade(nn.Module):
    """`cascades` blocks with weights of their own; the hidden states start from zero in each."""

    def __init__(
        self,
        *,
        cascades: int,
        steps: int,
        cell: str,
        channels: int,
        step: str,
        consistency: str,
        cg_iterations: int = 4,
        recurrent_kernel: int,
        components: int,
    ):
        super().__init__()
        self.steps = steps
        options = {"iterations": cg_iterations} if STEPS[step] is CGStep else {}
        self.blocks = nn.ModuleList(
            Block(
                UpdateNetwork(components, channels, cell, recurrent_kernel),
                STEPS[step](steps, **options),
                steps,
                consistency,
                cg_iterations,
            )
            for _ in range(cascades)
        )

    def schedule(self, length: int) -> Iterator[tuple[Any, int]]:
        """Block, and number of the step within it, for `length` steps; the last block takes what is left."""
        blocks = list(self.blocks)
        for i in range(length):
            k = min(i // self.steps, len(blocks) - 1)
            yield blocks[k], i - k * self.steps

    def forward(self, A: Any, normal: Any, y: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """Estimates after every step of every block, starting from `x`."""
        memory, estimates = Memory(), []
        for block, t in self.schedule(len(self.blocks) * self.steps):
            x = block(x, A._apply_adjoint(A._apply(x) - y), normal, t, memory)
            estimates.append(x)
        return estimates
