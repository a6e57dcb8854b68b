"""The loss of a field as a sum of squares, with the derivatives every kind of optimiser asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .derivatives import Channels, Jet
from .network import MLP
from .problem import Problem
from .samplers import Points

__all__ = ["Objective"]

_CHUNK = 2000
"""Points whose derivatives by all parameters are held at a time."""


@dataclass(frozen=True)
class _Term:
    """A mean of weighted squares: ``Σ scale² residual²``."""

    x: Tensor
    scale: Tensor
    residual: Callable[[Tensor, Jet, slice], Tensor]
    channels: Channels


class Objective:
    """``mean(w r²) + Σ_c weight_c mean(b_c²)`` of a network on given points.

    Parameters
    ----------
    problem : Problem
    net : MLP
    points : Points
        Of the interior.
    boundary : sequence of (Tensor, Tensor)
        Points and normals for every condition of the problem.
    """

    def __init__(self, problem: Problem, net: MLP, points: Points, boundary: Sequence[tuple[Tensor, Tensor]]):
        self.problem, self.net = problem, net
        scale = (points.weight / len(points.x)).sqrt()
        self.terms = [_Term(points.x, scale, lambda x, u, rows: problem.residual(x, u), problem.channels)]
        for condition, (x, normal) in zip(problem.conditions, boundary, strict=True):
            weight = torch.full_like(x[:, 0], (condition.weight / len(x)) ** 0.5)

            def residual(x: Tensor, u: Jet, rows: slice, c=condition, normal=normal) -> Tensor:
                return c.residual(x, u, normal[rows])

            self.terms.append(_Term(x, weight, residual, problem.channels_of(condition)))

    @property
    def residuals(self) -> int:
        """Number of squares."""
        return sum(len(term.x) for term in self.terms)

    @property
    def theta(self) -> Tensor:
        """The parameters of the network."""
        return self.net.theta.detach()

    def move(self, theta: Tensor) -> None:
        """Set the parameters."""
        with torch.no_grad():
            self.net.theta.copy_(theta)

    def vector(self) -> Tensor:
        """All scaled residuals, whose squares add up to the loss."""
        parts = []
        with torch.no_grad():
            for term, rows in self._chunks():
                u = self.problem.field(term.x[rows], self.net.jet(term.x[rows], term.channels))
                parts.append(term.scale[rows] * term.residual(term.x[rows], u, rows))
        return torch.cat(parts)

    def value(self) -> float:
        """The loss."""
        r = self.vector()
        return float(r @ r)

    def pullback(self, cotangent: Tensor) -> Tensor:
        """``Jᵀ cotangent`` with the derivatives `J` of `vector` by the parameters."""
        total, start = torch.zeros_like(self.theta), 0
        for term, rows in self._chunks():
            tape, r, slopes = self._linearised(term, rows)
            total += tape.gradient(cotangent[start : start + len(r)] * slopes)
            start += len(r)
        return total

    def gradient(self) -> tuple[float, Tensor]:
        """The loss and its gradient."""
        total, gradient = 0.0, torch.zeros_like(self.theta)
        for term, rows in self._chunks():
            tape, r, cotangent = self._linearised(term, rows)
            total += float((r * r).sum())
            gradient += tape.gradient(2.0 * r * cotangent)
        return total, gradient

    def jacobian(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Scaled residuals (m,) and their derivatives (m, parameters), some points at a time."""
        for term, rows in self._chunks():
            tape, r, cotangent = self._linearised(term, rows)
            yield r, tape.jacobian(cotangent)

    def _chunks(self) -> Iterator[tuple[_Term, slice]]:
        for term in self.terms:
            for start in range(0, len(term.x), _CHUNK):
                yield term, slice(start, start + _CHUNK)

    def _linearised(self, term: _Term, rows: slice):
        """The pass through the network, scaled residuals, and their derivatives by its output."""
        x = term.x[rows]
        tape = self.net.record(x, term.channels)
        output = tape.output.data.detach().requires_grad_()
        u = self.problem.field(x, Jet(output, term.channels))
        r = term.scale[rows] * term.residual(x, u, rows)
        # Residuals are local, so the gradient of their sum holds the derivatives of all of them.
        (cotangent,) = torch.autograd.grad(r.sum(), output)
        return tape, r.detach(), cotangent
