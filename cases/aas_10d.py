"""A peak in ten dimensions, which uniform points never find.

``−Δu + u − u³ = s`` on [-1, 1]^10 with the solution ``exp(−10 |x|²)``, the high-dimensional example of Tang,
Zhai, Wan and Yang, "Adversarial adaptive sampling", arXiv:2305.18702. The peak fills about a millionth of the
box. The density of AAS finds it before the training, from the source alone, by narrowing in over some rounds.

The usual measure is the relative error on a grid of 3^10 points within 0.1 of the peak, which says nothing
about the rest of the box; the norm of the error over the whole box stands beside it. It is estimated by
importance sampling, half of the points uniform and half from the normal law that is proportional to u².

Boundary values are at most 4.5e-5 here. A lift holds zeros in their place, which changes the solution about
as little. The case also runs with the true boundary values, held softly. What it sets out to show
- on the grid at the peak an error of 1e-3, where uniform points leave 1;
- over the whole box an error of 0.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import Case, parser, progress
from _pinn import Run, add_seeds, draw_curves, median, run, seeds

from sciml.plotting import tidy

DIMENSION = {"small": 5, "paper": 10}
SEEDS = {"small": 1, "paper": 3}
BUDGET = {"small": 8.0, "paper": 240.0}
SCHEDULE = {
    "small": {"steps": (100, 20, 1000), "points": (1000, 2000, 3000), "resample": (50, 10, 10)},
    "paper": {"steps": (120, 120, 2000), "points": (2000, 4500, 10_000), "resample": (60, 15, 20)},
}
NETWORK = {"small": {"hidden": (20, 20)}, "paper": {"hidden": (32, 32)}}
AAS = {
    "small": {"pool": 500, "steps": 10, "prefit_rounds": 10, "beta_rel": 5e-4},
    "paper": {"pool": 2000, "steps": 10, "prefit_rounds": 10, "beta_rel": 1e-3, "effective": 0.05},
}
"""Those of the paper size were chosen among three on seed 0, so that other seeds have to judge."""

SETTINGS = ("aas", "aas, soft boundary", "rad", "uniform")
PROBES = 100_000
"""Points of the estimate of the global norm."""


def nonlinear(dimension: int, hard: bool) -> Any:
    from sciml.learned.pinn import PROBLEMS

    problem = PROBLEMS["nonlinear"](dimension=dimension)
    if not hard:
        return problem
    return dataclasses.replace(
        problem, conditions=(), lift=lambda x, N: (1 - x**2).prod(dim=1) * N, rebuild=None
    )


def local_error(field: Any) -> float:
    """Relative error on the tensor grid {-0.1, 0, 0.1}^d."""
    import torch

    axis = torch.tensor([-0.1, 0.0, 0.1], dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[axis] * field.problem.dimension, indexing="ij"), -1)
    return float(field.error(grid.reshape(-1, field.problem.dimension))["relative"])


def global_error(field: Any, probes: int = PROBES, seed: int = 0) -> tuple[float, float]:
    """Relative L2 error over the box, and its standard error."""
    import torch

    d, rng = field.problem.dimension, np.random.default_rng([seed, 10])
    variance = 1 / 40  # u² is proportional to this normal density
    normal = rng.normal(0.0, math.sqrt(variance), (probes // 2, d))
    x = np.vstack([rng.uniform(-1, 1, (probes - len(normal), d)), normal])
    peak = np.exp(-(x**2).sum(1) / (2 * variance)) / (2 * math.pi * variance) ** (d / 2)
    density = 0.5 / 2**d + 0.5 * peak
    inside = (np.abs(x) <= 1).all(1)
    values = np.zeros(probes)
    points = torch.from_numpy(x[inside])
    gap = (field(points) - field.problem.exact(points)).numpy()
    values[inside] = gap**2 / density[inside]
    norm = (math.sqrt(math.pi / 20) * math.erf(math.sqrt(20))) ** d  # of u², exactly
    square = values.mean() / norm
    error = values.std() / math.sqrt(probes) / norm
    return math.sqrt(square), error / (2 * math.sqrt(square))


def sampler(name: str, domain: Any, size: str) -> Any:
    from sciml.learned.pinn import SAMPLERS
    from sciml.learned.pinn.density import KnotheRosenblatt

    if not name.startswith("aas"):
        return SAMPLERS[name](domain)
    density = KnotheRosenblatt(*domain.bounds, bins=16, width=24)
    return SAMPLERS["aas"](domain, density=density, importance=0.4, **AAS[size])


def train(name: str, size: str, seed: int, budget: float) -> Run:
    problem = nonlinear(DIMENSION[size], "soft" not in name)
    return run(
        problem, sampler(name, problem.domain, size), seed=seed, budget=budget, network=NETWORK[size],
        optimizer="adam+lm+lm", validate_every=5, held_out=16_384, **SCHEDULE[size],
    )  # fmt: skip


def figure(runs: dict[str, list[Run]], size: str) -> Any:
    """Errors over time, a section through the peak, and how far from it the points are."""
    import torch
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(12.5, 3.8), layout="constrained")
    axes = drawing.subplots(1, 4)
    curves = {n: [made.curve(local_error) for made in seeds] for n, seeds in runs.items()}
    draw_curves(axes[0], curves, "relative error at the peak")
    curves = {n: [made.curve(lambda f: global_error(f, 20_000)[0]) for made in r] for n, r in runs.items()}
    draw_curves(axes[1], curves, "relative $L^2$ error over the box")
    d = DIMENSION[size]
    line = torch.zeros(201, d, dtype=torch.float64)
    line[:, 0] = torch.linspace(-1, 1, 201)
    axes[2].plot(
        line[:, 0].numpy(),
        runs["aas"][0].field.problem.exact(line).numpy(),
        "k--",
        linewidth=1,
        label="exact",
    )
    colours = {"aas": "#D55E00", "uniform": "#7F7F7F"}
    for name, colour in colours.items():
        axes[2].plot(
            line[:, 0].numpy(), runs[name][0].field(line).numpy(), color=colour, linewidth=1.6, label=name
        )
    axes[2].set(xlabel="$x_1$", title="along the first axis")
    made = runs["aas"][0].sampler
    rng = np.random.default_rng(0)
    uniform = made.domain.sample(2000, rng).norm(dim=1)
    learned = made.density.sample(2000, rng).norm(dim=1)
    for r, name in ((learned, "aas"), (uniform, "uniform")):
        axes[3].hist(r.numpy(), bins=40, density=True, color=colours[name], alpha=0.6, label=name)
    axes[3].set(xlabel="distance to the peak", title="points of the density", yticks=[])
    for ax in axes[2:]:
        ax.title.set_fontsize(10)
        ax.legend(frameon=False, fontsize=8)
        tidy(ax)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    add_seeds(arguments, SEEDS)
    arguments.add_argument("--budget", type=float, help=f"core-seconds of a run, by default of {BUDGET}")
    arguments.add_argument(
        "--samplers", nargs="+", choices=SETTINGS, default=SETTINGS, help="what runs; the figure needs two"
    )
    given = arguments.parse_args(argv)
    import torch

    torch.set_num_threads(1)  # core-seconds are compared
    case, size = Case("aas_10d", given), given.size
    budget = BUDGET[size] if given.budget is None else given.budget
    rows: list[dict[str, Any]] = []
    runs: dict[str, list[Run]] = {name: [] for name in given.samplers}
    with progress() as tell:
        for seed in seeds(given, SEEDS):
            for name in given.samplers:
                tell(f"{name}, seed {seed}")
                made = train(name, size, seed, budget)
                runs[name].append(made)
                whole, deviation = global_error(made.field)
                rows.append({
                    "sampler": name, "seed": seed, "peak": local_error(made.field), "box": whole,
                    "box_standard_error": deviation, "held_out": made.history.best and made.history.best[1],
                    "parameters": made.field.parameters, "steps": made.history.steps,
                    "core_seconds": made.core_seconds,
                })  # fmt: skip
        d = DIMENSION[size]
        case.table(
            f"{d} dimensions, Adam + LM: relative error at the peak and over the box", rows, sampler="",
            seed="", peak=".2e", box=".2e", box_standard_error=".1e", held_out=".2e", parameters="", steps="",
            core_seconds=".0f",
        )  # fmt: skip
        by = {n: [r for r in rows if r["sampler"] == n] for n in given.samplers}
        if size == "paper" and "aas" in by:
            case.claim("AAS + LM: relative error at the peak", median(by["aas"], "peak"), "<=", 1e-3)
            case.claim("AAS + LM: relative error over the box", median(by["aas"], "box"), "<=", 0.3)
        if size == "paper" and "uniform" in by:
            case.claim("uniform + LM: relative error at the peak", median(by["uniform"], "peak"), ">=", 0.9)
        if size == "paper" and {"aas", "uniform"} <= set(by):
            gain = median(by["uniform"], "peak") / median(by["aas"], "peak")
            case.claim("error at the peak, uniform points over AAS", gain, ">=", 10.0)
        if given.plot is not None and {"aas", "uniform"} <= set(by):
            tell("figure")
            case.save_figure(figure(runs, size))
    return case.finish()


if __name__ == "__main__":
    main()
