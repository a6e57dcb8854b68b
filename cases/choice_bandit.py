"""Which preconditioner? Chosen online, by the clock, while the systems drift.

Claim: ``tuned(cg, parameter="M", ...)`` choosing among Jacobi, SSOR with five relaxation factors, MIC(0) and
multigrid by measured seconds (set-up included) stays within 10 % of the best of them in hindsight, and may
beat it, because the best choice changes: implicit steps whose length grows by six orders of magnitude.

Every system is solved by every arm and by every learner, one after the other, so that a machine whose speed
changes during the run treats all alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml import PoissonOperator, cg
from sciml.preconditioners import SSOR, IncompleteCholesky, Jacobi
from sciml.preconditioners.multigrid import Multigrid
from sciml.tuning import GaussianProcessCB, TsallisINF, tuned

CELLS = {"small": 160, "paper": 256}
ROUNDS = {"small": 250, "paper": 600}
SEEDS = {"small": 1, "paper": 3}
SHIFTS = (1e6, 1e0)
"""First and last ``1 / dt`` on the unit square."""

RTOL = 1e-8

ARMS: dict[str, Callable[[Any], Any]] = {
    "Jacobi": Jacobi,
    **{f"SSOR {omega:g}": partial(SSOR, omega=omega) for omega in (1.0, 1.3, 1.6, 1.8, 1.9)},
    "MIC(0)": partial(IncompleteCholesky, modified=True),
    "multigrid": Multigrid,
}


def learners(seed: int) -> dict[str, Any]:
    """Fresh tuned solvers."""
    arms = list(ARMS.values())
    policies = {
        "TsallisINF": TsallisINF(arms, seed=seed),
        "GaussianProcessCB": GaussianProcessCB(arms, scale="categories", prior=None, seed=seed),
    }
    return {
        name: tuned(cg, parameter="M", policy=policy, cost="seconds", cap_factor=10.0)
        for name, policy in policies.items()
    }


def race(cells: int, rounds: int, seed: int, tell: Callable[[str], None]) -> dict[str, np.ndarray]:
    """Seconds of every arm and learner in every round."""
    rng = np.random.default_rng(seed)
    shifts = np.geomspace(*SHIFTS, rounds)
    solvers = learners(seed)
    seconds = {name: np.zeros(rounds) for name in (*ARMS, *solvers)}
    for t, shift in enumerate(shifts):
        tell(f"seed {seed}, system {t + 1} of {rounds}")
        A = PoissonOperator((cells, cells), spacing=1.0 / cells, shift=float(shift))
        b = rng.standard_normal((cells, cells))
        # A different order in every round: nobody always finds the caches warm.
        for name in rng.permutation(list(seconds)):
            start = time.perf_counter()
            if name in solvers:
                solvers[name](A, b, context=math.log10(shift), rtol=RTOL)
            else:
                cg(A, b, M=ARMS[name](A), rtol=RTOL)
            seconds[name][t] = time.perf_counter() - start
    return seconds


def summarise(runs: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Median seconds over the seeds, and the ratio to the best arm in hindsight of the same run."""
    rows = []
    for name in runs[0]:
        totals = [float(run[name].sum()) for run in runs]
        best = [min(float(run[arm].sum()) for arm in ARMS) for run in runs]
        ratios = [total / b for total, b in zip(totals, best, strict=True)]
        rows.append(
            {"solver": name, "seconds": float(np.median(totals)), "relative": float(np.median(ratios))}
        )
    return rows


def figure(seconds: dict[str, np.ndarray]) -> Any:
    """Milliseconds per system along the drift."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7.0, 4.2), layout="constrained")
    ax = drawing.subplots()
    shifts = np.geomspace(*SHIFTS, len(seconds["Jacobi"]))
    colours = {"Jacobi": "#999999", "SSOR 1.6": "#56B4E9", "MIC(0)": "#009E73", "multigrid": "#000000",
               "GaussianProcessCB": "#D55E00"}  # fmt: skip
    window = max(3, len(shifts) // 40)
    for name, colour in colours.items():
        smooth = [np.median(seconds[name][max(0, t - window) : t + window]) for t in range(len(shifts))]
        width = 2.2 if name == "GaussianProcessCB" else 1.2
        ax.loglog(shifts, 1e3 * np.array(smooth), color=colour, label=name, linewidth=width)
    ax.set(xlabel="shift 1/dt", ylabel="milliseconds per system (running median)")
    ax.invert_xaxis()
    ax.legend(frameon=False, fontsize=8)
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, help="length of the sequence instead of that of the size")
    arguments = options.parse_args(argv)
    case = Case("choice_bandit", arguments)
    cells, rounds = CELLS[arguments.size], arguments.rounds or ROUNDS[arguments.size]
    seeds = range(arguments.seed, arguments.seed + SEEDS[arguments.size])
    race(8, 2, 0, lambda text: None)  # compiles the kernels
    with progress() as tell:
        runs = [race(cells, rounds, seed, tell) for seed in seeds]
    rows = summarise(runs)
    title = f"{rounds} systems on {cells} x {cells} cells, medians of {len(runs)}"
    case.table(title, rows, solver="", seconds=".2f", relative=".3f")
    relative = {row["solver"]: row["relative"] for row in rows}
    case.claim(
        "seconds, GaussianProcessCB / best arm in hindsight", relative["GaussianProcessCB"], "<=", 1.10
    )
    if arguments.plot is not None:
        case.save_figure(figure(runs[0]))
    return case.finish()


if __name__ == "__main__":
    main()
