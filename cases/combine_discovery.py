"""MEDIDA corrects a model whose implicit step any solver may take.

The model lacks a third of the anti-diffusion and a fifth of the advection of the Kuramoto–Sivashinsky
equation that the snapshots come from. Its implicit equation ``(I − Δt/2 L) v = b`` is solved by division in
Fourier space or, through the protocol, by a Krylov method, by a solver inside a solver, or by whichever of
two a bandit picks. What is discovered goes back into the model, whose corrected form takes its steps with
the same solver.

Claims: the same terms are found through every solver, their coefficients within 1e-3 of those found by
division; the corrected model's forecast error is a hundredth of the model's.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from _common import Case, parser, progress

import sciml
from sciml.learned.medida import Library, Snapshots, discover
from sciml.plotting import tidy
from sciml.problems import CNAB2, ETDRK4, forecast, kuramoto_sivashinsky, random_phases, trajectory
from sciml.tuning import TsallisINF, tuned

NODES = {"small": 64, "paper": 256}
LENGTH, DT, STEPS = 22.0, 5e-3, 200
MODEL = {"diffusion": 2.0 / 3.0, "advection": 0.8}
MISSING = ("u_xx", "u u_x")


def solvers() -> dict[str, Any]:
    """How the implicit step is taken."""

    def picked(A: Any, b: Any, *, which: Any, **settings: Any) -> Any:
        return which(A, b, rtol=1e-12, **settings)

    def nested(A: Any, b: Any) -> Any:
        return sciml.fcg(A, b, M=sciml.inverse(A, "cg", rtol=1e-3), rtol=1e-12)

    return {
        "division": None,
        "cg": partial(sciml.cg, rtol=1e-12),
        "minres": partial(sciml.minres, rtol=1e-12),
        "gmres": partial(sciml.gmres, rtol=1e-12),
        "cg inside fcg": nested,
        "bandit": tuned(picked, parameter="which", policy=TsallisINF([sciml.cg, sciml.minres], seed=0)),
    }


def study(size: str, seed: int, tell: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row per solver, and the forecast errors of the model before and after."""
    n = NODES[size]
    equation = kuramoto_sivashinsky(n, LENGTH)
    truth = ETDRK4(equation, DT / 5)
    tell("snapshots")
    u = random_phases(equation.grid, np.random.default_rng(seed), batch=(8,))
    u = forecast(ETDRK4(equation, 0.05), u, 1500)
    middle = forecast(truth, u, 5)
    data = Snapshots(np.stack([u, middle], axis=1), forecast(truth, middle, 5), DT)
    start = forecast(ETDRK4(equation, 0.05), u[0], 200)  # not among the data
    expected = trajectory(truth, start, 5 * STEPS, 5 * 10)
    rows, curves = [], {}
    for name, solver in solvers().items():
        tell(name)
        model = CNAB2(kuramoto_sivashinsky(n, LENGTH, **MODEL), DT, solver=solver)
        clock = time.perf_counter()
        found = discover(model, data, Library.powers(), noise=0.0)
        seconds = time.perf_counter() - clock
        errors = {
            which: np.abs(trajectory(m, start, STEPS, 10) - expected).max(axis=-1)
            for which, m in (("before", model), ("after", found.corrected(model)))
            if solver is None or which == "after"
        }
        curves[name] = errors
        rows.append(
            {
                "solver": name,
                "found": ", ".join(found.names),
                **{term: found.as_dict().get(term) for term in MISSING},
                "seconds": seconds,
                "forecast error": float(errors["after"][10]),
            }
        )
    return rows, curves


def figure(curves: dict[str, Any]) -> Any:
    """Errors of forecasts, before and after the correction."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.0, 4.0), layout="constrained")
    ax = drawing.subplots()
    times = 10 * DT * np.arange(curves["division"]["before"].size)
    ax.semilogy(times[1:], curves["division"]["before"][1:], color="black", label="model", linewidth=1.8)
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
    for i, ((name, errors), colour) in enumerate(zip(curves.items(), colours, strict=True)):
        # They coincide: one line, and the others' marks taking turns on it.
        look = {"linewidth": 1.6} if i == 0 else {"linestyle": "", "marker": "osD^v"[i - 1], "markersize": 6}
        ax.semilogy(
            times[1:], errors["after"][1:], color=colour, label=f"corrected, {name}", markevery=(i, 6), **look
        )
    ax.set(xlabel="time", ylabel="largest error of the forecast")
    ax.grid(True, color="0.9", linewidth=0.6)
    tidy(ax)
    ax.legend(frameon=False, fontsize=9)
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    case = Case("combine_discovery", parser(__doc__).parse_args(argv))
    with progress() as tell:
        rows, curves = study(case.arguments.size, case.arguments.seed, tell)
    numbers = {**dict.fromkeys(MISSING, ".5f"), "seconds": ".2f", "forecast error": ".1e"}
    case.table("what was found", rows, **{"solver": "", "found": "", **numbers})
    right = sum(set(row["found"].split(", ")) == set(MISSING) for row in rows)
    case.claim("solvers through which exactly the missing terms are found", right, "==", len(rows))
    gaps = [abs((row[term] or 0.0) - (rows[0][term] or 0.0)) for row in rows for term in MISSING]
    case.claim("largest difference of a coefficient from that by division", max(gaps), "<=", 1e-3)
    gain = max(row["forecast error"] for row in rows) / float(curves["division"]["before"][10])
    case.claim(f"forecast error at t = {100 * DT:g}, corrected over model", gain, "<=", 0.01)
    if case.arguments.plot is not None:
        case.save_figure(figure(curves))
    return case.finish()


if __name__ == "__main__":
    main()
