"""Adversarial adaptive sampling on two sharp peaks, and its density against the exact maximiser.

An advection–diffusion equation on a square whose solution is zero but for two peaks of width 0.03 (Tang,
Zhai, Wan and Yang, "Adversarial adaptive sampling", arXiv:2305.18702). What it sets out to show
- the trained density is the maximiser of the penalised objective: within 3 % of one cosine transform;
- with it and Levenberg–Marquardt, a network of 1,300 parameters is accurate to per mille, peaks included;
- where points are scarce, it does much better than fixed uniform points.

Beside it run uniform points drawn afresh and residual-based adaptive points (RAD), at equal core-seconds with
the same optimisers. Errors are over a grid of 256 x 256 points; the field is chosen by its residuals on
held-out points, never by its error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import Case, parser, progress
from _pinn import Run, add_seeds, draw_curves, median, run, seeds, square_grid

SEEDS = {"small": 1, "paper": 3}
BUDGET = {"small": 8.0, "paper": 240.0}
SCARCE_BUDGET = {"small": 4.0, "paper": 60.0}
SCHEDULE = {
    "small": {"steps": (200, 1000), "points": (1000, 2500), "resample": (100, 15)},
    "paper": {"steps": (800, 5000), "points": (1500, 7000), "resample": (100, 30)},
}
SCARCE = 1000
SAMPLERS = ("aas", "rad", "uniform")
PARTS = ("density", "plenty", "scarce")
AAS: dict[str, Any] = {"beta_rel": 1e-3, "uniform": 0.4, "source": 0.1, "effective": 0.2}
"""A wider density than by default; chosen among five settings on seed 0, so other seeds have to judge."""

STEPS = 400
"""Of the densities that are compared with the exact maximiser."""

FIELDS = {
    "wave": ("(1 + sin πx cos πy)²", 16, 0.3),
    "two bumps": ("two Gaussians of width 0.15", 16, 0.06),
}
"""Squared residuals for the oracle: what they are, cells of the density per axis, and beta."""


def squared_residual(name: str, x: Any) -> Any:
    import torch

    if name == "wave":
        return (1 + torch.sin(torch.pi * x[:, 0]) * torch.cos(torch.pi * x[:, 1])) ** 2
    bumps = (torch.exp(-((x - c) ** 2).sum(1) / (2 * 0.15**2)) for c in (0.5, -0.5))
    return sum(bumps, torch.zeros_like(x[:, 0]))


def oracle(name: str, kind: str, seed: int) -> tuple[dict[str, Any], Any, Any]:
    """A density trained on a fixed squared residual against the exact maximiser: a row and both densities."""
    import torch

    from sciml.learned.pinn.density import DENSITIES, exact_maximiser, fit_density, penalised_mean

    _, bins, beta = FIELDS[name]
    lower, upper = [-1.0, -1.0], [1.0, 1.0]
    exact = exact_maximiser(
        squared_residual(name, centres(256)).numpy().reshape(256, 256), beta, lower, upper
    )
    torch.manual_seed(seed)
    density = DENSITIES[kind](lower, upper, **({"bins": bins} if kind == "knothe-rosenblatt" else {}))
    x = centres(3 * bins)
    target, weight = squared_residual(name, x), torch.full((len(x),), 4.0 / len(x), dtype=torch.float64)
    begin = time.process_time()
    fit_density(density, lambda: -penalised_mean(density, x, target, weight, beta), steps=STEPS)
    seconds = time.process_time() - begin
    with torch.no_grad():
        p = density.log_prob(centres(256)).exp()
        z, _ = density(x)
        inverse = float((density.inverse(z) - x).abs().max())
    found = {
        "squared_residual": FIELDS[name][0], "density": kind, "beta": beta, "seed": seed,
        "lowest": float(exact.min() * 4), "highest": float(exact.max() * 4),
        "error": float(np.linalg.norm(p.numpy() - exact.ravel()) / np.linalg.norm(exact)),
        "mass": float(p.mean() * 4), "inverse": inverse, "core_seconds": seconds,
    }  # fmt: skip
    return found, exact, p.reshape(256, 256).numpy()


def centres(n: int) -> Any:
    """Centres of `n` × `n` cells of the square."""
    import torch

    axis = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def sampler(name: str, domain: Any) -> Any:
    from sciml.learned.pinn import SAMPLERS as KINDS

    # The other adaptive sampler gets the importance weights of AAS, which least squares needs as much.
    if name == "rad":
        return KINDS["rad"](domain, importance=0.75)
    if name == "fixed uniform":
        return KINDS["uniform"](domain, fresh=False)
    return KINDS[name](domain, **(AAS if name == "aas" else {}))


def errors(field: Any) -> dict[str, float]:
    return field.error(square_grid(256))


def row(name: str, made: Run, points: int, seed: int) -> dict[str, Any]:
    found, best = errors(made.field), made.history.best  # None where the budget ended before a validation
    return {
        "sampler": name, "points": points, "seed": seed, "relative_L2": found["relative"],
        "max": found["max"], "mse": found["mse"], "held_out": best and best[1],
        "steps": made.history.steps, "core_seconds": made.core_seconds,
    }  # fmt: skip


def figure(problem: Any, runs: dict[str, list[Run]], oracle_pair: tuple[Any, Any]) -> Any:
    """Density against its oracle, points over the residual, errors over time, and where errors are."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(13.0, 6.2), layout="constrained")
    axes = drawing.subplots(2, 4)
    extent = (-1, 1, -1, 1)
    exact, trained = oracle_pair
    for ax, values, title in (
        (axes[0, 0], exact, "exact maximiser"), (axes[0, 1], trained, "trained density"),
    ):  # fmt: skip
        image = ax.imshow(values.T, origin="lower", extent=extent, vmin=0, vmax=exact.max(), cmap="viridis")
        ax.set_title(f"{title}, two bumps", fontsize=10)
    drawing.colorbar(image, ax=axes[0, 1], shrink=0.8)
    best = runs["aas"][0]
    density = best.sampler.density
    import torch

    with torch.no_grad():
        p = density.log_prob(square_grid(256)).exp().reshape(256, 256)
    image = axes[0, 2].imshow(p.T.log10().numpy(), origin="lower", extent=extent, cmap="viridis", vmin=-3)
    axes[0, 2].set_title("AAS: log$_{10}$ of the density", fontsize=10)
    drawing.colorbar(image, ax=axes[0, 2], shrink=0.8)
    x = best.sampler.memory["x"].numpy()
    axes[0, 3].plot(x[:, 0], x[:, 1], ".", color="#D55E00", markersize=1.2)
    axes[0, 3].set(title="AAS: the last points", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    axes[0, 3].title.set_fontsize(10)
    curves = {name: [made.curve(errors) for made in seeds] for name, seeds in runs.items()}
    for ax, metric, label in (
        (axes[1, 0], "relative", "relative $L^2$ error"), (axes[1, 1], "max", "largest error"),
    ):  # fmt: skip
        picked = {n: [[(s, e[metric]) for s, e in curve] for curve in c] for n, c in curves.items()}
        draw_curves(ax, picked, label)
    exact_values = problem.exact(square_grid(256))
    for ax, name in ((axes[1, 2], "aas"), (axes[1, 3], "uniform")):
        gap = (runs[name][0].field(square_grid(256)) - exact_values).abs().reshape(256, 256)
        image = ax.imshow(
            gap.T.clamp(min=1e-6).log10().numpy(),
            origin="lower",
            extent=extent,
            cmap="magma",
            vmin=-5,
            vmax=0,
        )
        ax.set_title(f"{name.upper() if name == 'aas' else name}: log$_{{10}}$ of the error", fontsize=10)
    drawing.colorbar(image, ax=axes[1, 3], shrink=0.8)
    return drawing


def compare(
    case: Case, tell: Any, names: Sequence[str], budget: float, schedule: dict[str, Any], title: str
) -> tuple[Any, dict[str, list[Run]], dict[str, float]]:
    """Train with every sampler and seed; prints the table, returns the runs and the median errors."""
    from sciml.learned.pinn import PROBLEMS

    problem = PROBLEMS["two_peaks"]()
    runs: dict[str, list[Run]] = {name: [] for name in names}
    rows = []
    for seed in seeds(case.arguments, SEEDS):
        for name in names:
            tell(f"{title}: {name}, seed {seed}")
            made = run(
                problem, sampler(name, problem.domain), seed=seed, budget=budget, optimizer="adam+lm",
                validate_every=10, held_out=16_384, **schedule,
            )  # fmt: skip
            runs[name].append(made)
            rows.append(row(name, made, schedule["points"][1], seed))
    case.table(
        title, rows, sampler="", points="", seed="", relative_L2=".2e", max=".2e", mse=".2e", held_out=".2e",
        steps="", core_seconds=".0f",
    )  # fmt: skip
    return problem, runs, {n: median([r for r in rows if r["sampler"] == n], "relative_L2") for n in names}


def density_part(case: Case, tell: Any) -> tuple[Any, Any]:
    """The oracle; returns exact and trained density of the two bumps, for the figure."""
    tell("density against the exact maximiser")
    kinds = [("wave", "knothe-rosenblatt"), ("two bumps", "knothe-rosenblatt"), ("wave", "krnet")]
    tried = {
        (name, kind, seed): oracle(name, kind, seed)
        for name, kind in kinds for seed in seeds(case.arguments, SEEDS)
    }  # fmt: skip
    rows = [found for found, _, _ in tried.values()]
    case.table(
        "density against the exact maximiser (lowest and highest: of the maximiser, uniform is 1)", rows,
        squared_residual="", density="", beta="g", seed="", lowest=".2f", highest=".2f", error=".4f",
        mass=".8f", inverse=".1e", core_seconds=".1f",
    )  # fmt: skip
    ours = [r for r in rows if r["density"] == "knothe-rosenblatt"]
    for name in FIELDS:
        mine = [r for r in ours if r["squared_residual"] == FIELDS[name][0]]
        case.claim(f"density against the exact maximiser, {name}", median(mine, "error"), "<=", 0.03)
    case.claim("largest error of the inverse", max(r["inverse"] for r in ours), "<=", 1e-10)
    case.claim("largest deviation of the mass from 1", max(abs(r["mass"] - 1) for r in ours), "<=", 1e-6)
    return tried["two bumps", "knothe-rosenblatt", case.arguments.seed][1:]


def plenty_part(case: Case, tell: Any) -> tuple[Any, dict[str, list[Run]]]:
    """As many points as a network of this size needs."""
    size = case.arguments.size
    title = f"Adam + LM, {BUDGET[size]:g} core-seconds"
    problem, runs, medians = compare(case, tell, SAMPLERS, BUDGET[size], SCHEDULE[size], title)
    if size == "paper":
        peak = [errors(made.field)["max"] for made in runs["aas"]]
        case.claim("AAS + LM: relative L2 error", medians["aas"], "<=", 3e-3)
        case.claim("AAS + LM: largest error", float(np.median(peak)), "<=", 6e-4)
        case.claim("uniform over AAS: relative L2 error", medians["uniform"] / medians["aas"], ">=", 2.0)
        case.claim("RAD over AAS: relative L2 error", medians["rad"] / medians["aas"], ">=", 1.0)
    return problem, runs


def scarce_part(case: Case, tell: Any) -> None:
    """Fewer points than parameters."""
    size = case.arguments.size
    schedule = {**SCHEDULE[size], "points": (SCARCE, SCARCE)}
    title = f"{SCARCE} points at a time, {SCARCE_BUDGET[size]:g} core-seconds"
    names = ("aas", "rad", "fixed uniform")
    _, _, medians = compare(case, tell, names, SCARCE_BUDGET[size], schedule, title)
    if size == "paper":
        gain = medians["fixed uniform"] / medians["aas"]
        case.claim("scarce: error of fixed uniform points over AAS", gain, ">=", 5.0)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    add_seeds(arguments, SEEDS)
    arguments.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to run; the figure needs all of them"
    )
    given = arguments.parse_args(argv)
    import torch

    torch.set_num_threads(1)  # core-seconds are compared
    case, shown = Case("aas_two_peaks", given), {}
    with progress() as tell:
        if "density" in given.parts:
            shown["density"] = density_part(case, tell)
        if "plenty" in given.parts:
            shown["plenty"] = plenty_part(case, tell)
        if "scarce" in given.parts:
            scarce_part(case, tell)
        if given.plot is not None and len(shown) == 2:
            tell("figure")
            case.save_figure(figure(*shown["plenty"], shown["density"]))
    return case.finish()


if __name__ == "__main__":
    main()
