"""Manufactured solutions: smooth functions whose source, coefficient and boundary data are known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Manufactured"]


@dataclass(frozen=True)
class Manufactured:
    r"""An exact solution of :math:`-\nabla\cdot(k\nabla u) + c\,u = f` in a box, for any mix of sides.

    The solution is a product of one factor per axis. With ``homogeneous=True`` the factors are the lowest
    sine, cosine and quarter waves, so boundary values and fluxes vanish. Otherwise they are smooth
    functions whose boundary values and fluxes do not vanish, and the scheme's treatment of
    inhomogeneous sides is tested too.

    Parameters
    ----------
    bc : sequence of (low, high)
        Boundary condition of every side, as `PoissonOperator.bc` holds it.
    lengths : sequence of float
        Side lengths of the box.
    homogeneous : bool
    variable : bool
        ``k = exp(0.4 Σ sin(2π x_a / L_a))`` instead of ``k = 1``.
    shift : float
        The `c` of the operator.

    Examples
    --------
    >>> import numpy as np
    >>> u = Manufactured([("dirichlet", "neumann")], [2.0])
    >>> bool(np.isclose(u.exact(np.array([2.0]))[0], 1.0))
    True
    """

    bc: Sequence[tuple[str, str]]
    lengths: Sequence[float]
    homogeneous: bool = True
    variable: bool = False
    shift: float = 0.0

    def exact(self, *x: np.ndarray) -> np.ndarray:
        """``u`` at points given by one (open-mesh) coordinate array per axis."""
        return _product([self._factor(axis, x[axis])[0] for axis in range(len(x))])

    def coefficient(self, *x: np.ndarray) -> np.ndarray:
        """``k`` at the same points; exactly one where it is constant."""
        if not self.variable:
            return np.ones(np.broadcast_shapes(*(np.shape(c) for c in x)))
        return np.exp(
            sum(0.4 * np.sin(2 * np.pi * c / length) for c, length in zip(x, self.lengths, strict=True))
        )

    def source(self, *x: np.ndarray) -> np.ndarray:
        """``f = −k Σ_a (∂²u/∂x_a² + s_a' ∂u/∂x_a) + c u`` with ``k = exp(Σ s_a(x_a))``."""
        factors = [self._factor(axis, x[axis]) for axis in range(len(x))]
        total = np.zeros(np.broadcast_shapes(*(np.shape(c) for c in x)))
        for axis in range(len(x)):
            _, slope, curvature = factors[axis]
            term = curvature
            if self.variable:
                wave = 2 * np.pi / self.lengths[axis]
                term = curvature + 0.4 * wave * np.cos(wave * x[axis]) * slope
            total -= _product([term if a == axis else f[0] for a, f in enumerate(factors)])
        if self.variable:
            total *= self.coefficient(*x)
        if self.shift:
            total += self.shift * _product([f[0] for f in factors])
        return total

    def flux(self, *x: np.ndarray) -> np.ndarray:
        """Outward flux ``k ∂u/∂n`` at face centres of one side of the box.

        The side is the axis whose coordinate lies on the surface of the box, as
        `PoissonOperator.boundary_rhs` asks for it.
        """
        for axis, length in enumerate(self.lengths):
            c = x[axis]
            if np.size(c) == 1 and (np.all(c == 0.0) or np.allclose(c, length, rtol=1e-12)):
                outward = -1.0 if np.all(c == 0.0) else 1.0
                factors = [self._factor(a, x[a]) for a in range(len(x))]
                slope = _product([f[1] if a == axis else f[0] for a, f in enumerate(factors)])
                return outward * self.coefficient(*x) * slope
        raise ValueError("no coordinate lies on the surface of the box; expected face centres of one side")

    @property
    def boundary(self) -> dict[str, Any]:
        """Boundary data as `PoissonOperator.boundary_rhs` takes it."""
        return {"dirichlet": self.exact, "neumann": self.flux}

    def _factor(self, axis: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, first and second derivative of the factor along `axis`."""
        length = self.lengths[axis]
        t = np.asarray(x) / length
        value, slope, curvature = _wave(self.bc[axis], t) if self.homogeneous else _general(self.bc[axis], t)
        return value, slope / length, curvature / length**2


def _wave(sides: tuple[str, str], t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lowest non-constant eigenfunction of the axis."""
    if sides[0] == "periodic":
        w, phase = 2 * math.pi, 0.3  # a phase, so that no symmetry of the grid hides an error
    else:
        quarter = sides[0] != sides[1]
        w = math.pi / 2 if quarter else math.pi
        phase = 0.0 if sides[0] == "dirichlet" else math.pi / 2
    value = np.sin(w * t + phase)
    return value, w * np.cos(w * t + phase), -(w**2) * value


def _general(sides: tuple[str, str], t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smooth function without special values on the sides."""
    if sides[0] == "periodic":
        w = 2 * math.pi
        s, c = np.sin(w * t + 0.3), np.cos(w * t + 0.3)
        value = np.exp(0.5 * s)
        return value, 0.5 * w * c * value, (0.25 * c**2 - 0.5 * s) * w**2 * value
    w = 2.1
    value = np.sin(w * t + 0.4) + 0.3 * t**2
    return value, w * np.cos(w * t + 0.4) + 0.6 * t, -(w**2) * np.sin(w * t + 0.4) + 0.6


def _product(factors: Sequence[np.ndarray]) -> np.ndarray:
    out = np.asarray(factors[0])
    for factor in factors[1:]:
        out = out * factor
    return out
