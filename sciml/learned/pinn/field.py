"""A trained field: a map from points to values, with its derivatives, on any grid, in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...weights import WeightFile, load_weights, save_weights
from .derivatives import Channels, Jet
from .network import MLP
from .problem import Problem

__all__ = ["Field"]

_CHUNK = 8192
"""Points evaluated at a time."""


class Field:
    """The field ``u(x)`` of a problem: a network behind the problem's lift.

    Points come as NumPy arrays or torch tensors, ``(..., d)``, and values return in the same library.

    Parameters
    ----------
    problem : Problem
    net : MLP, optional
        Its weights are shared, not copied; untrained by default.

    Attributes
    ----------
    shape : tuple
        ``(1, d)``: of `d` coordinates one value is made.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.pinn import Field, PROBLEMS
    >>> field = Field(PROBLEMS["heat"]())
    >>> field(np.array([[0.5, 0.0], [1.0, 0.3]])).round(12)     # the lift gives initial and boundary values
    array([-1., -0.])
    """

    def __init__(self, problem: Problem, net: MLP | None = None, **settings: Any):
        if net is None:
            low, high = problem.domain.bounds
            settings.setdefault("hidden", (24, 24, 24) if problem.dimension <= 3 else (40, 40))
            net = MLP(
                low.tolist(), high.tolist(), periodic=problem.periodic, parity=problem.parity, **settings
            )
        elif settings:
            raise TypeError(f"net is given, so {sorted(settings)} cannot be set")
        if net.dimension != problem.dimension:
            raise ValueError(
                f"net takes points of dimension {net.dimension}; {problem.name} has {problem.dimension}"
            )
        self.problem, self.net = problem, net
        self.shape, self.dtype = (1, problem.dimension), np.dtype("float64")

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return self.net.size

    def __call__(self, x: Any) -> Any:
        """Values at points (..., d), in the library of `x`."""
        if isinstance(x, Tensor):
            return self._values(x)
        return self._values(torch.from_numpy(np.ascontiguousarray(x, dtype=float))).numpy()

    def jet(self, x: Tensor, channels: Channels | None = None) -> Jet:
        """Values and derivatives at points (n, d): ``.value``, ``.grad``, ``.laplacian``, ``.second(i, j)``.

        Without `channels`, all of them.
        """
        channels = Channels.all(self.problem.dimension) if channels is None else channels
        with torch.no_grad():
            return self.problem.field(x, self.net.jet(x, channels))

    def residual(self, x: Tensor) -> Tensor:
        """Residual of the PDE at points (n, d)."""
        parts = x.split(_CHUNK)
        with torch.no_grad():
            return torch.cat([self.problem.residual(p, self.jet(p, self.problem.channels)) for p in parts])

    def on(self, grid: Any, origin: Sequence[float] | None = None) -> np.ndarray:
        """Values at the cell centres of a grid, such as ``sciml.problems.poisson(...).grid``: an `x0`.

        Parameters
        ----------
        grid : Grid
            Anything with ``shape`` and ``spacing``.
        origin : sequence of float, optional
            Low corner of the grid; that of the problem's domain by default.

        Raises
        ------
        ValueError
            If the grid has another number of axes than the problem.
        """
        d = self.problem.dimension
        if len(grid.shape) != d:
            raise ValueError(f"grid has {len(grid.shape)} axes; expected {d} for {self.problem.name}")
        low = self.problem.domain.bounds[0].numpy() if origin is None else np.asarray(origin, dtype=float)
        axes = [a + (np.arange(n) + 0.5) * h for a, n, h in zip(low, grid.shape, grid.spacing, strict=True)]
        return self(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))

    def error(self, x: Tensor) -> dict[str, float]:
        """Errors against the exact solution at points (n, d): ``relative`` (2-norm), ``max``, ``mse``.

        Raises
        ------
        ValueError
            If the problem knows no solution.
        """
        if self.problem.exact is None:
            raise ValueError(f"{self.problem.name} knows no exact solution")
        exact = self.problem.exact(x)
        gap = self(x) - exact
        norm = torch.linalg.vector_norm
        return {
            "relative": float(norm(gap) / norm(exact)),
            "max": float(gap.abs().max()),
            "mse": float((gap**2).mean()),
        }

    def plot(self, *, at: Mapping[int, float] | None = None, samples: Any = None) -> Any:
        """Solution, error and residual, see `sciml.learned.pinn.figures.draw_field`; returns the figure."""
        from .figures import draw_field

        return draw_field(self, at=at, samples=samples)

    def _values(self, x: Tensor) -> Tensor:
        d = self.problem.dimension
        if x.ndim < 1 or x.shape[-1] != d:
            raise ValueError(f"x has shape {tuple(x.shape)}; expected (..., {d}) for {self.problem.name}")
        flat, channels = x.reshape(-1, d).to(torch.float64), Channels(d)
        with torch.no_grad():
            parts = [self.problem.field(p, self.net.jet(p, channels)).value for p in flat.split(_CHUNK)]
        return torch.cat(parts).reshape(x.shape[:-1])

    # -- files ------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str], *, training: Mapping[str, Any] | None = None) -> Path:
        """Write the weights; `training` says how they were made, see `sciml.learned.WeightFile`."""
        name, arguments = self.problem.rebuild or (None, {})
        config = {"network": self.net.settings, "problem": name, "arguments": arguments}
        return save_weights(path, "pinn", self.net.state_dict(), config=config, training=training)

    @classmethod
    def from_weights(
        cls, weights: WeightFile | str | os.PathLike[str], problem: Problem | None = None
    ) -> Field:
        """Rebuild a field from a weight file.

        Parameters
        ----------
        weights : WeightFile or path
        problem : Problem, optional
            Needed for problems of your own: a file holds numbers, and a lift is code.

        Raises
        ------
        FileNotFoundError, ValueError
            One sentence that names the file and the first thing that does not fit.
        """
        from .library import PROBLEMS

        if not isinstance(weights, WeightFile):
            weights = load_weights(weights, kind="pinn")
        name = str(weights.config.get("problem"))
        if problem is None and name not in PROBLEMS:
            raise ValueError(
                f"{weights.source}: belongs to a problem that is not in PROBLEMS; "
                "pass it as Field.from_weights(file, problem=...)"
            )
        try:
            problem = PROBLEMS[name](**weights.config["arguments"]) if problem is None else problem
            net = MLP(**weights.config["network"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{weights.source}: its configuration builds no field ({error})") from None
        weights.require({"theta": (net.size,)}, dtype="float64")
        net.load_state_dict({"theta": torch.from_numpy(weights.tensors["theta"].copy())})
        return cls(problem, net)

    def __repr__(self) -> str:
        return f"<Field of {self.problem.name} with {self.parameters} parameters>"
