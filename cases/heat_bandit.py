"""Conjugate gradients in a heat equation, preconditioned by SSOR whose omega is learned online.

Claims (Khodak, Chow, Balcan and Talwalkar, "Learning to relax", ICLR 2024, arXiv:2310.02246, section 5 and
appendix G.2): ``u_t = κ(t) Δu + f`` on the unit square by Crank-Nicolson, one linear system per step, each
started from the step before. With the diffusivity κ as context, ChebCB takes fewer iterations than any fixed
omega. Beyond the paper: a learner that models the whole cost surface takes fewer still, and its
own time is small against the solves.

Seconds are those of the solver, with the set-up of its preconditioner and the learner; assembling the system
is left out, as it is common to all. Beside the tuned SSOR run plain CG, and CG with multigrid
on every tenth step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml import PoissonOperator, cg
from sciml.preconditioners import SSOR
from sciml.preconditioners.multigrid import Multigrid
from sciml.tuning import (
    BinnedTsallisINF,
    ChebCB,
    Fixed,
    GaussianProcessCB,
    TsallisINF,
    omega_grid,
    tuned,
)

RTOL, CAP, STEP = 1e-8, 10_000, 1e-3
STEPS = {"small": 1000, "paper": 5000}
SEEDS = {"small": 1, "paper": 3}
GRIDS = {"small": (25, 50), "paper": (25, 50, 100, 200)}
EVERY = 10
"""The best fixed omega is searched, and multigrid run, on every tenth step only."""

GRID = omega_grid(1.0, 1.95, 20)
FINE_GRID = omega_grid(1.0, 1.95, 96)

# Printed beside the totals measured here: iterations of 5000 steps by an independent implementation.
REFERENCE = {
    25: {"CG": 85_422, "omega 1": 32_793, "omega 1.5": 32_318, "best fixed": 29_413},
    50: {"CG": 164_441, "omega 1": 60_733, "omega 1.5": 43_978, "best fixed": 42_908},
    100: {"CG": 325_008, "omega 1": 117_578, "omega 1.5": 77_296, "best fixed": 63_843},
}

LEARNERS = ("TsallisINF", "BinnedTsallisINF", "ChebCB", "GaussianProcessCB")


def diffusivity(t: float) -> float:
    """κ(t), as in the code of the paper."""
    wave = math.sin(2.0 * math.pi * t)
    return max(0.1 * wave, -10.0 * wave)


class Heat:
    """The Crank–Nicolson systems of the heat equation, on ``n - 1`` inner nodes per axis.

    The nodes on the boundary are Dirichlet cells of the operator, so its matrix on the inner nodes has the
    five-point Laplacian of the paper.
    """

    def __init__(self, n: int):
        self.n, self.h = n, 1.0 / n
        nodes = np.arange(n + 1) * self.h
        self.x, self.y = np.meshgrid(nodes, nodes, indexing="ij")
        self.boundary = np.full((n + 1, n + 1), 2, dtype=np.uint8)
        self.boundary[1:-1, 1:-1] = 0
        self.inside = self.boundary == 0

    def bump(self, center: tuple[float, float], radius: float) -> np.ndarray:
        """``exp(1 - 1/(1 - s²))`` of the distance from `center` in units of `radius`, zero beyond it."""
        s = ((self.x - center[0]) ** 2 + (self.y - center[1]) ** 2) / radius**2
        inside = (s < 1.0) & self.inside
        return np.where(inside, np.exp(1.0 - 1.0 / np.where(inside, 1.0 - s, 1.0)), 0.0)

    def initial(self) -> np.ndarray:
        """The state at time zero."""
        return self.bump((0.5, 0.5), 0.25)

    def system(self, step: int, u: np.ndarray) -> tuple[PoissonOperator, np.ndarray]:
        """Operator and right-hand side of one step from the state `u`."""
        middle = (step + 0.5) * STEP
        weight = max(0.5 * diffusivity(middle) * STEP, 1e-30)
        A = PoissonOperator(u.shape, spacing=self.h / math.sqrt(weight), cells=self.boundary, shift=1.0)
        angle = 16.0 * math.pi * middle
        source = 32.0 * self.bump((0.5 + 0.25 * math.cos(angle), 0.5 + 0.25 * math.sin(angle)), 0.125)
        # (I − κ dt/2 Δ) u' = (I + κ dt/2 Δ) u + dt f, and I + κ dt/2 Δ = 2 I − A.
        return A, np.where(self.inside, 2.0 * u - A @ u + STEP * source, 0.0)


class Run:
    """One solver on its way through the time steps, and what it has taken so far."""

    def __init__(self, heat: Heat, solve: Callable[..., Any]):
        self.heat, self.solve, self.u = heat, solve, heat.initial()
        self.iterations, self.seconds, self.policy_seconds = 0, 0.0, 0.0

    def advance(self, step: int) -> None:
        """Take one step from this run's own state."""
        A, b = self.heat.system(step, self.u)
        start = time.perf_counter()
        result = self.solve(A, b, x0=self.u, context=diffusivity(step * STEP), rtol=RTOL, maxiter=CAP)
        self.seconds += time.perf_counter() - start
        self.u = result.x
        self.iterations += result.iterations
        self.policy_seconds += result.info.get("tuned", {}).get("policy_seconds", 0.0)


