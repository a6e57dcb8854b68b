"""Training of torch modules by stochastic gradients: one step, its state, and data parallelism."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from .schedules import LinearDecay, Schedule

__all__ = ["GradientTraining", "data_parallel", "set_seed", "tensors"]


def set_seed(seed: int) -> None:
    """Seed what torch modules draw their initial weights from."""
    torch.manual_seed(int(seed))


class GradientTraining:
    """A torch module, its loss and its optimiser as a `Trainable`.

    Parameters
    ----------
    module : torch.nn.Module
    loss : callable
        ``loss(index)`` draws the data of step `index` (see `training.stream`) and returns a scalar tensor.
    steps : int
        Of the whole run, which the schedule spans.
    lr : float
        Largest learning rate.
    optimizer : callable
        ``optimizer(parameters, lr=lr)``; Adam by default.
    schedule : Schedule, optional
        ``schedule(step, steps)``, a factor of `lr`; by default `LinearDecay`.
    clip : float, optional
        Largest norm of the gradient.
    precision : {"float32", "bfloat16"}
        bfloat16 runs the loss under autocast; weights and optimiser stay as they are.

    Notes
    -----
    A step whose loss or gradient is not finite changes nothing and reports NaN.

    Examples
    --------
    >>> import torch
    >>> from sciml.learned.gradient import GradientTraining, set_seed
    >>> from sciml.learned.training import fit
    >>> set_seed(0)
    >>> line = torch.nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 32)[:, None]
    >>> trainable = GradientTraining(line, lambda i: ((line(x) - 3 * x) ** 2).mean(), steps=200, lr=0.1)
    >>> fit(trainable, steps=200).loss[-1] < 1e-3
    True
    """

    def __init__(
        self,
        module: torch.nn.Module,
        loss: Callable[[int], torch.Tensor],
        *,
        steps: int,
        lr: float,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        schedule: Schedule | None = None,
        clip: float | None = None,
        precision: str = "float32",
    ):
        if not lr > 0:
            raise ValueError(f"lr is {lr!r}; expected a positive number")
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is {precision!r}; expected 'float32' or 'bfloat16'")
        self.module, self.loss, self.steps, self.lr, self.clip = module, loss, steps, lr, clip
        self.schedule = LinearDecay() if schedule is None else schedule
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self._make, self.optimizer = optimizer, optimizer(self.parameters, lr=lr)
        self.precision = precision

    def step(self, index: int) -> Mapping[str, float]:
        """One update; the metrics are the loss, the norm of the gradient and the learning rate."""
        rate = self.lr * self.schedule(index, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self.loss(index)
        loss.backward()
        value = _average(self.parameters, loss.detach())
        clip = math.inf if self.clip is None else self.clip
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, clip))
        if not (math.isfinite(value) and math.isfinite(norm)):
            return {"loss": math.nan}
        self.optimizer.step()
        return {"loss": value, "gradient": norm, "rate": rate}

    def _autocast(self) -> Any:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.parameters[0].device.type, dtype=torch.bfloat16)

    def state(self) -> Any:
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: Any) -> None:
        self.load_weights(state["module"])
        found, like = tensors(state["optimizer"]["state"]), self._state_after_a_step()
        for index, kept in found.items():
            if set(kept) != set(like[index]):
                raise ValueError(f"the optimiser keeps {sorted(kept)}; expected {sorted(like[index])}")
            for name, now in like[index].items():
                kept[name] = kept[name].reshape(now.shape)
        # Settings are this run's own: none of them is taken from a file.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": found, "param_groups": groups})

    def _state_after_a_step(self) -> Any:
        """What the optimiser keeps of every parameter, from one step on other ones of the same shapes."""
        twins = [torch.zeros_like(p, requires_grad=True) for p in self.parameters]
        for twin in twins:
            twin.grad = torch.zeros_like(twin)
        optimizer = self._make(twins, lr=self.lr)
        optimizer.step()
        return optimizer.state_dict()["state"]

    def weights(self) -> Any:
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def load_weights(self, weights: Any) -> None:
        self.module.load_state_dict(tensors(weights))


def tensors(value: Any) -> Any:
    """NumPy arrays of a checkpoint as torch tensors."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {k: tensors(v) for k, v in value.items()}
    return [tensors(v) for v in value] if isinstance(value, list) else value


@contextlib.contextmanager
def data_parallel() -> Iterator[tuple[int, int]]:
    """Join the processes torch's launcher started; yields rank and number of processes.

    ``torchrun --nproc-per-node 2 -m sciml train ...`` runs one training on two processes: each draws its own
    batches (pass the rank as the `purpose` of `training.stream`), gradients and losses are averaged, and the
    first process writes. Without the launcher it yields ``(0, 1)`` and changes nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield 0, 1
        return
    import torch.distributed as dist

    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def _average(parameters: list[torch.nn.Parameter], loss: torch.Tensor) -> float:
    """Average gradients and loss over the processes, where there are several; the loss as a float."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return float(loss)
    # One message for all of them: small networks are bound by latency.
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    joined = torch.cat([part.reshape(-1) for part in parts] + [loss.reshape(1).to(parts[0].dtype)])
    dist.all_reduce(joined)
    joined /= dist.get_world_size()
    start = 0
    for p in parameters:
        p.grad = joined[start : start + p.numel()].reshape(p.shape).clone()
        start += p.numel()
    return float(joined[-1])
