"""Named problems, with their exact solutions where there are any."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .domain import Box
from .problem import Problem, dirichlet
from .references import allen_cahn_reference, burgers_exact

__all__ = ["PROBLEMS"]

PROBLEMS: dict[str, Callable[..., Problem]] = {}
"""Name -> function of keyword arguments that makes the problem."""


def _named(make: Callable[..., Problem]) -> Callable[..., Problem]:
    """Register `make`, and let its problems remember what they were made from."""

    def build(**arguments: Any) -> Problem:
        problem = make(**arguments)
        object.__setattr__(problem, "rebuild", (make.__name__, arguments))
        return problem

    build.__name__, build.__doc__ = make.__name__, make.__doc__
    PROBLEMS[make.__name__] = build
    return build


def _bubble(x: Any, N: Any) -> Any:
    """Zero on the faces of [-1, 1]^d."""
    return (1 - x**2).prod(dim=1) * N


def _peak(x: Tensor, center: float, sharpness: float) -> Tensor:
    return torch.exp(-sharpness * ((x - center) ** 2).sum(dim=1))


def _square(dimension: int = 2) -> Box:
    return Box([-1.0] * dimension, [1.0] * dimension)


@_named
def one_peak() -> Problem:
    """``−Δu = s`` on the square [-1, 1]², a peak of width 0.03 at (0.5, 0.5)."""

    def exact(x: Tensor) -> Tensor:
        return _peak(x, 0.5, 1000.0)

    def residual(x: Tensor, u: Any) -> Tensor:
        squared = ((x - 0.5) ** 2).sum(dim=1)
        return u.laplacian - (4e6 * squared - 4e3) * exact(x)

    return Problem("one peak", _square(), residual, lift=_bubble, exact=exact)


@_named
def two_peaks() -> Problem:
    """``−∇·(u ∇|x|²) + Δu = s`` on the square [-1, 1]², peaks of width 0.03 at ±(0.5, 0.5)."""
    centers = (0.5, -0.5)

    def exact(x: Tensor) -> Tensor:
        return sum((_peak(x, c, 1000.0) for c in centers), torch.zeros_like(x[:, 0]))

    def source(x: Tensor) -> Tensor:
        total = torch.zeros_like(x[:, 0])
        for c in centers:
            y = x - c
            factor = 4e6 * (y**2).sum(dim=1) - 4e3 + 4e3 * (x * y).sum(dim=1) - 4.0
            total = total + factor * _peak(x, c, 1000.0)
        return total

    def residual(x: Tensor, u: Any) -> Tensor:
        return u.laplacian - 2.0 * (x * u.grad).sum(dim=1) - 4.0 * u.value - source(x)

    return Problem("two peaks", _square(), residual, lift=_bubble, exact=exact)


def _gaussian(name: str, dimension: int, cubic: bool) -> Problem:
    def exact(x: Tensor) -> Tensor:
        return _peak(x, 0.0, 10.0)

    def residual(x: Tensor, u: Any) -> Tensor:
        known = exact(x)
        laplacian = (400.0 * (x**2).sum(dim=1) - 20.0 * dimension) * known
        if not cubic:
            return u.laplacian - laplacian
        return u.laplacian - u.value + u.value**3 - (laplacian - known + known**3)

    conditions = (dirichlet(exact),)
    return Problem(f"{name} in {dimension} dimensions", _square(dimension), residual, conditions, exact=exact)


@_named
def linear(dimension: int = 10) -> Problem:
    """``−Δu = s`` on [-1, 1]^d with the solution ``exp(−10 |x|²)``."""
    return _gaussian("linear", dimension, False)


@_named
def nonlinear(dimension: int = 10) -> Problem:
    """``−Δu + u − u³ = s`` on [-1, 1]^d with the solution ``exp(−10 |x|²)``."""
    return _gaussian("nonlinear", dimension, True)


@_named
def poisson(dimension: int = 2) -> Problem:
    """``−Δu = s`` on [0, 1]^d with the solution ``Π sin(π x_i)``."""
    domain = Box([0.0] * dimension, [1.0] * dimension)

    def exact(x: Tensor) -> Tensor:
        return torch.sin(math.pi * x).prod(dim=1)

    return Problem(
        f"Poisson in {dimension} dimensions",
        domain,
        lambda x, u: u.laplacian + dimension * math.pi**2 * exact(x),
        lift=lambda x, N: (4 * x * (1 - x)).prod(dim=1) * N,
        exact=exact,
    )


@_named
def helmholtz(wavenumber: float = 1.0, modes: tuple[int, int] = (1, 4)) -> Problem:
    """``Δu + k² u = s`` on [-1, 1]² with the solution ``sin(a π x) sin(b π y)``."""
    a, b = (math.pi * m for m in modes)

    def exact(x: Tensor) -> Tensor:
        return torch.sin(a * x[:, 0]) * torch.sin(b * x[:, 1])

    return Problem(
        "Helmholtz",
        _square(),
        lambda x, u: u.laplacian + wavenumber**2 * u.value - (wavenumber**2 - a * a - b * b) * exact(x),
        lift=_bubble,
        exact=exact,
    )


@_named
def l_shape() -> Problem:
    """``Δu = 0`` on the L-shaped domain, with the corner singularity ``r^(2/3) sin(2θ/3)``."""
    domain = Box([-1, -1], [1, 1]) - Box([0, -1], [1, 0])

    def exact(x: Tensor) -> Tensor:
        angle = torch.remainder(torch.atan2(x[:, 1], x[:, 0]), 2 * math.pi)
        # On the face at θ = 0 rounding must not make a full turn of it.
        angle = torch.where(angle > 1.75 * math.pi, 0.0, angle)
        return (x**2).sum(dim=1) ** (1 / 3) * torch.sin(2 / 3 * angle)

    return Problem("L-shape", domain, lambda x, u: u.laplacian, (dirichlet(exact),), exact=exact)


@_named
def boundary_layer(epsilon: float = 0.01) -> Problem:
    """``−ε u″ + u′ = 1`` on (0, 1), zero at the ends: a layer of width ε at 1."""

    def exact(x: Tensor) -> Tensor:
        y, end = x[:, 0], math.exp(-1.0 / epsilon)
        return y - (torch.exp((y - 1.0) / epsilon) - end) / (1.0 - end)

    return Problem(
        "boundary layer",
        Box([0.0], [1.0]),
        lambda x, u: -epsilon * u.laplacian + u.grad[:, 0] - 1.0,
        lift=lambda x, N: 4 * x[:, 0] * (1 - x[:, 0]) * N,
        exact=exact,
    )


def _space_time() -> Box:
    return Box([-1.0, 0.0], [1.0, 1.0])


@_named
def heat(diffusivity: float = 0.1) -> Problem:
    """``u_t = κ u_xx`` for x in [-1, 1], t in [0, 1], from ``−sin(πx)``."""

    def exact(x: Tensor) -> Tensor:
        return -torch.sin(math.pi * x[:, 0]) * torch.exp(-diffusivity * math.pi**2 * x[:, 1])

    return Problem(
        "heat",
        _space_time(),
        lambda x, u: u.grad[:, 1] - diffusivity * u.second(0, 0),
        lift=lambda x, N: -torch.sin(math.pi * x[:, 0]) + x[:, 1] * (1 - x[:, 0] ** 2) * N,
        exact=exact,
    )


@_named
def wave(speed: float = 2.0) -> Problem:
    """``u_tt = c² u_xx`` for x, t in [0, 1], from ``sin(πx) + sin(4πx)/2`` at rest."""
    pi = math.pi

    def exact(x: Tensor) -> Tensor:
        y, t = x[:, 0], speed * x[:, 1]
        slow = torch.sin(pi * y) * torch.cos(pi * t)
        return slow + 0.5 * torch.sin(4 * pi * y) * torch.cos(4 * pi * t)

    def lift(x: Any, N: Any) -> Any:
        y, t = x[:, 0], x[:, 1]
        return torch.sin(pi * y) + 0.5 * torch.sin(4 * pi * y) + 4 * t**2 * y * (1 - y) * N

    return Problem(
        "wave",
        Box([0.0, 0.0], [1.0, 1.0]),
        lambda x, u: u.second(1, 1) - speed**2 * u.second(0, 0),
        lift=lift,
        exact=exact,
    )


@_named
def burgers(viscosity: float = 0.01 / math.pi, odd: bool = True) -> Problem:
    """``u_t + u u_x = ν u_xx`` for x in [-1, 1], t in [0, 1], from ``−sin(πx)``: a shock at x = 0.

    The solution is odd in x. A field that is not (``odd=False``) can move its shock at almost no residual.
    """
    return Problem(
        "Burgers",
        _space_time(),
        lambda x, u: u.grad[:, 1] + u.value * u.grad[:, 0] - viscosity * u.second(0, 0),
        lift=lambda x, N: -torch.sin(math.pi * x[:, 0]) + x[:, 1] * (1 - x[:, 0] ** 2) * N,
        exact=lambda x: burgers_exact(x, viscosity),
        parity=((0, "odd"),) if odd else (),
    )


@_named
def allen_cahn(diffusivity: float = 1e-4) -> Problem:
    """``u_t = κ u_xx + 5 (u − u³)``, periodic in x on [-1, 1], t in [0, 1], from ``x² cos(πx)``.

    The initial value has a kink at the ends of the period, where both sides fall to -1. Near -1 the equation
    is linear, ``w_t = κ w_xx − 10 w``, so what becomes of the kink is known: the lift holds it, and leaves
    the network a smooth field.
    """
    return Problem(
        "Allen–Cahn",
        _space_time(),
        lambda x, u: u.grad[:, 1] - diffusivity * u.second(0, 0) - 5.0 * (u.value - u.value**3),
        lift=lambda x, N: _without_kink(x, diffusivity) + x[:, 1] * N,
        exact=lambda x: allen_cahn_reference(x, diffusivity),
        periodic=(0,),
        parity=((0, "even"),),
    )


def _without_kink(x: Any, diffusivity: float) -> Any:
    """``−1 + e^(−10 t) (u_0 + 1 + c)``, where `c` turns the kink ``2 |y|`` of `u_0` into its heat flow."""
    y, t = x[:, 0], x[:, 1]
    start = y**2 * torch.cos(math.pi * y)
    return -1 + torch.exp(-10 * t) * (start + 1 + _kink_flow(y, t, diffusivity))


def _kink_flow(y: Any, t: Any, diffusivity: float) -> Any:
    width = (4 * diffusivity * t + 1e-30) ** 0.5
    total: Any = 0.0
    for distance in (1 - y, 1 + y):
        z = distance / width
        total = total + width * (torch.exp(-(z**2)) / math.sqrt(math.pi) - z * torch.erfc(z)) * 2
    return total