def sampled_costs(heat: Heat, steps: int) -> tuple[np.ndarray, dict[str, float]]:
    """Every tenth step of an accurate run: iterations of every omega; CG with multigrid, scaled up."""
    u, rows, multigrid = heat.initial(), [], {"iterations": 0.0, "seconds": 0.0}
    for step in range(steps):
        A, b = heat.system(step, u)
        if step % EVERY == 0:
            rows.append([cg(A, b, x0=u, M=SSOR(A, w), rtol=RTOL, maxiter=CAP).iterations for w in GRID])
            start = time.perf_counter()
            multigrid["iterations"] += (
                EVERY * cg(A, b, x0=u, M=Multigrid(A), rtol=RTOL, maxiter=CAP).iterations
            )
            multigrid["seconds"] += EVERY * (time.perf_counter() - start)
        u = cg(A, b, x0=u, M=SSOR(A, 1.5), rtol=1e-10, maxiter=CAP).x
    return np.array(rows), multigrid


def learner(name: str, seed: int) -> Any:
    """A fresh policy; the ranges are those of κ."""
    if name == "TsallisINF":
        return TsallisINF(GRID, floor=1.0, seed=seed)
    if name == "BinnedTsallisINF":
        return BinnedTsallisINF(GRID, context_range=(0.0, 10.0), bins=6, floor=1.0, seed=seed)
    if name == "ChebCB":
        return ChebCB(GRID, context_range=(0.0, 10.0), floor=1.0, seed=seed)
    return GaussianProcessCB(FINE_GRID, prior=None, seed=seed)  # Young's formula is about SOR, not SSOR in CG


def ssor_cg(policy: Any) -> Callable[..., Any]:
    """CG with SSOR, its omega by `policy`."""
    return tuned(cg, parameter="omega", preconditioner=SSOR, policy=policy)


