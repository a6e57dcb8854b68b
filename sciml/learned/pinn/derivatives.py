"""Derivatives carried forward: a value, its gradient and chosen second derivatives in one pass.

A `Jet` holds them as channels of one tensor, ``(channels, n, ...)``: the value, then one channel per axis of
the gradient, then one per second derivative that was asked for, where the Laplacian is one channel whatever
the dimension (the *forward Laplacian*, Li et al., Nature Machine Intelligence 6, 209, 2024). Arithmetic on
jets is the product and the chain rule, so that whatever is built from them carries its derivatives along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Channels", "Jet", "Second"]

Second = str | tuple[int, int]
"""``"laplacian"``, or a pair of axes."""


@dataclass(frozen=True)
class Channels:
    """Which derivatives a jet carries.

    Attributes
    ----------
    dimension : int
        Of the points.
    gradient : bool
        Whether first derivatives are carried; second ones need them.
    seconds : tuple
        ``"laplacian"`` or pairs of axes ``(i, j)`` with ``i <= j``.
    """

    dimension: int
    gradient: bool = False
    seconds: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.seconds and not self.gradient:
            raise ValueError("seconds are asked for without gradient; expected gradient=True")

    @classmethod
    def all(cls, dimension: int) -> Channels:
        """The gradient, the Laplacian and the whole Hessian."""
        pairs = [(i, j) for i in range(dimension) for j in range(i, dimension)]
        return cls(dimension, True, ("laplacian", *pairs))

    @property
    def count(self) -> int:
        return 1 + self.dimension * self.gradient + len(self.seconds)

    @property
    def first(self) -> slice:
        """The channels of the gradient."""
        return slice(1, 1 + self.dimension * self.gradient)

    def second(self, which: Second) -> int:
        """The channel of a second derivative."""
        return 1 + self.dimension + self.seconds.index(which)

    def squares(self, g: Tensor) -> Tensor:
        """What the square of a gradient `g` (d, ...) adds to every second derivative: (seconds, ...)."""
        return torch.stack([(g * g).sum(0) if s == "laplacian" else g[s[0]] * g[s[1]] for s in self.seconds])

    def products(self, g: Tensor, h: Tensor) -> Tensor:
        """Twice the symmetric product of two gradients, as the product rule needs it: (seconds, ...)."""
        return torch.stack(
            [
                2.0 * (g * h).sum(0) if s == "laplacian" else g[s[0]] * h[s[1]] + g[s[1]] * h[s[0]]
                for s in self.seconds
            ]
        )

    def squares_adjoint(self, cotangent: Tensor, g: Tensor) -> Tensor:
        """Cotangent of `g` for that of ``squares(g)``: (d, ...)."""
        total = torch.zeros_like(g)
        for s, c in zip(self.seconds, cotangent, strict=True):
            if s == "laplacian":
                total += 2.0 * c * g
            else:
                i, j = s
                total[i] += c * g[j]
                total[j] += c * g[i]
        return total


class Jet:
    """A function of the points with its derivatives; supports arithmetic and the usual torch functions.

    Parameters
    ----------
    data : Tensor (channels, n, ...)
    channels : Channels

    Examples
    --------
    The Laplacian of ``x² y`` is ``2 y``:

    >>> import torch
    >>> from sciml.learned.pinn.derivatives import Channels, Jet
    >>> x = Jet.coordinates(torch.tensor([[1.0, 3.0]]), Channels(2, True, ("laplacian",)))
    >>> (x[:, 0] ** 2 * x[:, 1]).laplacian
    tensor([6.])
    >>> torch.exp(x[:, 0]).grad
    tensor([[2.7183, 0.0000]])
    """

    def __init__(self, data: Tensor, channels: Channels):
        self.data, self.channels = data, channels

    @classmethod
    def coordinates(cls, x: Tensor, channels: Channels) -> Jet:
        """The points themselves, ``(n, d)``."""
        data = torch.zeros(channels.count, *x.shape, dtype=x.dtype, device=x.device)
        data[0] = x
        if channels.gradient:
            data[channels.first] = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None, :]
        return cls(data, channels)

    # -- what a residual reads ------------------------------------------------------------------
    @property
    def value(self) -> Tensor:
        """Values (n,)."""
        return self.data[0]

    @property
    def grad(self) -> Tensor:
        """Gradients (n, d)."""
        return self.data[self.channels.first].movedim(0, -1)

    @property
    def laplacian(self) -> Tensor:
        """Laplacians over all axes (n,)."""
        return self.data[self.channels.second("laplacian")]

    def second(self, i: int, j: int) -> Tensor:
        """Second derivatives with respect to axes `i` and `j` (n,)."""
        return self.data[self.channels.second((min(i, j), max(i, j)))]

    # -- arithmetic -------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Jet:
        if isinstance(other, Jet):
            return Jet(self.data + other.data, self.channels)
        head = self.data[:1] + _constant(other)
        return Jet(torch.cat([head, self.data[1:]]), self.channels)

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.data * _constant(other), self.channels)
        c, f, g = self.channels, self.data, other.data
        product = f[:1] * g + torch.cat([torch.zeros_like(f[:1] * g[:1]), f[1:] * g[:1]])
        if not c.seconds:
            return Jet(product, c)
        split = c.first.stop
        mixed = c.products(f[c.first], g[c.first])
        return Jet(torch.cat([product[:split], product[split:] + mixed]), c)

    def __neg__(self) -> Jet:
        return Jet(-self.data, self.channels)

    def __sub__(self, other: Any) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Any) -> Jet:
        return -self + other

    def __truediv__(self, other: Any) -> Jet:
        return self * (other**-1.0 if isinstance(other, Jet) else 1.0 / _constant(other))

    def __rtruediv__(self, other: Any) -> Jet:
        return self**-1.0 * other

    def __pow__(self, exponent: Any) -> Jet:
        p = _constant(exponent)
        if p == 2:
            return self * self
        a = self.value
        return self.apply(a**p, p * a ** (p - 1), p * (p - 1) * a ** (p - 2))

    __radd__, __rmul__ = __add__, __mul__

    def apply(self, value: Tensor, first: Tensor, second: Tensor) -> Jet:
        """The chain rule: a function with this value and derivatives at ``self.value``."""
        c = self.channels
        parts = [value[None], first * self.data[1:]]
        if c.seconds:
            split = c.first.stop
            squares = second * c.squares(self.data[c.first])
            parts = [value[None], first * self.data[c.first], first * self.data[split:] + squares]
        return Jet(torch.cat(parts), c)

    def function(self, name: str) -> Jet:
        """The function of torch called `name` of this jet."""
        return self.apply(*_FUNCTIONS[name](self.value))

    # -- shapes, for coordinates (n, d) -------------------------------------------------------------
    def __getitem__(self, index: Any) -> Jet:
        index = index if isinstance(index, tuple) else (index,)
        return Jet(self.data[(slice(None), *index)], self.channels)

    def sum(self, dim: int) -> Jet:
        """Sum over a trailing axis, such as ``dim=1`` of coordinates."""
        return Jet(self.data.sum(dim=dim + 1 if dim >= 0 else dim), self.channels)

    def prod(self, dim: int) -> Jet:
        """Product over a trailing axis."""
        axis = dim + 1 if dim >= 0 else dim
        product, *rest = (Jet(part, self.channels) for part in self.data.unbind(axis))
        for factor in rest:
            product = product * factor
        return product

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Lets ``torch.exp(jet)`` and its like work as on tensors."""
        name = func.__name__
        if name in ("sum", "prod") and isinstance(args[0], Jet):
            return getattr(args[0], name)(*args[1:], **(kwargs or {}))
        if name not in _FUNCTIONS or len(args) != 1 or kwargs:
            known = ", ".join(sorted(_FUNCTIONS))
            raise TypeError(f"torch.{name} is not defined for jets; expected arithmetic, or one of {known}")
        return args[0].function(name)

    def __repr__(self) -> str:
        return f"<Jet of {tuple(self.data.shape[1:])} values, {self.channels.count} channels>"


