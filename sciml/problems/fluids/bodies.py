"""Rigid obstacles that move through the fluid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .mac import MacGrid, Velocity

__all__ = ["Body", "ball", "box", "solids"]

Shape = Callable[[Sequence[np.ndarray]], np.ndarray]


def ball(radius: float) -> Shape:
    """The shape of a disc or ball: which points, relative to its centre, lie inside."""
    return lambda x: sum(xa**2 for xa in x) < radius**2  # type: ignore[return-value]


def box(*half_sides: float) -> Shape:
    """The shape of a rectangle or box, given half its sides."""

    def inside(x: Sequence[np.ndarray]) -> np.ndarray:
        within: np.ndarray = np.abs(x[0]) < half_sides[0]
        for xa, half in zip(x[1:], half_sides[1:], strict=True):
            within = within & (np.abs(xa) < half)
        return within

    return inside


@dataclass(frozen=True)
class Body:
    """A rigid obstacle on a prescribed path.

    Attributes
    ----------
    inside : callable
        ``inside(x)`` for the coordinates relative to the centre, before rotation; see `ball` and `box`.
    position : callable
        ``position(t)``, the centre at time `t`.
    angle : callable
        ``angle(t)`` in radians, counter-clockwise in the plane of the first and the last axis.

    Examples
    --------
    >>> from sciml.problems.fluids import Body, MacGrid, ball
    >>> disc = Body(ball(0.25), position=lambda t: (0.5 + t, 0.5))
    >>> disc.cells(MacGrid.create((4, 4), spacing=0.25), 0.0).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """

    inside: Shape
    position: Callable[[float], Sequence[float]]
    angle: Callable[[float], float] = lambda t: 0.0

    def cells(self, grid: MacGrid, t: float) -> np.ndarray:
        """Cells whose centre lies inside at time `t`."""
        x = [xa - ca for xa, ca in zip(grid.centres(), self.position(t), strict=True)]
        angle = self.angle(t)
        if angle != 0.0:
            first, last = x[0], x[-1]
            cosine, sine = np.cos(angle), np.sin(angle)
            x[0], x[-1] = cosine * first + sine * last, cosine * last - sine * first
        return np.broadcast_to(self.inside(x), grid.shape)

    def velocity(self, x: Sequence[np.ndarray], axis: int, t: float, dt: float) -> np.ndarray | float:
        """Component `axis` of the mean rigid velocity over ``t … t + dt`` at the points `x`."""
        before, after = self.position(t), self.position(t + dt)
        v = (after[axis] - before[axis]) / dt
        spin = (self.angle(t + dt) - self.angle(t)) / dt
        last = len(x) - 1
        if spin == 0.0 or axis not in (0, last):
            return v
        return v - spin * (x[last] - after[last]) if axis == 0 else v + spin * (x[0] - after[0])


def solids(grid: MacGrid, bodies: Sequence[Body], t: float, dt: float) -> tuple[np.ndarray, Velocity]:
    """Solid cells at ``t + dt`` and, on their faces, the velocity with which they got there.

    A rigid motion has no divergence, on the grid neither; so the flux over the surface of a body that lies
    inside the box is zero, and a fluid around it or inside it can give way.
    """
    solid = np.zeros(grid.shape, dtype=bool)
    velocity = grid.zeros()
    for body in bodies:
        cells = body.cells(grid, t + dt)
        solid |= cells
        for axis, u in enumerate(velocity):
            faces = grid.faces_of(cells, axis)
            moving = np.broadcast_to(body.velocity(grid.face_centres(axis), axis, t, dt), u.shape)
            u[faces] = moving[faces]
    grid.close_walls(velocity)
    return solid, velocity