def study(n: int, steps: int, seeds: range, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row per solver for one grid; learners run once per seed, and their median is reported.

    All take the same step before any takes the next, so that a machine whose speed changes treats all alike.
    """
    heat = Heat(n)
    tell("all omegas on every tenth step")
    costs, multigrid = sampled_costs(heat, steps)
    best = GRID[int(costs.sum(axis=0).argmin())]
    runs = {
        "CG": [Run(heat, lambda A, b, context, **settings: cg(A, b, **settings))],
        "omega 1": [Run(heat, ssor_cg(Fixed(1.0)))],
        "omega 1.5": [Run(heat, ssor_cg(Fixed(1.5)))],
        "best fixed": [Run(heat, ssor_cg(Fixed(best)))],
        **{name: [Run(heat, ssor_cg(learner(name, seed))) for seed in seeds] for name in LEARNERS},
    }
    everyone = [run for several in runs.values() for run in several]
    for step in range(steps):
        tell(f"step {step + 1} of {steps}")
        for run in everyone:
            run.advance(step)
    rows: list[dict[str, Any]] = [
        {
            "grid": n,
            "solver": name,
            "omega": best if name == "best fixed" else None,
            "iterations": float(np.median([run.iterations for run in several])),
            "seconds": float(np.median([run.seconds for run in several])),
            "policy seconds": float(np.median([run.policy_seconds for run in several])),
            "all iterations": [run.iterations for run in several],
        }
        for name, several in runs.items()
    ]
    rows.append({"grid": n, "solver": "CG + multigrid (estimate)", **multigrid})
    oracle = float(costs.min(axis=1).sum() * EVERY)
    rows.append({"grid": n, "solver": "best of the grid in every step (estimate)", "iterations": oracle})
    return rows


def figure(rows: list[dict[str, Any]]) -> Any:
    """Iterations and seconds of every solver relative to SSOR with omega 1, by grid."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = drawing.subplots(1, 2, sharey=True)
    grids = sorted({row["grid"] for row in rows})
    colours = {
        "CG": "#999999",
        "CG + multigrid (estimate)": "#000000",
        "omega 1.5": "#56B4E9",
        "best fixed": "#009E73",
        "TsallisINF": "#E69F00",
        "BinnedTsallisINF": "#F0E442",
        "ChebCB": "#0072B2",
        "GaussianProcessCB": "#D55E00",
    }
    find = {(row["grid"], row["solver"]): row for row in rows}
    for ax, quantity in zip(axes, ("iterations", "seconds"), strict=True):
        for k, (name, colour) in enumerate(colours.items()):
            values = [find[n, name][quantity] / find[n, "omega 1"][quantity] for n in grids]
            places = np.arange(len(grids)) + 0.1 * (k - 3.5)
            ax.bar(places, values, width=0.1, color=colour, label=name)
        ax.axhline(1.0, color="black", linewidth=0.8)
        ax.set(
            title=quantity,
            xticks=range(len(grids)),
            xticklabels=[f"$n_x = {n}$" for n in grids],
            yscale="log",
        )
    axes[0].set_ylabel("relative to SSOR-CG with omega 1")
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return drawing


def check(case: Case, n: int, rows: list[dict[str, Any]], reference: bool) -> None:
    """The claims about one grid."""
    find = {row["solver"]: row for row in rows}
    if reference:
        for name, total in REFERENCE.get(n, {}).items():
            distance = abs(find[name]["iterations"] / total - 1.0)
            case.claim(f"n_x = {n}: {name}, relative distance from {total} iterations", distance, "<=", 0.05)
    ours = find["GaussianProcessCB"]
    case.claim(
        f"n_x = {n}: iterations, GaussianProcessCB / ChebCB",
        ours["iterations"] / find["ChebCB"]["iterations"],
        "<=",
        1.0,
    )
    if n >= 50:
        case.claim(
            f"n_x = {n}: iterations, ChebCB / best fixed",
            find["ChebCB"]["iterations"] / find["best fixed"]["iterations"],
            "<=",
            1.0,
        )
    if n >= 100:
        for name in ("omega 1", "omega 1.5", "CG"):
            case.claim(
                f"n_x = {n}: seconds, GaussianProcessCB / {name}",
                ours["seconds"] / find[name]["seconds"],
                "<=",
                1.0,
            )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    options = parser(__doc__)
    options.add_argument("--grids", type=int, nargs="+", help="values of n_x instead of those of the size")
    arguments = options.parse_args(argv)
    case = Case("heat_bandit", arguments)
    steps = STEPS[arguments.size]
    seeds = range(arguments.seed, arguments.seed + SEEDS[arguments.size])
    study(8, 2, range(1), lambda text: None)  # compiles the kernels
    everything = []
    for n in arguments.grids or GRIDS[arguments.size]:
        with progress() as tell:
            rows = study(n, steps, seeds, lambda text, n=n: tell(f"n_x = {n}: {text}"))
        everything += rows
        case.table(
            f"n_x = {n}, {steps} steps, medians of {len(seeds)}",
            rows,
            **{"solver": "", "omega": "g", "iterations": ",.0f", "seconds": ".2f", "policy seconds": ".2f"},
        )
        check(case, n, rows, steps == STEPS["paper"])
    if arguments.plot is not None:
        case.save_figure(figure(everything))
    return case.finish()


if __name__ == "__main__":
    main()
