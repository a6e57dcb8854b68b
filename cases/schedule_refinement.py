"""Learning-rate schedules: does refinement from observed gradients help three of our own trainings?

Linear decay with a short warm-up is the default of every training here. A schedule can be refined from the
norms of the gradients that a first run has seen (Defazio, Cutkosky, Mehta and Mishchenko, arXiv:2310.07831).
A direction network, a recurrent inference machine and a physics-informed network are trained with Adam, with
a constant rate, with linear decay, and with the refined schedule, all from the same start and with the same
samples. The gradients come from a run of another seed, as they would for a user who trains again.

Every schedule gets the best of the same learning rates. What is compared is the last iterate on held-out
data, as schedules are about the last one; the iterate that a training returns, the best one, stands beside
it. Claims: linear decay is no worse than a constant rate, and refinement no worse than linear decay. The
first run, which refinement needs, is not counted against it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _common import Case, parser, progress
from rim_tomography import ANGLES, N, line_integrals
from rim_tomography import train as train_tomography

from sciml import as_operator
from sciml.learned.schedules import Constant, LinearDecay, Refined
from sciml.plotting import tidy
from sciml.problems import poisson

SEEDS = {"small": 1, "paper": 3}
FACTORS = {"small": (1.0,), "paper": (0.5, 1.0, 2.0)}
"""Of the default learning rate of each training."""

STEPS = {
    "small": {"direction network": 200, "inference machine": 60, "PINN": 800},
    "paper": {"direction network": 1000, "inference machine": 200, "PINN": 3000},
}
SCHEDULES = ("constant", "linear decay", "refined")
FIRST = 1000
"""Added to the seed of the run whose gradients refine."""


def direction_network(size: str, seed: int, factor: float, schedule: Any) -> Any:
    from sciml.learned.dcd import train_dcd

    A = poisson((32, 32), bc="open-top").A
    steps = STEPS[size]["direction network"]
    _, history = train_dcd(
        A, architecture="small", steps=steps, lr=3e-3 * factor, schedule=schedule, seed=seed, progress=False
    )
    return history


def inference_machine(size: str, seed: int, factor: float, schedule: Any) -> Any:
    A = as_operator(line_integrals(N, ANGLES))
    steps = STEPS[size]["inference machine"]
    _, history = train_tomography(
        A, "small", seed, steps, lambda _: None, lr=4e-3 * factor, schedule=schedule
    )
    return history


def pinn(size: str, seed: int, factor: float, schedule: Any) -> Any:
    from sciml.learned.pinn import PROBLEMS, Field, train_pinn
    from sciml.learned.pinn.optimizers import Adam

    problem = PROBLEMS["poisson"](dimension=2)
    _, history = train_pinn(
        problem, sampler="uniform", optimizer=Adam(5e-3 * factor, schedule), steps=STEPS[size]["PINN"],
        points=1000, resample=20, field=Field(problem, hidden=(16, 16), seed=seed), seed=seed, progress=False,
        validate_every=max(1, STEPS[size]["PINN"] // 40),
    )  # fmt: skip
    return history


TRAININGS: dict[str, tuple[Callable[..., Any], str]] = {
    "direction network": (direction_network, "residual left by an iteration"),
    "inference machine": (inference_machine, "mean error of an image"),
    "PINN": (pinn, "mean squared residual"),
}
"""What trains, and what its held-out value is."""


def study(case: Case, tell: Callable[[str], None]) -> dict[tuple[str, str], list[Any]]:
    """Train everything; returns the histories at the best learning rate."""
    given, size = case.arguments, case.arguments.size
    rows, best = [], {}
    for name, (train, _) in TRAININGS.items():
        found: dict[str, dict[float, list[Any]]] = {s: {} for s in SCHEDULES}
        for factor in FACTORS[size]:
            tell(f"{name}: a first run at {factor:g} times the default rate")
            first = train(size, given.seed + FIRST, factor, LinearDecay())
            made = dict(
                zip(SCHEDULES, (Constant(), LinearDecay(), Refined(first.metrics["gradient"])), strict=True)
            )
            for label, schedule in made.items():
                histories = []
                for seed in range(given.seed, given.seed + SEEDS[size]):
                    tell(f"{name}: {label}, {factor:g} times the default rate, seed {seed}")
                    histories.append(train(size, seed, factor, schedule))
                found[label][factor] = histories
        for label in SCHEDULES:
            factor = min(found[label], key=lambda f, label=label: median_last(found[label][f]))
            best[name, label] = found[label][factor]
            rows += [
                {
                    "training": name, "schedule": label, "rate": f, "last": median_last(h),
                    "returned": statistics.median(x.best[1] for x in h), "chosen": f == factor,
                    "seeds": len(h),
                }
                for f, h in found[label].items()
            ]  # fmt: skip
    case.tables["all rates"] = rows
    chosen = [row for row in rows if row["chosen"]]
    case.table(
        "held-out value at the best rate, median of the seeds", chosen, training="", schedule="", rate="g",
        seeds="", last=".4g", returned=".4g",
    )  # fmt: skip
    return best


def median_last(histories: list[Any]) -> float:
    """Of the last validation."""
    return float(statistics.median(history.validation[-1][1] for history in histories))


def check(case: Case, best: dict[tuple[str, str], list[Any]]) -> None:
    """Ratios of the last iterates."""
    for name in TRAININGS:
        last = {label: median_last(best[name, label]) for label in SCHEDULES}
        case.claim(
            f"{name}: linear decay over a constant rate", last["linear decay"] / last["constant"], "<=", 1.0
        )
        case.claim(f"{name}: refined over linear decay", last["refined"] / last["linear decay"], "<=", 1.0)


def figure(best: dict[tuple[str, str], list[Any]]) -> Any:
    """Schedules above, held-out values below, a column a training."""
    from matplotlib.figure import Figure

    colours = dict(zip(SCHEDULES, ("#7F7F7F", "#0072B2", "#D55E00"), strict=True))
    drawing = Figure(figsize=(12.0, 5.4), layout="constrained")
    axes = drawing.subplots(2, len(TRAININGS), sharex="col", height_ratios=(1, 1.6))
    for (above, below), (name, (_, label)) in zip(axes.T, TRAININGS.items(), strict=True):
        for schedule in SCHEDULES:
            histories = best[name, schedule]
            rates = np.array(histories[0].metrics["rate"])
            above.plot(rates, color=colours[schedule], linewidth=1.4)
            steps = [step for step, _ in histories[0].validation]
            values = np.array([[value for _, value in h.validation] for h in histories])
            below.plot(steps, np.median(values, 0), color=colours[schedule], linewidth=1.6, label=schedule)
            below.fill_between(
                steps, values.min(0), values.max(0), color=colours[schedule], alpha=0.15, linewidth=0
            )
        above.set_title(name, fontsize=10)
        below.set(xlabel="step", ylabel=label, yscale="log")
        for ax in (above, below):
            ax.grid(True, color="0.9", linewidth=0.6)
            tidy(ax)
    axes[0, 0].set_ylabel("learning rate")
    axes[1, 0].legend(frameon=False, fontsize=9)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    case = Case("schedule_refinement", parser(__doc__).parse_args(argv))
    with progress() as tell:
        best = study(case, tell)
    if case.arguments.size == "paper":  # a hundred steps say little about the end of a training
        check(case, best)
    if case.arguments.plot is not None:
        case.save_figure(figure(best))
    return case.finish()


if __name__ == "__main__":
    main()
