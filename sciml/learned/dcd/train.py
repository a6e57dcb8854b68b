"""Training of direction networks: unsupervised, on one operator, with the optimal scaling inside the loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ...backends.namespace import from_numpy, sparse_from_scipy
from ...operators import MatrixOperator, PoissonOperator, as_operator
from ..gradient import GradientTraining, data_parallel, set_seed
from ..training import History, fit, stream
from .data import BoxModes, Data
from .network import DirectionNet, architecture
from .operator import DCDNetwork
from .solver import dcd

__all__ = ["direction_loss", "torch_operator", "train_dcd"]

VALIDATION = 1_000_003
"""Purpose of the random stream of held-out right-hand sides; ranks of processes count from 0."""

HELD_OUT, HELD_OUT_ITERATIONS = 4, 10
"""Right-hand sides the iterate is judged on, and iterations of `dcd` on each."""


def train_dcd(
    A: Any,
    data: Data | None = None,
    *,
    architecture: str | Mapping[str, Any] = "small",
    steps: int = 3000,
    batch: int = 4,
    lr: float = 2e-3,
    harvest: int = 4,
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
    r"""Train a direction network on one operator.

    The loss of a right-hand side `b` and the network's answer `y` is
    :math:`\|b - αAy\|^2 / \|b\|^2` with the best step :math:`α = ⟨y, b⟩ / ⟨y, Ay⟩` in the A-norm: no solution is
    needed, and the scale of `y` does not matter.

    Parameters
    ----------
    A : PoissonOperator or matrix
        Symmetric positive definite.
    data : Data, optional
        Right-hand sides: `BoxModes` (the default, for empty boxes), `RitzModes`, or anything with ``shape`` and
        ``sample(rng, size)``.
    architecture : str or mapping
        A name from `ARCHITECTURES`, or the arguments of `DirectionNet` without ``ndim``.
    steps, batch : int
        Updates, and right-hand sides in each (per process in data parallel).
    lr : float
        Largest learning rate of Adam; it falls linearly to zero.
    harvest : int
        Every batch first goes through up to this many steps of descent with the network as it is, so that the
        network also sees residuals it leaves behind itself. 0: the data as they are, as published.
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
        The iterate that was best on right-hand sides no step has seen: the mean factor by which ten iterations of
        `dcd` reduce their residual, per iteration.
    history : History

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> from sciml import PoissonOperator
    >>> from sciml.learned.dcd import train_dcd
    >>> network, history = train_dcd(PoissonOperator((8, 8)), steps=3, batch=2)
    >>> history.steps
    3
    """
    A = as_operator(A)
    for name, value, least in (("batch", batch, 1), ("harvest", harvest, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; expected an integer >= {least}")
    data = BoxModes(A) if data is None else data
    settings = _settings(architecture, len(data.shape))
    with data_parallel() as (rank, size):
        set_seed(seed)
        net = DirectionNet(**settings).to(device)
        system = torch_operator(A, device)
        held_out = _tensor(data.sample(stream(seed, 0, VALIDATION), HELD_OUT), device)

        def loss(index: int) -> torch.Tensor:
            rng = stream(seed, index, rank)
            r = _tensor(data.sample(rng, batch), device)
            for _ in range(int(rng.integers(0, harvest + 1))):
                r = _left_behind(system, net, r)
            return direction_loss(system, r, net(r))

        def validate() -> float:
            return _reduction(system, DCDNetwork(net, data.shape), held_out)

        training = GradientTraining(net, loss, steps=steps, lr=lr, clip=1.0, precision=precision)
        history = fit(
            training,
            steps=steps,
            validate=validate,
            validate_every=validate_every,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            fingerprint={
                **net.settings, "grid": list(data.shape), "batch": batch, "lr": lr, "harvest": harvest,
                "seed": seed, "precision": precision, "law": getattr(data, "law", None), "processes": size,
            },
            label="DCD network",
            progress=progress if rank == 0 else False,
            callback=callback,
        )  # fmt: skip
    return DCDNetwork(net, data.shape), history


def direction_loss(A: Any, r: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Mean of :math:`\|r - αAy\|^2 / \|r\|^2` with the best step `α` in the A-norm.

    Parameters
    ----------
    A : operator on torch tensors
    r, y : tensor ``(batch, *grid)``
        Right-hand sides and the network's directions. The loss does not change when `y` is scaled.

    Returns
    -------
    tensor
        Scalar; 1 for directions that help nothing, 0 for solutions.
    """
    left = _step(A, r, y)
    axes = tuple(range(1, r.ndim))
    return (left.square().sum(axes) / r.square().sum(axes)).mean()


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


def _step(A: Any, r: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``r − α A y``: the residual that the best step along `y` leaves."""
    axes = tuple(range(1, r.ndim))
    with torch.autocast(r.device.type, enabled=False):
        y = y.to(r.dtype)
        Ay = torch.stack([A(v.reshape(A.in_shape)).reshape(v.shape) for v in y])
        alpha = (y * r).sum(axes, keepdim=True) / (y * Ay).sum(axes, keepdim=True)
        return r - alpha * Ay


@torch.no_grad()
def _left_behind(A: Any, net: DirectionNet, r: torch.Tensor) -> torch.Tensor:
    """The normalised residual after a step of descent with the network's directions."""
    left = _step(A, r, net(r))
    return left / left.square().mean(tuple(range(1, r.ndim)), keepdim=True).sqrt()


def _reduction(A: Any, network: DCDNetwork, right_hand_sides: torch.Tensor) -> float:
    """Geometric mean of the factor by which an iteration of `dcd` reduces the residual."""
    logarithms = []
    for b in right_hand_sides:
        settings: dict[str, Any] = {"rtol": 0.0, "maxiter": HELD_OUT_ITERATIONS, "on_failure": "ignore"}
        history = dcd(A, b.reshape(A.in_shape), network, **settings).residual_history
        logarithms.append(np.log(max(history[-1], 1e-30) / history[0]) / HELD_OUT_ITERATIONS)
    return float(np.exp(np.mean(logarithms)))


def _settings(given: str | Mapping[str, Any], ndim: int) -> dict[str, Any]:
    return architecture(given, ndim) if isinstance(given, str) else {"ndim": ndim, **given}


def _tensor(values: np.ndarray, device: Any) -> torch.Tensor:
    return from_numpy(np.ascontiguousarray(values, dtype=np.float32), "torch", device=device)