def _constant(value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim > 0:
        raise TypeError(
            "a tensor of values has no derivatives to carry along; expected a number or an expression in x"
        )
    if not isinstance(value, int | float | Tensor):
        raise TypeError(f"cannot combine a jet with a {type(value).__name__}; expected a number or a jet")
    return value


def _tanh(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    t = torch.tanh(a)
    first = 1.0 - t * t
    return t, first, -2.0 * t * first


def _sigmoid(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = torch.sigmoid(a)
    first = s * (1.0 - s)
    return s, first, first * (1.0 - 2.0 * s)


def _bell(a: Tensor) -> Tensor:
    return 2.0 / math.sqrt(math.pi) * torch.exp(-a * a)


_FUNCTIONS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "exp": lambda a: (torch.exp(a),) * 3,
    "log": lambda a: (torch.log(a), 1.0 / a, -1.0 / a**2),
    "sin": lambda a: (torch.sin(a), torch.cos(a), -torch.sin(a)),
    "cos": lambda a: (torch.cos(a), -torch.sin(a), -torch.cos(a)),
    "sinh": lambda a: (torch.sinh(a), torch.cosh(a), torch.sinh(a)),
    "cosh": lambda a: (torch.cosh(a), torch.sinh(a), torch.cosh(a)),
    "sqrt": lambda a: (torch.sqrt(a), 0.5 * a**-0.5, -0.25 * a**-1.5),
    "square": lambda a: (a * a, 2.0 * a, torch.full_like(a, 2.0)),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "atan": lambda a: (torch.atan(a), 1.0 / (1.0 + a * a), -2.0 * a / (1.0 + a * a) ** 2),
    "erf": lambda a: (torch.erf(a), _bell(a), -2.0 * a * _bell(a)),
    "erfc": lambda a: (torch.erfc(a), -_bell(a), 2.0 * a * _bell(a)),
}
"""Name of a torch function -> its value and first two derivatives."""


def merge(needs: Iterable[Second], gradient: bool, dimension: int) -> Channels:
    """The channels that hold all of `needs`."""
    seconds = tuple(sorted(set(needs), key=str))
    return Channels(dimension, gradient or bool(seconds), seconds)
