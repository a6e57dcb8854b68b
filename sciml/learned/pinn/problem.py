"""A PDE as a small declarative object: domain, residual, boundary conditions, a lift, what is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .derivatives import Channels, Jet, Second, merge
from .domain import Domain

__all__ = ["Condition", "Problem", "dirichlet", "neumann"]

_PROBE = 64
"""Points that a problem is tried on before it is trained."""


@dataclass(frozen=True)
class Condition:
    """Something to hold on the boundary, or on a part of it, in the least-squares sense.

    `dirichlet` and `neumann` make the usual ones.

    Attributes
    ----------
    residual : callable
        ``residual(x, u, normal) -> (n,)``, zero where the condition holds.
    on : callable or None
        ``on(x, normal) -> bool (n,)``: the part of the boundary; None for all of it. In space and time this
        is where initial values go: ``on=lambda x, normal: normal[:, -1] < -0.5``.
    weight : float
        Factor of the mean square in the loss.
    points : int
        Boundary points at a time.
    value : callable or None
        Of a Dirichlet condition, to check that conditions agree where they meet.
    name : str
        For messages.
    """

    residual: Callable[[Tensor, Any, Tensor], Tensor]
    on: Callable[[Tensor, Tensor], Tensor] | None = None
    weight: float = 100.0
    points: int = 500
    value: Callable[[Tensor], Tensor] | None = None
    name: str = "condition"

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight of the {self.name} is {self.weight!r}; expected a positive number")
        if isinstance(self.points, bool) or not isinstance(self.points, int) or self.points < 1:
            raise ValueError(f"points of the {self.name} is {self.points!r}; expected a positive integer")

    def sample(self, domain: Domain, rng: np.random.Generator, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Points of this part of the boundary, uniform, and the outward normals there."""
        wanted = self.points if n is None else n
        if self.on is None:
            return domain.sample_boundary(wanted, rng)
        kept: list[tuple[Tensor, Tensor]] = []
        for _ in range(1000):
            x, normal = domain.sample_boundary(4 * wanted, rng)
            here = self.on(x, normal)
            kept.append((x[here], normal[here]))
            if sum(len(k) for k, _ in kept) >= wanted:
                break
        else:
            raise ValueError(f"the {self.name} holds on (almost) no part of the boundary of {domain!r}")
        return torch.cat([x for x, _ in kept])[:wanted], torch.cat([n for _, n in kept])[:wanted]


def dirichlet(value: Callable[[Tensor], Tensor] | float, **settings: Any) -> Condition:
    """``u = value(x)``; `settings` are those of `Condition`."""
    given = value if callable(value) else lambda x: torch.full_like(x[:, 0], float(value))
    settings.setdefault("name", "Dirichlet condition")
    return Condition(lambda x, u, normal: u.value - given(x), value=given, **settings)


def neumann(flux: Callable[[Tensor], Tensor] | float, **settings: Any) -> Condition:
    """``∂u/∂n = flux(x)``; `settings` are those of `Condition`."""
    given = flux if callable(flux) else lambda x: torch.full_like(x[:, 0], float(flux))
    settings.setdefault("name", "Neumann condition")
    return Condition(lambda x, u, normal: (u.grad * normal).sum(dim=1) - given(x), **settings)


