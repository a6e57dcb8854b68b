"""The loss over all estimates of an unrolled iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

__all__ = ["LOSSES", "WEIGHTINGS", "step_weights", "unrolled_loss"]


def l1(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean modulus of the difference."""
    return (x - target).abs().mean()


def mse(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared modulus of the difference."""
    return (x - target).abs().square().mean()


def log_l1(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Logarithm of `l1`: halving the error of a scan counts as much however large it is, as in decibels."""
    return _log(l1(x, target))


def log_mse(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Logarithm of `mse`: what a PSNR is, up to constants."""
    return _log(mse(x, target))


def _log(error: torch.Tensor) -> torch.Tensor:
    return error.clamp_min(torch.finfo(error.dtype).tiny).log()


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "l1": l1, "mse": mse, "log-l1": log_l1, "log-mse": log_mse,
}  # fmt: skip
WEIGHTINGS = ("logspace", "steep", "uniform")
_DECADES = {"logspace": 1.0, "steep": 3.5}


def step_weights(steps: int, weighting: str = "logspace") -> torch.Tensor:
    """Weight of every step of a block.

    Parameters
    ----------
    steps : int
    weighting : {"logspace", "steep", "uniform"}
        ``10^(d (t/(steps − 1) − 1))`` for ``t = 0 … steps − 1``, with ``d = 1`` as arXiv:2111.15498 has it
        or, where nearly the last estimate alone counts, 3.5; or all 1.

    Examples
    --------
    >>> from sciml.learned.rim import step_weights
    >>> [round(float(w), 3) for w in step_weights(8)]
    [0.1, 0.139, 0.193, 0.268, 0.373, 0.518, 0.72, 1.0]
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting is {weighting!r}; expected one of {', '.join(WEIGHTINGS)}")
    if weighting == "uniform" or steps == 1:
        return torch.ones(steps)
    return torch.logspace(-_DECADES[weighting], 0.0, steps)


def unrolled_loss(errors: Sequence[torch.Tensor], steps: int, weighting: str = "logspace") -> torch.Tensor:
    """Mean over blocks of ``Σ_t w_t e_t / steps``: every step's error has its own weight.

    (The public code multiplies every error by the whole weight vector, so that all steps weigh the same.)

    Parameters
    ----------
    errors : sequence of scalar tensors
        Of all steps of all blocks, in order.
    steps : int
        Per block.
    """
    weights = step_weights(steps, weighting).to(errors[0])
    return (torch.stack(list(errors)).reshape(-1, steps) * weights).sum(1).mean() / steps
