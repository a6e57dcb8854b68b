"""Pictures of a field: the solution, its error, and where the residual is and was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .field import Field
from .samplers import Points

__all__ = ["draw_field", "draw_samples"]

_NODES = 161
"""Per axis of a picture."""


def draw_field(field: Field, *, at: Mapping[int, float] | None = None, samples: Points | None = None) -> Any:
    """The solution, the error where the exact solution is known, and the residual.

    Parameters
    ----------
    field : Field
    at : mapping of int to float, optional
        In more than two dimensions, the coordinates of the plane to draw: ``{2: 0.5}`` for ``x₂ = 0.5``.
        The first two axes that are not named span it; coordinates that are not named are those of the
        centre of the domain.
    samples : Points, optional
        Drawn over the residual.

    Returns
    -------
    matplotlib figure

    Raises
    ------
    ValueError
        For axes that do not exist, or too many of them.
    """
    from ...plotting import new_figure

    plane = _Plane(field, at or {})
    panels = [("solution", plane.values), ("residual", plane.residual)]
    if field.problem.exact is not None:
        panels.insert(1, ("error", plane.values - plane.of(field.problem.exact)))
    figure = new_figure((4.6 * len(panels), 3.9))
    for ax, (name, values) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        plane.draw(ax, values, name, logarithmic=name == "residual")
        if name == "residual" and samples is not None:
            plane.scatter(ax, samples)
    return figure


def draw_samples(
    field: Field, samples: Points, ax: Any = None, *, at: Mapping[int, float] | None = None
) -> Any:
    """Collocation points over the modulus of the residual; returns the axes. Parameters as `draw_field`."""
    from ...plotting import new_figure

    plane = _Plane(field, at or {})
    if ax is None:
        ax = new_figure((5.6, 4.4)).add_subplot()
    plane.draw(ax, plane.residual, "residual", logarithmic=True)
    plane.scatter(ax, samples)
    return ax


class _Plane:
    """A field on the nodes of the plane, or the line, that a picture shows."""

    def __init__(self, field: Field, at: Mapping[int, float]):
        domain = field.problem.domain
        d = domain.dimension
        if any(axis not in range(d) for axis in at):
            raise ValueError(f"at names axes {sorted(at)}; expected axes from 0 to {d - 1}")
        free = [axis for axis in range(d) if axis not in at][:2]
        if not free:
            raise ValueError(f"at fixes all axes; expected at most {d - 1}")
        self.axes, self.names = free, [f"x{axis}" if d > 1 else "x" for axis in free]
        low, high = (corner.numpy() for corner in domain.bounds)
        lines = [np.linspace(low[axis], high[axis], _NODES if len(free) > 1 else 5 * _NODES) for axis in free]
        mesh = np.meshgrid(*lines, indexing="ij")
        nodes = np.tile((low + high) / 2, (mesh[0].size, 1))
        for axis, value in at.items():
            nodes[:, axis] = value
        for axis, values in zip(free, mesh, strict=True):
            nodes[:, axis] = values.reshape(-1)
        self.lines, self.nodes, self.shape = lines, torch.from_numpy(nodes), mesh[0].shape
        self.outside = ~domain.contains(self.nodes).numpy().reshape(self.shape)
        self.values, self.residual = self.of(field), self.of(field.residual)

    def of(self, function: Any) -> np.ndarray:
        """Values on the nodes, masked outside the domain."""
        return np.ma.masked_array(function(self.nodes).numpy().reshape(self.shape), mask=self.outside)

    def draw(self, ax: Any, values: np.ndarray, label: str, *, logarithmic: bool) -> None:
        from matplotlib.colors import LogNorm

        from ...plotting import COLOURS, colour_range, tidy

        if logarithmic:
            values, label = abs(values), f"|{label}|"
            top = float(values.max()) or 1.0
        if len(self.axes) == 1:
            ax.plot(self.lines[0], values, color=COLOURS[0], linewidth=1.4)
            ax.set(xlabel=self.names[0], ylabel=label)
            if logarithmic:
                ax.set_yscale("log")
            ax.grid(True, color="0.9", linewidth=0.6)
            tidy(ax)
            return
        low, high, colours = colour_range([values])
        scale: dict[str, Any] = {"vmin": low, "vmax": high, "cmap": colours}
        if logarithmic:
            # The zeros of the residual would take most of a full scale.
            scale = {"norm": LogNorm(1e-4 * top, top), "cmap": "magma"}
            values = np.ma.maximum(values, 1e-4 * top)
        image = ax.imshow(
            values.T, origin="lower", interpolation="nearest", aspect="auto", **scale,
            extent=(self.lines[0][0], self.lines[0][-1], self.lines[1][0], self.lines[1][-1]),
        )  # fmt: skip
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)

    def scatter(self, ax: Any, samples: Points) -> None:
        x = samples.x.numpy()
        if len(self.axes) == 1:
            ax.plot(x[:, self.axes[0]], np.full(len(x), ax.get_ylim()[0]), "|", color="0.3", alpha=0.5)
        else:
            ax.plot(x[:, self.axes[0]], x[:, self.axes[1]], ".", color="#56B4E9", markersize=2.5)
