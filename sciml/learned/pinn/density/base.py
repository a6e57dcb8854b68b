"""What the density models share: the box they live on, and how they are sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats.qmc
import torch

__all__ = ["Density", "quasi_uniform", "zero_network"]


class Density(torch.nn.Module):
    """A positive probability density on a box, given by an invertible map to a latent variable.

    A subclass defines `forward` and `inverse`; the law of the latent variable is uniform on the unit cube
    unless it overrides `latent` and `latent_log_prob` too.

    Parameters
    ----------
    lower, upper : sequence of float, shape (d,)
        Corners of the box.

    Attributes
    ----------
    dimension : int
    lower, upper : tensor (d,)
    """

    lower: torch.Tensor
    upper: torch.Tensor

    def __init__(self, lower: Any, upper: Any):
        super().__init__()
        low = torch.as_tensor(lower, dtype=torch.float64).reshape(-1).clone()
        high = torch.as_tensor(upper, dtype=torch.float64).reshape(-1).clone()
        if low.shape != high.shape or low.numel() < 1:
            raise ValueError(
                f"lower has {low.numel()} values and upper {high.numel()}; expected one per axis"
            )
        if not (torch.isfinite(low).all() and torch.isfinite(high).all() and (high > low).all()):
            raise ValueError(f"the box runs from {low.tolist()} to {high.tolist()}; expected lower < upper")
        self.dimension = low.numel()
        self.register_buffer("lower", low, persistent=False)
        self.register_buffer("upper", high, persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent variables (n, d) of points (n, d), and the log-determinant (n,) of the map there."""
        raise NotImplementedError

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """Points (n, d) whose latent variables are `z`."""
        raise NotImplementedError

    def latent(self, u: torch.Tensor) -> torch.Tensor:
        """Latent variables with the right law from uniform numbers (n, d)."""
        return u

    def latent_log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Log-density (n,) of the latent variable."""
        return torch.zeros_like(z[:, 0])

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Log-density (n,) at points (n, d) of the box, per unit of its volume."""
        z, log_det = self.forward(x)
        return self.latent_log_prob(z) + log_det

    def sample(self, n: int, rng: np.random.Generator, *, quasi: bool = False) -> torch.Tensor:
        """Draw points (n, d); `quasi` takes scrambled Sobol instead of independent latent variables."""
        u = quasi_uniform(n, self.dimension, rng) if quasi else rng.random((n, self.dimension))
        with torch.no_grad():
            return self.inverse(self.latent(torch.as_tensor(u).to(self.lower)))

    def check(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, if it is (n, d).

        Raises
        ------
        ValueError
        """
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ValueError(f"x has shape {tuple(x.shape)}; expected (n, {self.dimension})")
        return x


def quasi_uniform(n: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """The first `n` of scrambled Sobol points in the open unit cube."""
    points = scipy.stats.qmc.Sobol(dimension, scramble=True, seed=rng).random_base2(
        max(n - 1, 0).bit_length()
    )
    tiny = np.finfo(float).eps
    return np.clip(points[:n], tiny, 1.0 - tiny)


def zero_network(
    inputs: int, width: int, outputs: int, activation: type[torch.nn.Module] = torch.nn.Tanh
) -> torch.nn.Sequential:
    """A network of two hidden layers in double precision that gives zeros before training."""
    last = torch.nn.Linear(width, outputs)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    first, second = torch.nn.Linear(inputs, width), torch.nn.Linear(width, width)
    return torch.nn.Sequential(first, activation(), second, activation(), last).double()
