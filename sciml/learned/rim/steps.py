"""What a step knows of the data: the gradient of the misfit, as it is or preconditioned by CG."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...solvers import cg

__all__ = ["STEPS", "CGStep", "ExplicitStep", "LearnedStep"]


class LearnedStep(nn.Module):
    """The network alone turns image and gradient into a change, as in the papers."""

    def __init__(self, steps: int):
        super().__init__()

    def direction(self, g: torch.Tensor, normal: Any) -> torch.Tensor:
        """What the network sees of the gradient `g`; `normal` is ``Aᴴ A``."""
        return g

    def length(self, t: int) -> torch.Tensor | float:
        """How far step `t` goes against the direction before the network's change is added."""
        return 0.0


class ExplicitStep(LearnedStep):
    """A gradient step of learned length comes before the network's change."""

    def __init__(self, steps: int):
        super().__init__(steps)
        self.lengths = nn.Parameter(torch.ones(steps))

    def length(self, t: int) -> torch.Tensor | float:
        return self.lengths[min(t, len(self.lengths) - 1)]


class CGStep(ExplicitStep):
    """As `ExplicitStep`, with ``(Aᴴ A + μ)⁻¹ g`` in place of `g`: a few iterations of `sciml.cg`.

    `μ` is learned. Preconditioning by the data term is that of MoDL (Aggarwal, Mani and Jacob,
    arXiv:1712.02862).
    """

    def __init__(self, steps: int, iterations: int = 4, mu: float = 0.1):
        super().__init__(steps)
        self.iterations = iterations
        self.log_mu = nn.Parameter(torch.tensor([mu]).log())

    def direction(self, g: torch.Tensor, normal: Any) -> torch.Tensor:
        return _Solve.apply(g, self.log_mu.exp(), normal, self.iterations)


class _Solve(torch.autograd.Function):
    """``z = (N + μ)⁻¹ g``, differentiated implicitly: both derivatives are solves with the same matrix.

    They are exact where CG has converged; a solve cut short is differentiated by one cut equally short.
    """

    @staticmethod
    def forward(ctx: Any, g: torch.Tensor, mu: torch.Tensor, normal: Any, iterations: int) -> torch.Tensor:
        z = _truncated_cg(normal + float(mu), g, iterations)
        ctx.save_for_backward(z, mu)
        ctx.normal, ctx.iterations = normal, iterations
        return z

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        z, mu = ctx.saved_tensors
        w = _truncated_cg(ctx.normal + float(mu), grads[0], ctx.iterations)
        return w, -(w.conj() * z).real.sum().to(mu.dtype).reshape(mu.shape), None, None


def _truncated_cg(A: Any, b: torch.Tensor, iterations: int) -> torch.Tensor:
    return cg(A, b.detach(), rtol=0.0, atol=0.0, maxiter=iterations, on_failure="ignore").x


STEPS: dict[str, type[LearnedStep]] = {"learned": LearnedStep, "explicit": ExplicitStep, "cg": CGStep}
"""How the gradient enters, by name."""
