"""Training of direction networks on one operator, with the optimal step inside the loss."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ...backends.namespace import sparse_from_scipy
from ...operators import MatrixOperator, PoissonOperator, as_operator
from ..gradient import GradientTraining, data_parallel, set_seed
from ..schedules import LinearDecay, Schedule, described
from ..training import History, fit, stream
from .data import BoxModes, Data
from .network import DirectionNet, architecture
from .operator import DCDNetwork
from .replay import LOSSES, Replay
from .solver import dcd

__all__ = ["torch_operator", "train_dcd"]

POOL, VALIDATION = 1_000_003, 1_000_033
"""Purposes of the random streams of first and of held-out systems; ranks of processes count from 0."""

POOL_SIZE = 8
"""Batches of systems in the pool."""

HELD_OUT, HELD_OUT_ITERATIONS = 4, 5
"""Systems the iterate is judged on, and iterations of `dcd` on each: few, as single precision ends soon."""


def train_dcd(
    A: Any,
    data: Data | None = None,
    *,
    architecture: str | Mapping[str, Any] = "small",
    steps: int = 3000,
    batch: int = 4,
    lr: float = 3e-3,
    schedule: Schedule | None = None,
    loss: str = "energy",
    depth: int = 16,
    seed: int = 0,
    precision: str = "float32",
    device: Any = "cpu",
    validate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    progress: bool | None = None,
    callback: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> tuple[DCDNetwork, History]:
    """Train a direction network on one operator.

    The published recipe is ``loss="residual", depth=1`` with ``law="lowest"`` data: fresh right-hand sides,
    and the residual that the best step along the network's direction leaves. The default follows systems
    through the iterations of `dcd` and measures the energy instead, because a network is called with the
    residuals that it leaves behind itself, and those are not distributed like the data.

    Parameters
    ----------
    A : PoissonOperator or matrix
        Symmetric positive definite.
    data : Data, optional
        Systems: `BoxModes` (the default, for empty boxes), `RitzModes`, or anything with ``shape`` and
        ``sample(rng, size)``.
    architecture : str or mapping
        A name from `ARCHITECTURES`, or the arguments of `DirectionNet` without ``ndim``.
    steps, batch : int
        Updates, and systems in each (per process in data parallel).
    lr : float
        Largest learning rate of Adam.
    schedule : Schedule, optional
        Factor of it at every step; by default `LinearDecay`.
    loss : {"energy", "residual"}
        See `direction_loss`.
    depth : int
        Iterations a system is followed on average, see `Replay`.
    seed : int
        Of weights and data.
    precision : {"float32", "bfloat16"}
        bfloat16 convolutions are several times faster where the processor has them.
    device : torch device
        Where to train.
    validate_every : int, optional
        Steps between validations; a twentieth of the run by default.
    checkpoint, checkpoint_every, resume, progress, callback
        See `sciml.learned.fit`.

    Returns
    -------
    network : DCDNetwork
        The iterate that was best on systems no step has seen: the mean factor by which five iterations of
        `dcd` reduce their residual, per iteration.
    history : History

    Raises
    ------
    TypeError, ValueError

    Notes
    -----
    A run of one process that is interrupted and resumed ends with the weights of an uninterrupted one. Of
    several processes each follows its own systems; resumed, all of them continue with those of the first.

    Examples
    --------
    >>> from sciml import PoissonOperator
    >>> from sciml.learned.dcd import train_dcd
    >>> network, history = train_dcd(PoissonOperator((8, 8)), steps=3, batch=2)
    >>> history.steps
    3
    """
    A = as_operator(A)
    for name, value in (("batch", batch), ("depth", depth)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a positive integer")
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; expected one of {', '.join(LOSSES)}")
    data = BoxModes(A) if data is None else data
    if math.prod(data.shape) != A.shape[0]:
        raise ValueError(f"data has shape {data.shape}; expected {A.shape[0]} values to match A")
    schedule = LinearDecay() if schedule is None else schedule
    settings = _settings(architecture, len(data.shape))
    with data_parallel() as (rank, size):
        set_seed(seed)
        net = DirectionNet(**settings).to(device)
        system = torch_operator(A, device)
        replay = Replay(
            system, data, stream(seed, rank, POOL), size=POOL_SIZE * batch, depth=depth, device=device
        )
        held_out = Replay(system, data, stream(seed, 0, VALIDATION), size=HELD_OUT, depth=1, device=device)

        def validate() -> float:
            return _reduction(system, DCDNetwork(net, data.shape), held_out.errors)

        training = _Training(
            net, lambda index: replay.loss(net, stream(seed, index, rank), batch, loss), steps=steps, lr=lr,
            schedule=schedule, clip=1.0, precision=precision,
        )  # fmt: skip
        training.replay = replay
        history = fit(
            training,
            steps=steps,
            validate=validate,
            validate_every=validate_every,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            fingerprint={
                **net.settings, "operator": repr(A), "grid": list(data.shape), "batch": batch, "lr": lr,
                "schedule": described(schedule), "loss": loss, "depth": depth, "seed": seed,
                "precision": precision, "law": getattr(data, "law", None), "processes": size,
            },
            label="DCD network",
            progress=progress if rank == 0 else False,
            callback=callback,
        )  # fmt: skip
    return DCDNetwork(net, data.shape), history


class _Training(GradientTraining):
    """Gradient training whose state includes the systems in the middle of their solution."""

    replay: Replay

    def state(self) -> Any:
        return {**super().state(), "replay": self.replay.state()}

    def load(self, state: Any) -> None:
        super().load(state)
        self.replay.load(state["replay"])


def torch_operator(A: Any, device: Any = "cpu") -> Any:
    """`A` on single-precision torch tensors, for the loss.

    Raises
    ------
    TypeError
        If `A` is neither a `PoissonOperator` nor a matrix.
    """
    if isinstance(A, PoissonOperator):
        return PoissonOperator(
            A.in_shape, spacing=A.spacing, bc=A.bc, cells=A.cells, coefficient=A._face_coefficients,
            shift=A.shift, dtype="float32", backend="torch", device=torch.device(device),
        )  # fmt: skip
    if not hasattr(A, "tocsr"):
        raise TypeError(f"A is a {type(A).__name__}; expected a PoissonOperator or a matrix")
    matrix = sparse_from_scipy(A.tocsr().astype(np.float32), "torch", device=device)
    return MatrixOperator(matrix, A.properties)


def _reduction(A: Any, network: DCDNetwork, solutions: torch.Tensor) -> float:
    """Geometric mean of the factor by which an iteration of `dcd` reduces the residual."""
    logarithms = []
    for x in solutions:
        b = A(x.reshape(A.in_shape))
        settings: dict[str, Any] = {"rtol": 0.0, "maxiter": HELD_OUT_ITERATIONS, "on_failure": "ignore"}
        history = dcd(A, b, network, **settings).residual_history
        # A run may end early at rounding level, which is as good as can be.
        logarithms.append(math.log(max(history[-1] / history[0], 1e-7)) / max(1, len(history) - 1))
    return math.exp(sum(logarithms) / len(logarithms))


def _settings(given: str | Mapping[str, Any], ndim: int) -> dict[str, Any]:
    return architecture(given, ndim) if isinstance(given, str) else {"ndim": ndim, **given}