@dataclass(frozen=True)
class Problem:
    """A scalar PDE.

    Attributes
    ----------
    name : str
    domain : Domain
    residual : callable
        ``residual(x, u) -> (n,)``, from the points `x` (n, d) and ``u.value``, ``u.grad`` (n, d),
        ``u.laplacian``, ``u.second(i, j)``; local: every entry depends on its own point only.
    conditions : tuple of Condition
        Held softly. Not needed where `lift` builds them in.
    lift : callable or None
        ``lift(x, N) -> u``: the field from the network's output, such as ``(1 - x[:, 0]**2) * N``, so that
        conditions hold exactly. Written with arithmetic and torch functions of `x`, `N` and numbers.
    exact : callable or None
        ``exact(x) -> (n,)``, the solution or a trusted reference of it.
    periodic : tuple of int
        Axes on which the field is periodic over the box of the domain.
    parity : tuple of (int, str)
        Axes along which the network is ``"even"`` or ``"odd"`` about the centre of the domain's box: a known
        symmetry of the solution. `lift` must keep it.
    rebuild : tuple (str, dict) or None
        Name and arguments that `sciml.learned.pinn.PROBLEMS` makes this problem from.

    Examples
    --------
    >>> import torch
    >>> from sciml.learned.pinn import Box, Problem
    >>> problem = Problem(
    ...     "u'' = -1",
    ...     Box([0], [1]),
    ...     residual=lambda x, u: u.laplacian + 1,
    ...     lift=lambda x, N: x[:, 0] * (1 - x[:, 0]) * N,
    ... )
    >>> problem.channels.seconds
    ('laplacian',)
    """

    name: str
    domain: Domain
    residual: Callable[[Tensor, Any], Tensor]
    conditions: tuple[Condition, ...] = ()
    lift: Callable[[Any, Any], Any] | None = None
    exact: Callable[[Tensor], Tensor] | None = None
    periodic: tuple[int, ...] = ()
    parity: tuple[tuple[int, str], ...] = ()
    rebuild: tuple[str, dict[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.domain, Domain):
            raise TypeError(f"domain is a {type(self.domain).__name__}; expected a Box, a Ball or a Domain")
        object.__setattr__(self, "conditions", tuple(self.conditions))
        if not self.conditions and self.lift is None and not self.periodic:
            raise ValueError(f"{self.name} has no conditions and no lift; expected one of them")

    @property
    def dimension(self) -> int:
        return self.domain.dimension

    @cached_property
    def channels(self) -> Channels:
        """The derivatives that the residual reads, found by trying it."""
        return _needs(lambda x, u, normal: self.residual(x, u), self, "residual")

    def channels_of(self, condition: Condition) -> Channels:
        """The derivatives that a condition reads."""
        return _needs(condition.residual, self, condition.name)

    def field(self, x: Tensor, N: Jet) -> Jet:
        """The field, with its derivatives, from the output of the network."""
        if self.lift is None:
            return N
        u = self.lift(Jet.coordinates(x, N.channels), N)
        if not isinstance(u, Jet) or u.data.shape != N.data.shape:
            found = tuple(u.data.shape[1:]) if isinstance(u, Jet) else type(u).__name__
            raise ValueError(f"lift of {self.name} gave {found}; expected an expression of shape ({len(x)},)")
        return u

    def zero_residual(self, x: Tensor) -> Tensor:
        """Residual of the untrained field at points (n, d)."""
        N = Jet(torch.zeros(self.channels.count, len(x), dtype=x.dtype), self.channels)
        return self.residual(x, self.field(x, N))

    def check(self, seed: int = 0) -> None:
        """Try the problem on a few points.

        Raises
        ------
        ValueError
            For an empty domain, a residual of the wrong shape or not finite, boundary values that contradict
            one another or the lift.
        """
        rng = np.random.default_rng(seed)
        x = self.domain.sample(_PROBE, rng)
        r = self.zero_residual(x)
        bad = ~torch.isfinite(r)
        if bad.any():
            where = x[bad][0].tolist()
            raise ValueError(f"the residual of {self.name} is {float(r[bad][0])} at x = {where} for u = 0")
        if self.lift is not None and not self._free(x).any():
            raise ValueError(f"the lift of {self.name} gives the same field whatever the network does")
        fixed = [c for c in self.conditions if c.value is not None]
        for condition in fixed:
            x, normal = condition.sample(self.domain, rng, _PROBE)
            value = _values(condition, x)
            for other in fixed:
                here = torch.ones(len(x), dtype=torch.bool) if other.on is None else other.on(x, normal)
                if other is not condition and here.any():
                    self._agree(value[here], _values(other, x[here]), x[here], condition.name, other.name)
            if self.lift is not None:
                self._check_lift(condition, x, value)

    def _check_lift(self, condition: Condition, x: Tensor, value: Tensor) -> None:
        """Where the lift leaves the network no say, it must give what the condition asks for."""
        held = ~self._free(x)
        if held.any():
            self._agree(value[held], self._lifted(x[held], 0.0), x[held], condition.name, "lift")

    def _free(self, x: Tensor) -> Tensor:
        """Where the field depends on the network."""
        return (self._lifted(x, 1.0) - self._lifted(x, 0.0)).abs() > 1e-12

    def _lifted(self, x: Tensor, output: float) -> Tensor:
        """The field where the network says `output` everywhere."""
        return self.field(
            x, Jet(torch.full((1, len(x)), output, dtype=x.dtype), Channels(self.dimension))
        ).value

    def _agree(self, a: Tensor, b: Tensor, x: Tensor, one: str, other: str) -> None:
        gap = (a - b).abs()
        if float(gap.max()) > 1e-6 * (1.0 + float(a.abs().max())):
            i = int(gap.argmax())
            raise ValueError(
                f"boundary data of {self.name} contradict each other at x = {x[i].tolist()}: "
                f"{float(a[i]):.6g} ({one}) and {float(b[i]):.6g} ({other})"
            )


def _values(condition: Condition, x: Tensor) -> Tensor:
    assert condition.value is not None
    value = condition.value(x)
    if tuple(value.shape) != (len(x),):
        raise ValueError(f"the value of the {condition.name} has shape {tuple(value.shape)}; expected (n,)")
    if not torch.isfinite(value).all():
        raise ValueError(f"the value of the {condition.name} is not finite on the boundary")
    return value


class _Recorder(Jet):
    """Notes which derivatives a residual reads."""

    def __init__(self, data: Tensor, channels: Channels):
        super().__init__(data, channels)
        self.seconds: set[Second] = set()
        self.gradient = self.read = False

    @property
    def value(self) -> Tensor:
        self.read = True
        return super().value

    @property
    def grad(self) -> Tensor:
        self.gradient = True
        return super().grad

    @property
    def laplacian(self) -> Tensor:
        self.seconds.add("laplacian")
        return super().laplacian

    def second(self, i: int, j: int) -> Tensor:
        d = self.channels.dimension
        if not (0 <= i < d and 0 <= j < d):
            raise ValueError(f"u.second({i}, {j}) in {d} dimension(s); expected axes from 0 to {d - 1}")
        self.seconds.add((min(i, j), max(i, j)))
        return super().second(i, j)


def _needs(residual: Callable[..., Tensor], problem: Problem, name: str) -> Channels:
    rng = np.random.default_rng(0)
    d, everything = problem.dimension, Channels.all(problem.dimension)
    x = problem.domain.sample(3, rng)
    u = _Recorder(torch.from_numpy(rng.random((everything.count, 3))), everything)
    normal = torch.from_numpy(rng.random((3, d)))
    try:
        r = residual(x, u, normal)
    except (IndexError, RuntimeError) as error:
        raise ValueError(f"{name} of {problem.name} does not take points (n, {d}): {error}") from error
    if not isinstance(r, Tensor) or tuple(r.shape) != (3,):
        found = tuple(r.shape) if isinstance(r, Tensor) else type(r).__name__
        raise ValueError(f"{name} of {problem.name} gave {found} for 3 points; expected (3,)")
    if not (u.read or u.gradient or u.seconds):
        raise ValueError(f"{name} of {problem.name} reads neither u nor its derivatives")
    return merge(u.seconds, u.gradient, d)
