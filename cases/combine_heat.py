"""Learned multigrid in CG in a Crank–Nicolson stepper, the solver of every step picked by a bandit.

Diffusion in a porous medium whose diffusivity swings over four decades: where it is small, plain CG is done
before a multigrid hierarchy is set up; where it is large, only multigrid is fast. Four solvers step side by
side. Beside them steps a bandit that picks one of the four for every step and learns from the seconds it
took, set-up included; one that also sees the diffusion length of the step; and, known only afterwards, the
best of the four in every step.

Claims: all reach the state that sparse factorisation reaches; the bandits take less time than their arms do
on average, their own bookkeeping included. How much less depends on how long they learn, and on the
machine.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import numpy as np
from _common import Case, parser, progress

import sciml
from sciml.preconditioners import Jacobi, LearnedMultigrid, Multigrid
from sciml.problems import CrankNicolson, poisson
from sciml.tuning import BinnedTsallisINF, TsallisINF, tuned

SIZES = {"small": (160, 128), "paper": (384, 300)}
DT, PERIOD, RTOL = 1e-3, 40, 1e-8
ARMS = {"cg": None, "cg+jacobi": Jacobi, "cg+multigrid": Multigrid, "cg+learned multigrid": LearnedMultigrid}
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#009E73", "#E69F00")


def diffusivity(t: float) -> float:
    """From 0.01 to 100."""
    return 10.0 ** (2.0 * math.sin(2.0 * math.pi * t / (PERIOD * DT)))


def solver_with(M: Any) -> Any:
    """CG that sets up its preconditioner anew for every system."""

    def solve(A: Any, b: Any, **settings: Any) -> Any:
        return sciml.cg(A, b, M=None if M is None else M(A), rtol=RTOL, **settings)

    return solve


def bandits(seed: int) -> dict[str, Any]:
    """Two policies over the four arms."""
    decades = {"context_range": (0.01 * DT, 100.0 * DT), "bins": 4}
    policies = {
        "bandit": TsallisINF(list(ARMS.values()), seed=seed),
        "bandit that sees κ": BinnedTsallisINF(list(ARMS.values()), seed=seed, **decades),
    }
    return {
        name: tuned(partial(sciml.cg, rtol=RTOL), parameter="M", policy=policy, cost="seconds")
        for name, policy in policies.items()
    }


def study(size: str, steps: int, seed: int, tell: Any) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """One row per solver, and the seconds of every step."""
    problem = poisson(SIZES[size], obstacles="porous", rhs="smooth", seed=seed)
    solvers = {name: solver_with(M) for name, M in ARMS.items()} | bandits(seed)
    steppers = {
        name: CrankNicolson(
            problem.A, DT, solver=solver, diffusivity=diffusivity, contextual=name == "bandit that sees κ"
        )
        for name, solver in solvers.items()
    }
    exact = CrankNicolson(problem.A, DT, solver=partial(sciml.splu, rtol=1e-12), diffusivity=diffusivity)
    for stepper in steppers.values():
        stepper.step(problem.b, 0.0, DT)  # loads kernels; the bandits' first lesson is with a compiler in it
    for name, solver in bandits(seed).items():
        steppers[name].solver = solver
    states = dict.fromkeys(steppers, problem.b)
    reference, seconds, iterations = (
        problem.b,
        {n: np.zeros(steps) for n in steppers},
        dict.fromkeys(steppers, 0),
    )
    for i in range(steps):
        tell(f"step {i + 1} of {steps}")
        for name, stepper in steppers.items():
            start = time.perf_counter()
            states[name] = stepper.step(states[name], i * DT, DT)
            seconds[name][i] = time.perf_counter() - start
            iterations[name] += stepper.last.iterations
        reference = exact.step(reference, i * DT, DT)
    rows = [
        {
            "solver": name,
            "iterations": iterations[name],
            "seconds": float(seconds[name].sum()),
            "error": float(np.abs(states[name] - reference).max() / np.abs(reference).max()),
            "picked": None if name in ARMS else dict(
                zip(ARMS, stepper.solver.policy.plays.tolist(), strict=True)
            ),
        }
        for name, stepper in steppers.items()
    ]  # fmt: skip
    best = np.min([seconds[name] for name in ARMS], axis=0)
    rows.append({"solver": "best in every step (afterwards)", "seconds": float(best.sum())})
    return rows, seconds


def figure(seconds: dict[str, np.ndarray]) -> Any:
    """Diffusivity and seconds per step, and the running total."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = drawing.subplots(1, 2)
    for (name, values), colour in zip(seconds.items(), COLOURS, strict=True):
        style = "-" if name in ARMS else "--"
        steps = np.arange(1, values.size + 1)
        if name in ARMS:
            left.semilogy(steps, 1e3 * values, style, color=colour, linewidth=1.2, label=name)
        right.plot(steps, np.cumsum(values), style, color=colour, linewidth=1.6, label=name)
    kappa = left.twinx()
    kappa.semilogy(
        steps, [diffusivity((i + 0.5) * DT) for i in range(steps.size)], color="0.7", linewidth=1.0
    )
    kappa.set_ylabel("diffusivity (grey)", color="0.5")
    left.set(xlabel="step", ylabel="milliseconds of the step")
    right.set(xlabel="step", ylabel="seconds so far")
    for ax in (left, right):
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.spines["top"].set_visible(False)
    right.spines["right"].set_visible(False)
    handles, labels = right.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    options = parser(__doc__)
    options.add_argument("--steps", type=int, help="time steps; 120 by default, 400 at the size of papers")
    arguments = options.parse_args(argv)
    case = Case("combine_heat", arguments)
    steps = arguments.steps or {"small": 120, "paper": 400}[arguments.size]
    with progress() as tell:
        rows, seconds = study(arguments.size, steps, arguments.seed, tell)
    case.table(f"{steps} steps", rows, solver="", iterations="d", seconds=".3f", error=".1e")
    for row in rows:
        if row.get("picked"):
            picks = ", ".join(f"{name} {count}" for name, count in row["picked"].items())
            print(f"{row['solver']}: {picks}")
    case.claim(
        "largest error against factorisation", max(r["error"] for r in rows if "error" in r), "<=", 1e-5
    )
    arms = [row["seconds"] for row in rows if row["solver"] in ARMS]
    for row in rows:
        if row.get("picked"):
            ratio = row["seconds"] / float(np.mean(arms))
            case.claim(f"seconds, {row['solver']} over the mean of its arms", ratio, "<=", 1.0)
    if arguments.plot is not None:
        case.save_figure(figure(seconds))
    return case.finish()


if __name__ == "__main__":
    main()
