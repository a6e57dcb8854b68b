"""Training of recurrent inference machines."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...backends.namespace import Array
from ...operators import as_operator
from ..gradient import GradientTraining, data_parallel
from ..schedules import LinearDecay, Schedule, described
from ..training import History, fit, stream
from .bridge import TorchOperator, to_torch
from .loss import LOSSES, WEIGHTINGS, unrolled_loss
from .solver import RIM, normal_operator, of_images
from .ssdu import Selected, data_error, split_mask

__all__ = ["Sample", "train_rim"]

_HELD_OUT = 1_000_000
"""Purpose of the random numbers that split held-out data; ranks of a parallel run count from zero."""


@dataclass(frozen=True)
class Sample:
    """One reconstruction to learn from.

    Attributes
    ----------
    A : operator
        Of images to data, as `RIM` takes it; of flat vectors where `x` tells their shape.
    y : array
        Data, of shape ``A.out_shape``.
    x : array or None
        The image; None where only data are known, see `train_rim`.
    """

    A: Any
    y: Array
    x: Array | None = None


def train_rim(
    rim: RIM,
    sample: Callable[[np.random.Generator], Sample],
    *,
    steps: int,
    held_out: Sequence[Sample] = (),
    seed: int = 0,
    lr: float = 1e-3,
    schedule: Schedule | None = None,
    batch: int = 1,
    loss: str = "l1",
    weighting: str = "logspace",
    self_supervised: float | None = None,
    clip: float = 1.0,
    precision: str = "float32",
    validate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    fingerprint: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    callback: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> History:
    """Train `rim` in place, with Adam, on samples drawn anew in every step.

    Parameters
    ----------
    rim : RIM
    sample : callable
        ``sample(rng)`` draws a `Sample`; all its randomness must come from `rng`.
    steps : int
        Updates, those of an interrupted run included.
    held_out : sequence of Sample
        Their mean error after the last step chooses the best iterate; without them the last one stays.
    seed : int
        Of the samples.
    lr : float
        Largest learning rate.
    schedule : Schedule, optional
        Factor of it at every step; by default `LinearDecay`.
    batch : int
        Samples per update.
    loss : {"l1", "mse", "log-l1", "log-mse"}
        Of an image, on the scale of the largest modulus of ``Aᴴ y``: complex, so that phase and scale count.
        The logarithms weigh samples with small and large errors alike, as a mean PSNR in decibels does.
    weighting : {"logspace", "steep", "uniform"}
        How the estimates of the steps weigh, see `step_weights`.
    self_supervised : float, optional
        Train on data alone (SSDU): this share of the sampled locations judges what the others reconstruct.
        `loss` is then the relative error of the data.
    clip : float
        Largest norm of the gradient.
    precision : {"float32", "bfloat16"}
        Of the networks; operators keep that of the samples.
    validate_every, checkpoint, checkpoint_every, resume, fingerprint, progress, callback
        As `sciml.learned.fit` takes them. The settings of `rim` and of the training are part of the
        fingerprint.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For impossible settings, before any work; for samples without images in supervised training.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import CallableOperator
    >>> from sciml.learned.rim import RIM, Sample, train_rim
    >>> halve = CallableOperator(lambda x: x / 2, (8, 8), dtype="float32", properties={"symmetric", "linear"})
    >>> def sample(rng):
    ...     x = rng.random((8, 8), dtype=np.float32)
    ...     return Sample(halve, x / 2, x)
    >>> history = train_rim(RIM(channels=4, steps=2, components=1), sample, steps=30, lr=1e-2)
    >>> history.loss[-1] < 0.5 * history.loss[0]
    True
    """
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; expected one of {', '.join(LOSSES)}")
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting is {weighting!r}; expected one of {', '.join(WEIGHTINGS)}")
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch is {batch!r}; expected a positive integer")
    if self_supervised is not None and not 0.0 < self_supervised < 1.0:
        raise ValueError(f"self_supervised is {self_supervised!r}; expected a share between 0 and 1")
    schedule = LinearDecay() if schedule is None else schedule
    judge = _Judge(rim, loss, self_supervised)

    with data_parallel() as (rank, _):

        def draw_loss(index: int) -> torch.Tensor:
            rng = stream(seed, index, rank)
            losses = [
                unrolled_loss(judge.errors(sample(rng), rng), rim.config["steps"], weighting)
                for _ in range(batch)
            ]
            return torch.stack(losses).mean()

        def validate() -> float:
            with torch.no_grad():
                errors = [judge.errors(s, stream(seed, i, _HELD_OUT))[-1] for i, s in enumerate(held_out)]
            mean = float(torch.stack(errors).mean())
            return math.exp(mean) if judge.logarithmic else mean  # the geometric mean of the errors

        marks = {"rim": rim.config, "seed": seed, "lr": lr, "batch": batch, "loss": loss,
                 "weighting": weighting, "schedule": described(schedule), "precision": precision,
                 "self_supervised": self_supervised}  # fmt: skip
        return fit(
            GradientTraining(
                rim.module, draw_loss, steps=steps, lr=lr, schedule=schedule, clip=clip, precision=precision
            ),
            steps=steps, validate=validate if held_out else None, validate_every=validate_every,
            checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume,
            fingerprint={**marks, **(fingerprint or {})}, label="RIM", progress=progress, callback=callback,
        )  # fmt: skip


class _Judge:
    """Errors of all estimates of a sample, supervised or not."""

    def __init__(self, rim: RIM, loss: str, share: float | None):
        self.rim, self.loss, self.share = rim, LOSSES[loss], share
        self.logarithmic = share is None and loss.startswith("log-")

    def errors(self, sample: Sample, rng: np.random.Generator) -> list[torch.Tensor]:
        operator = of_images(as_operator(sample.A), None if sample.x is None else tuple(sample.x.shape))
        self.rim.check(operator, sample.y)
        A, y = TorchOperator(operator, sample.y), to_torch(sample.y)
        if self.share is not None:
            return self._on_data(A, y, rng)
        if sample.x is None:
            raise ValueError("the sample has no image x; expected one, or self_supervised=share")
        estimates, unit = self._estimates(A, TorchOperator(normal_operator(operator), sample.y), y)
        target = to_torch(sample.x) / unit
        return [self.loss(x, target) for x in estimates]

    def _on_data(self, A: Any, y: torch.Tensor, rng: np.random.Generator) -> list[torch.Tensor]:
        sampled = (y != 0).reshape(-1, *y.shape[-2:]).any(dim=0)
        theta, judge = (
            torch.from_numpy(m).to(y.real.dtype).to(y.device)
            for m in split_mask(sampled.cpu().numpy(), rng, share=self.share or 0.0)
        )
        part = Selected(A, theta)
        estimates, unit = self._estimates(part, part.H @ part, theta * y)
        measured = judge * y / unit
        return [data_error(judge * A._apply(x), measured) for x in estimates]

    def _estimates(self, A: Any, normal: Any, y: torch.Tensor) -> tuple[list[torch.Tensor], float]:
        back = A._apply_adjoint(y)
        unit = float(back.abs().max()) or 1.0
        return self.rim.module(A, normal, y / unit, back / unit), unit
