"""Systems that are solved while the network learns, so that it sees the residuals a solver brings to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...backends.namespace import from_numpy
from .data import Data

__all__ = ["LOSSES", "MEMORY", "Replay", "direction_loss"]

LOSSES = ("energy", "residual")
"""What `direction_loss` measures."""

MEMORY = 2
"""Directions a new one is made conjugate to in training, as `dcd` does by default."""


def direction_loss(
    A: Any, r: torch.Tensor, y: torch.Tensor, error: torch.Tensor | None = None, kind: str = "residual"
) -> torch.Tensor:
    r"""What is left after the best step along `y`, as a share; the mean over the batch.

    The step :math:`α = ⟨y, r⟩ / ⟨y, Ay⟩` minimises the A-norm of the error along `y`, so the scale of `y`
    does not matter. ``"residual"`` is the published loss :math:`\|r - αAy\|^2 / \|r\|^2`. ``"energy"`` is
    the share of the squared A-norm of the error, :math:`1 - ⟨y, r⟩^2 / (⟨y, Ay⟩⟨e, r⟩)`, which is what the
    step minimises and never exceeds 1.

    Parameters
    ----------
    A : operator on torch tensors
    r, y : tensor ``(batch, *grid)``
        Residuals and directions.
    error : tensor, optional
        The errors ``e`` with ``A e = r``, for ``"energy"``.
    kind : {"residual", "energy"}

    Returns
    -------
    tensor
        Scalar; 0 for exact directions.
    """
    return _share(r, error, *_step(A, r, y), kind).mean()


class Replay:
    """A pool of systems in the middle of their solution by `dcd`.

    Every update of the network draws a few, makes the network's directions conjugate to the last two as the
    solver does, and puts the systems back one iteration further. Each time a system is drawn, it is replaced
    by a new one with probability ``1 / depth``: a ``depth`` of 1 is training on fresh right-hand sides only.

    The state of a system is its error ``e``; its residual is computed as ``A e``, so that rounding does not
    pile up, however long a system stays.
    """

    def __init__(self, A: Any, data: Data, rng: np.random.Generator, *, size: int, depth: int, device: Any):
        self.A, self.data, self.depth, self.device = A, data, depth, device
        self.errors = self._new(rng, size)
        unknown = getattr(A, "fluid", None)
        # What a network says about cells without an unknown is cut off in use, so in training too.
        self._unknown = (
            None if unknown is None or unknown.all() else from_numpy(unknown, "torch", device=device)
        )
        empty = torch.zeros((MEMORY, size, *data.shape), device=device)
        self.directions, self.products = empty, empty.clone()

    def loss(self, net: Any, rng: np.random.Generator, batch: int, kind: str) -> torch.Tensor:
        """Advance `batch` systems by one iteration; the loss of the network's directions on the way."""
        size = self.errors.shape[0]
        chosen = torch.from_numpy(rng.choice(size, batch, replace=False)).to(self.device)
        fresh = torch.from_numpy(rng.random(batch) * self.depth < 1.0).to(self.device)
        fresh = fresh.reshape(-1, *(1,) * len(self.data.shape))
        error = torch.where(fresh, self._new(rng, batch), self.errors[chosen])
        kept = [
            (torch.where(fresh, 0.0, p[chosen]), torch.where(fresh, 0.0, q[chosen]))
            for p, q in zip(self.directions, self.products, strict=True)
        ]
        r = _apply(self.A, error)
        scale = _rms(r)
        r, error = r / scale, error / scale
        y = net(r).to(r.dtype)
        y = y if self._unknown is None else y * self._unknown
        y = y / _rms(y)
        d = y
        for p, q in kept:
            energy = _dot(p, q)
            d = d - torch.where(energy > 0, _dot(y, q) / torch.where(energy > 0, energy, 1.0), 0.0) * p
        step = _step(self.A, r, d)
        share = _share(r, error, *step, kind)
        if bool(torch.isfinite(share).all()):
            d, product, alpha = (value.detach() for value in step)
            self.errors[chosen] = error - alpha * d
            self.directions[1:, chosen], self.products[1:, chosen] = (
                torch.stack([pair[i] for pair in kept[:-1]]) for i in (0, 1)
            )
            self.directions[0, chosen], self.products[0, chosen] = d, product
        return share.mean()

    def state(self) -> dict[str, torch.Tensor]:
        return {"errors": self.errors, "directions": self.directions, "products": self.products}

    def load(self, state: dict[str, Any]) -> None:
        for name, now in self.state().items():
            found = np.array(state[name])
            if found.shape != tuple(now.shape):
                raise ValueError(f"{name} has shape {found.shape}; expected {tuple(now.shape)}")
            setattr(self, name, torch.from_numpy(found).to(self.device, now.dtype))

    def _new(self, rng: np.random.Generator, size: int) -> torch.Tensor:
        values = np.ascontiguousarray(self.data.sample(rng, size), dtype=np.float32)
        return from_numpy(values, "torch", device=self.device)


def _step(A: Any, r: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`d`, ``A d`` and the best step along it."""
    d = d.to(r.dtype)
    product = _apply(A, d)
    return d, product, _dot(d, r) / _dot(d, product)


def _share(
    r: torch.Tensor, error: torch.Tensor | None, d: torch.Tensor, product: torch.Tensor, alpha: Any, kind: str
) -> torch.Tensor:
    if kind == "residual":
        return _dot(r - alpha * product, r - alpha * product) / _dot(r, r)
    if kind != "energy":
        raise ValueError(f"loss is {kind!r}; expected one of {', '.join(LOSSES)}")
    if error is None:
        raise TypeError("the loss 'energy' needs the errors, but error is None")
    return 1.0 - alpha * _dot(d, r) / _dot(error, r)


def _apply(A: Any, x: torch.Tensor) -> torch.Tensor:
    """`A` on a batch, in single precision also inside autocast."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.stack([A(v.reshape(A.in_shape)).reshape(v.shape) for v in x])


def _dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * y).sum(tuple(range(1, x.ndim)), keepdim=True)


def _rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(tuple(range(1, x.ndim)), keepdim=True).sqrt()
