"""Halpern's resolvent solved by CG: the preconditioner decides what an obstacle problem costs.

The membrane over a ball is an inclusion ``0 ∈ A u − b + N(u)``. Halpern's method splits it as Douglas and
Rachford do: a projection, and a solve with ``A + 1/η``. CG does that with whatever preconditioner it is
given, each solve started from the last one. Beside it runs projected multigrid, the specialist for obstacle
problems.

Claims: the membrane is the same with every preconditioner; with multigrid the CG iterations of a resolvent
do not grow with the grid, and with Jacobi they do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml import halpern, projected_multigrid
from sciml.plotting import tidy
from sciml.preconditioners import Jacobi, LearnedMultigrid, Multigrid
from sciml.problems import membrane_over_ball

GRIDS = {"small": (32, 64, 128), "paper": (64, 128, 256, 512)}
PRECONDITIONERS = {"Jacobi": Jacobi, "multigrid": Multigrid, "learned multigrid": LearnedMultigrid}
COLOURS = {"Jacobi": "#0072B2", "multigrid": "#D55E00", "learned multigrid": "#009E73"}
RTOL = 1e-8


def study(grids: tuple[int, ...], tell: Any) -> list[dict[str, Any]]:
    """One row per grid and preconditioner."""
    rows = []
    for n in grids:
        specialist = projected_multigrid(membrane_over_ball(n).F, membrane_over_ball(n).u0, rtol=1e-10)
        for name, preconditioner in PRECONDITIONERS.items():
            tell(f"{n} x {n}, {name}")
            problem = membrane_over_ball(n, preconditioner=preconditioner)
            result = halpern(problem.F, problem.u0, rtol=RTOL)
            inner = problem.F.solve
            rows.append(
                {
                    "grid": n,
                    "preconditioner": name,
                    "status": result.status.name.lower(),
                    "resolvents": inner.solves,
                    "set-ups": inner.setups,
                    "CG iterations": inner.iterations,
                    "per resolvent": inner.iterations / inner.solves,
                    "difference": float(np.abs(result.x - specialist.x).max()),
                    "cycles of projected multigrid": specialist.iterations,
                }
            )
    return rows


def figure(rows: list[dict[str, Any]]) -> Any:
    """CG iterations per resolvent over the grid."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5.6, 3.8), layout="constrained")
    ax = drawing.subplots()
    for name, colour in COLOURS.items():
        mine = [row for row in rows if row["preconditioner"] == name]
        ax.plot(
            [r["grid"] for r in mine], [r["per resolvent"] for r in mine], "o-", color=colour, label=name,
            linewidth=1.6, markersize=5,
        )  # fmt: skip
    grids = sorted({row["grid"] for row in rows})
    ax.set_xscale("log")
    ax.set_xticks(grids, [str(n) for n in grids])
    ax.minorticks_off()
    ax.set(xlabel="cells per side", ylabel="CG iterations per resolvent")
    ax.set_ylim(bottom=0)
    ax.grid(True, color="0.9", linewidth=0.6)
    tidy(ax)
    ax.legend(frameon=False, fontsize=9)
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    options = parser(__doc__)
    options.add_argument("--grids", type=int, nargs="+", help="cells per side instead of those of the size")
    arguments = options.parse_args(argv)
    case = Case("combine_resolvent", arguments)
    grids = tuple(arguments.grids or GRIDS[arguments.size])
    with progress() as tell:
        rows = study(grids, tell)
    case.table(
        "resolvents of the membrane", rows, **{"grid": "d", "preconditioner": "", "status": "",
        "resolvents": "d", "set-ups": "d", "CG iterations": "d", "per resolvent": ".1f", "difference": ".1e",
        "cycles of projected multigrid": "d"},
    )  # fmt: skip
    case.claim("largest difference from projected multigrid", max(r["difference"] for r in rows), "<=", 1e-5)
    find = {(row["grid"], row["preconditioner"]): row["per resolvent"] for row in rows}
    for name, relation, target in (
        ("multigrid", "<=", 1.5),
        ("learned multigrid", "<=", 1.5),
        ("Jacobi", ">=", 1.5),
    ):
        growth = find[grids[-1], name] / find[grids[0], name]
        case.claim(f"{name}: iterations per resolvent, largest grid over smallest", growth, relation, target)
    if arguments.plot is not None:
        case.save_figure(figure(rows))
    return case.finish()


if __name__ == "__main__":
    main()
