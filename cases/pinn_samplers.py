"""Samplers and optimisers of physics-informed networks in one grid, at equal core-seconds.

Published comparisons of samplers are made with Adam, at equal numbers of steps. Here every sampler meets
every optimiser, and all runs on a problem may take the same processor time (that of the sampler included;
Adam, whose steps are set beforehand, may end earlier). Two problems stand side by side: sharp peaks, where
points matter, and a smooth field (Helmholtz), where they hardly do.

The other optimisers start after some steps of Adam. Errors are relative, in the L2 norm over 200 x 200
points; medians of the seeds and their range. What it sets out to show
- the optimiser decides: on the smooth problem the best sampler under Adam loses to uniform points under
  Levenberg–Marquardt by orders of magnitude;
- there no sampler gains much over fresh uniform points;
- on the peaks adaptive samplers do.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import Case, parser, progress
from _pinn import add_seeds, run, seeds, square_grid
from aas_two_peaks import AAS

from sciml.plotting import tidy

SEEDS = {"small": 1, "paper": 3}
BUDGET = {
    "small": {"two_peaks": 4.0, "helmholtz": 1.5},
    "paper": {"two_peaks": 30.0, "helmholtz": 10.0},
}
SAMPLERS = {
    "small": ("uniform", "rad", "aas"),
    "paper": ("uniform", "sobol", "halton", "rar", "rar-d", "rad", "r3", "das-g", "das-r", "aas"),
}
OPTIMIZERS = {"small": ("adam", "adam+lm"), "paper": ("adam", "adam+lbfgs", "adam+ssbroyden", "adam+lm")}
POINTS = 1500
NETWORK = {"small": {"hidden": (16, 16)}, "paper": {"hidden": (16, 16, 16)}}
"""Small, so that a budget of seconds holds some hundred steps of every optimiser."""

ADAM_STEPS = {"small": {"two_peaks": 100, "helmholtz": 100}, "paper": {"two_peaks": 600, "helmholtz": 100}}
"""Before the other optimiser takes over; a smooth field needs few, and with many the budget is gone."""

RESAMPLE = {"adam": 100, "lbfgs": 5, "ssbroyden": 100, "ssbfgs": 100, "lm": 20}
LEARNED: dict[str, dict[str, Any]] = {"small": {"pool": 500, "steps": 10}, "paper": {}}
"""Settings of samplers with a density; AAS has besides them those of `aas_two_peaks`."""

ENDLESS = 100_000
"""Steps: the budget ends a run. Adam alone needs their number for its schedule, so it is timed first."""


def train(
    problem: Any,
    sampler: str,
    optimizer: str,
    size: str,
    budget: float,
    adam_steps: int,
    seed: int,
    rate: float,
) -> Any:
    """One run. `adam_steps` come before another optimiser; `rate` is the core-seconds of a step of Adam."""
    names = optimizer.split("+")
    steps = [adam_steps, ENDLESS] if len(names) > 1 else [max(50, int(budget / rate))]
    return run(
        problem, _sampler(sampler, problem, size), seed=seed, budget=budget, network=NETWORK[size],
        optimizer=optimizer, steps=steps, points=POINTS, resample=[RESAMPLE[n] for n in names],
        validate_every=20,
    )  # fmt: skip


def _sampler(name: str, problem: Any, size: str) -> Any:
    from sciml.learned.pinn import SAMPLERS as KINDS

    learned = LEARNED[size] if name in ("aas", "das-g", "das-r") else {}
    return KINDS[name](problem.domain, **learned, **(AAS if name == "aas" else {}))


def seconds_per_step(problem: Any, sampler: str, size: str) -> float:
    """Core-seconds of a step of Adam, from a short run over two resamplings."""
    steps = 2 * RESAMPLE["adam"]
    made = run(
        problem, _sampler(sampler, problem, size), seed=0, budget=1e9, network=NETWORK[size],
        optimizer="adam", steps=steps, points=POINTS, resample=RESAMPLE["adam"],
    )  # fmt: skip
    return made.core_seconds / steps


def figure(rows: list[dict[str, Any]], size: str) -> Any:
    """Median errors with the range of the seeds, a panel a problem, a colour an optimiser."""
    from matplotlib.figure import Figure

    problems = list(BUDGET[size])
    samplers, optimizers = SAMPLERS[size], OPTIMIZERS[size]
    colours = dict(zip(optimizers, ("#7F7F7F", "#009E73", "#0072B2", "#D55E00"), strict=False))
    colours["adam+lm"] = "#D55E00"
    drawing = Figure(figsize=(12.0, 4.2), layout="constrained")
    for ax, problem in zip(drawing.subplots(1, len(problems)), problems, strict=True):
        for k, optimizer in enumerate(optimizers):
            shift = (k - (len(optimizers) - 1) / 2) * 0.16
            for i, sampler in enumerate(samplers):
                found = [
                    r["relative_L2"] for r in rows
                    if (r["problem"], r["sampler"], r["optimizer"]) == (problem, sampler, optimizer)
                ]  # fmt: skip
                label = optimizer.replace("+", " + ") if i == 0 else None
                ax.plot([i + shift] * 2, [min(found), max(found)], color=colours[optimizer], linewidth=1.5)
                ax.plot(i + shift, statistics.median(found), "o", color=colours[optimizer], label=label)
        ax.set_yscale("log")
        ax.set_xticks(range(len(samplers)), samplers, rotation=45, ha="right")
        ax.set_title(f"{problem.replace('_', ' ')}, {BUDGET[size][problem]:g} core-seconds", fontsize=10)
        ax.axhline(1.0, color="0.5", linewidth=0.8, linestyle="--")
        ax.grid(True, axis="y", color="0.9", linewidth=0.6)
        tidy(ax)
    drawing.axes[0].set_ylabel("relative $L^2$ error (the zero field has 1)")
    drawing.axes[-1].legend(frameon=False, fontsize=9)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    add_seeds(arguments, SEEDS)
    given = arguments.parse_args(argv)
    import torch

    from sciml.learned.pinn import PROBLEMS

    torch.set_num_threads(1)  # core-seconds are compared
    case, size = Case("pinn_samplers", given), given.size
    rows: list[dict[str, Any]] = []
    with progress() as tell:
        for name, budget in BUDGET[size].items():
            problem = PROBLEMS[name]()
            for sampler in SAMPLERS[size]:
                rate = seconds_per_step(problem, sampler, size)
                for optimizer in OPTIMIZERS[size]:
                    for seed in seeds(given, SEEDS):
                        tell(f"{name}: {sampler}, {optimizer}, seed {seed}")
                        made = train(
                            problem, sampler, optimizer, size, budget, ADAM_STEPS[size][name], seed, rate
                        )
                        found = made.field.error(square_grid(200))
                        rows.append({
                            "problem": name, "sampler": sampler, "optimizer": optimizer, "seed": seed,
                            "relative_L2": found["relative"], "max": found["max"],
                            "steps": made.history.steps, "core_seconds": made.core_seconds,
                        })  # fmt: skip
    case.tables["runs"] = rows
    medians = report(case, rows, size)
    if size == "paper":  # at the small size a busy machine decides
        uniform = {name: medians[name, "uniform", "adam+lm"] for name in BUDGET[size]}
        adam, lm = (min(medians["helmholtz", s, o] for s in SAMPLERS[size]) for o in ("adam", "adam+lm"))
        gain = uniform["two_peaks"] / medians["two_peaks", "aas", "adam+lm"]
        case.claim(
            "smooth: best sampler with Adam, over uniform with LM", adam / uniform["helmholtz"], ">=", 10.0
        )
        case.claim("smooth, LM: uniform over the best sampler", uniform["helmholtz"] / lm, "<=", 10.0)
        case.claim("peaks, LM: uniform over AAS", gain, ">=", 1.0)
    if given.plot is not None:
        case.save_figure(figure(rows, size))
    return case.finish()


def report(case: Case, rows: list[dict[str, Any]], size: str) -> dict[tuple[str, str, str], float]:
    """One table a problem, samplers down and optimisers across; returns the medians."""
    medians = {}
    for name in BUDGET[size]:
        lines = []
        for sampler in SAMPLERS[size]:
            line: dict[str, Any] = {"sampler": sampler}
            for optimizer in OPTIMIZERS[size]:
                own = [
                    r for r in rows
                    if (r["problem"], r["sampler"], r["optimizer"]) == (name, sampler, optimizer)
                ]  # fmt: skip
                medians[name, sampler, optimizer] = float(np.median([r["relative_L2"] for r in own]))
                line[optimizer] = medians[name, sampler, optimizer]
            lines.append(line)
        case.table(
            f"{name.replace('_', ' ')}: relative L2 error after {BUDGET[size][name]:g} core-seconds", lines,
            sampler="", **dict.fromkeys(OPTIMIZERS[size], ".1e"),
        )  # fmt: skip
    return medians


if __name__ == "__main__":
    main()
