"""Operators of any array library inside torch's automatic differentiation."""

from __future__ import annotations

from typing import Any

import torch

from ...backends.namespace import Array, array_namespace, backend_name
from ...operators import BaseOperator

__all__ = ["TorchOperator", "from_torch", "to_torch"]


class TorchOperator(BaseOperator):
    """A linear operator on torch tensors that share their memory with arrays of its own library.

    The derivative of a linear map is the map, and that of the transposed direction its adjoint, so torch can
    train through any operator that knows its adjoint, without recording what happens inside.

    Parameters
    ----------
    A : BaseOperator
    like : array
        An array of the library and the device `A` works on.

    Attributes
    ----------
    applications : int
        Of `A` or its adjoint so far.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sciml import as_operator
    >>> from sciml.learned.rim.bridge import TorchOperator
    >>> A = as_operator(np.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> x = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    >>> (TorchOperator(A, np.zeros(2)) @ x).sum().backward()
    >>> x.grad
    tensor([1., 5.], dtype=torch.float64)
    """

    def __init__(self, A: Any, like: Array):
        super().__init__(A.in_shape, A.out_shape, A.dtype, A.properties)
        self.A, self._library = A, array_namespace(like)
        self.applications = 0

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return _LinearMap.apply(x, self._forward, self._adjoint)

    def _apply_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return _LinearMap.apply(y, self._adjoint, self._forward)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        self.applications += 1
        return to_torch(self.A._apply(from_torch(x, self._library)))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        self.applications += 1
        return to_torch(self.A._apply_adjoint(from_torch(y, self._library)))


class _LinearMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, forward: Any, adjoint: Any) -> torch.Tensor:
        ctx.maps = forward, adjoint
        return forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        forward, adjoint = ctx.maps
        return _LinearMap.apply(grads[0], adjoint, forward), None, None


def to_torch(x: Array) -> torch.Tensor:
    """`x` as a tensor, on the same memory."""
    if backend_name(x) == "torch":
        return x
    if backend_name(x) == "numpy" and not x.flags.writeable:
        x = x.copy()  # torch knows no memory that must not be written
    return torch.from_dlpack(x)


def from_torch(x: torch.Tensor, library: Any) -> Array:
    """`x` as an array of the namespace `library`, on the same memory."""
    if library.__name__.endswith("torch"):
        return x
    return library.from_dlpack(x.detach().resolve_conj().resolve_neg().contiguous())
