"""What the cases on physics-informed networks share: timed runs, error curves, figures of points."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciml.plotting import tidy

COLOURS = {
    "aas": "#D55E00", "rad": "#0072B2", "uniform": "#7F7F7F", "fixed uniform": "#000000", "das-r": "#009E73",
    "das-g": "#56B4E9", "rar": "#CC79A7", "rar-d": "#E69F00", "r3": "#8C6D31", "sobol": "#9467BD",
    "halton": "#BCBD22", "aas, soft boundary": "#E69F00",
}  # fmt: skip


@dataclass
class Run:
    """One training: the field, its sampler, and weights along the way, the chosen ones last."""

    field: Any
    sampler: Any
    history: Any
    core_seconds: float
    snapshots: list[tuple[float, Any]] = field(default_factory=list)

    def curve(self, error: Any) -> list[tuple[float, Any]]:
        """Core-seconds and ``error(field)`` along the way; the field is left as it is."""
        import torch

        theta = self.field.net.theta
        final, points = theta.detach().clone(), []
        with torch.no_grad():
            for seconds, weights in self.snapshots:
                theta.copy_(weights)
                points.append((seconds, error(self.field)))
            theta.copy_(final)
        return points


def run(
    problem: Any, sampler: Any, *, seed: int, budget: float, snapshots: int = 24, network: Any = None,
    **settings: Any,
) -> Run:  # fmt: skip
    """Train within a budget of core-seconds, the sampler's included."""
    from sciml.learned.pinn import Field, train_pinn

    trained = Field(problem, seed=seed, **(network or {}))
    begin = time.process_time()
    kept: list[tuple[float, Any]] = []

    def callback(step: int, metrics: Any) -> None:
        spent = time.process_time() - begin
        if spent >= (len(kept) + 1) * budget / snapshots:
            kept.append((spent, trained.net.theta.detach().clone()))

    _, history = train_pinn(
        problem, sampler=sampler, field=trained, seed=seed, core_seconds=budget, progress=False,
        callback=callback, **settings,
    )  # fmt: skip
    spent = time.process_time() - begin
    return Run(trained, sampler, history, spent, [*kept, (spent, trained.net.theta.detach().clone())])


def square_grid(n: int) -> Any:
    """`n` × `n` points of the square [-1, 1]², edges included."""
    import torch

    axis = torch.linspace(-1.0, 1.0, n, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def add_seeds(arguments: Any, default: dict[str, int]) -> None:
    """The argument that says how many seeds run, from ``--seed`` on."""
    text = ", ".join(f"{count} at size {size}" for size, count in default.items())
    arguments.add_argument("--seeds", type=int, help=f"how many, from --seed on; {text}")


def seeds(given: Any, default: dict[str, int]) -> range:
    """The seeds of a run."""
    count = default[given.size] if given.seeds is None else given.seeds
    return range(given.seed, given.seed + count)


def median(rows: Sequence[dict[str, Any]], name: str) -> float:
    """Median of a column."""
    return float(statistics.median(row[name] for row in rows))


def draw_curves(ax: Any, curves: dict[str, list[list[tuple[float, float]]]], label: str) -> None:
    """Errors over core-seconds: the median of the seeds as a line, all of them as a band."""
    for name, seeds in curves.items():
        length = min(len(curve) for curve in seeds)
        values = np.array([[value for _, value in curve[:length]] for curve in seeds])
        seconds = np.mean([[at for at, _ in curve[:length]] for curve in seeds], axis=0)
        colour = COLOURS[name]
        ax.plot(seconds, np.median(values, axis=0), color=colour, linewidth=1.7, label=name)
        if len(seeds) > 1:
            ax.fill_between(seconds, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
    ax.set_yscale("log")
    ax.set_xlabel("core-seconds")
    ax.set_ylabel(label)
    ax.set_xlim(left=0)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.legend(frameon=False, fontsize=8)
    tidy(ax)
