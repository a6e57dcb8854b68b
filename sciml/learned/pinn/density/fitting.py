"""Fitting a density to a squared residual: adversarial ascent, cross-entropy, and the exact maximiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ....operators import PoissonOperator
from ....preconditioners import FFT
from ...gradient import GradientTraining
from .base import Density

__all__ = ["cross_entropy", "exact_maximiser", "fit_density", "penalised_mean"]


def penalised_mean(
    density: Density, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, beta: float
) -> torch.Tensor:
    r"""What the adversarial density maximises: :math:`\int t\,p - β \int |∇p|^2`, by a quadrature.

    Parameters
    ----------
    density : Density
    x : tensor (n, d)
        Quadrature points.
    target : tensor (n,)
        Values of :math:`t`, the squared residual. Their mean over the box is subtracted, which changes the
        value by a constant and takes most of the variance out of it.
    weight : tensor (n,)
        Quadrature weights: ``1 / (n q(x))`` for points drawn from a density `q`.
    beta : float
        Weight of the penalty; the larger, the closer the maximiser is to uniform. Units of
        :math:`t L^{d + 2}`, for lengths measured in :math:`L`.

    Returns
    -------
    tensor ()
        Differentiable in the parameters of `density`.

    References
    ----------
    Tang, Zhai, Wan and Yang, Adversarial adaptive sampling, arXiv:2305.18702.
    """
    x = x.detach().requires_grad_(True)
    log_p = density.log_prob(x)
    (slope,) = torch.autograd.grad(log_p.sum(), x, create_graph=True)
    p = log_p.exp()
    target = target - (weight * target).sum() / weight.sum()
    return (weight * (target * p - beta * p**2 * (slope**2).sum(1))).sum()


def cross_entropy(density: Density, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    r"""Cross-entropy of a target density and `density`, :math:`-\sum w \log p(x) / \sum w`.

    Parameters
    ----------
    density : Density
    x : tensor (n, d)
    weight : tensor (n,)
        Target over the density that the points were drawn from; any multiple of it.
    """
    return -(weight * density.log_prob(x)).sum() / weight.sum()


def fit_density(
    density: Density,
    loss: Callable[[], torch.Tensor],
    *,
    steps: int,
    lr: float = 1e-2,
    clip: float | None = 1.0,
) -> list[float]:
    """Minimise `loss` over the parameters of `density` by Adam, the rate falling to zero; the losses."""
    training = GradientTraining(density, lambda index: loss(), steps=steps, lr=lr, clip=clip)
    return [training.step(index)["loss"] for index in range(steps)]


def exact_maximiser(target: np.ndarray, beta: float, lower: Any, upper: Any) -> np.ndarray:
    r"""The density that maximises `penalised_mean` among all, on a grid in the plane or in space.

    Where it is positive it solves :math:`-2 β Δp = t - \bar t` with closed (Neumann) sides and
    :math:`\int p = 1`: one fast cosine transform.

    Parameters
    ----------
    target : array, one value per cell
        Values at the centres of equal cells of the box.
    beta : float
    lower, upper : sequence of float
        Corners of the box.

    Returns
    -------
    array
        The density at the centres.

    Raises
    ------
    ValueError
        Where the solution is negative somewhere: `beta` is too small for this formula.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn.density import exact_maximiser
    >>> exact_maximiser(np.ones((4, 4)), 1.0, [0, 0], [2, 2])[0, 0].item()
    0.25
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta!r}; expected a positive number")
    target = np.asarray(target, dtype=float)
    size = np.asarray(upper, dtype=float) - np.asarray(lower, dtype=float)
    if target.ndim not in (2, 3) or size.shape != (target.ndim,):
        raise ValueError(
            f"target has shape {target.shape} and the box {size.size} sides; expected 2 or 3 axes"
        )
    operator = PoissonOperator(target.shape, spacing=tuple(size / target.shape), bc="neumann")
    deviation = FFT(operator)(target - target.mean()) / (2 * beta)  # of mean zero
    density = 1 / math.prod(size) + deviation
    if density.min() < 0:
        factor = -deviation.min() * math.prod(size)
        raise ValueError(
            f"beta is {beta:.4g}, which makes the solution negative; expected at least {beta * factor:.4g}"
        )
    return density
