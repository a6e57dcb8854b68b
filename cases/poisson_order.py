"""Order of convergence of the Poisson operator: manufactured solutions, every boundary condition, 2D and 3D.

Claim (standard theory of the cell-centred finite-volume scheme): the error of the solution falls as h² for
every combination of Dirichlet, Neumann, mixed and periodic sides, with constant and smooth variable
coefficients, with homogeneous and inhomogeneous boundary data. The observed order is 2.0 ± 0.1.

Each order is the slope between the two finest grids; errors are relative, in the 2-norm, against the exact
solution at cell centres. Grids are neither square nor of equal cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from _common import Case, parser, progress

from sciml import PoissonOperator, cg
from sciml.backends.namespace import norm2
from sciml.plotting import tidy
from sciml.preconditioners import FFT
from sciml.problems import Manufactured

SIDES = {
    "DD": ("dirichlet", "dirichlet"),
    "NN": ("neumann", "neumann"),
    "PP": ("periodic", "periodic"),
    "DN": ("dirichlet", "neumann"),
    "ND": ("neumann", "dirichlet"),
}
LENGTHS = (1.0, 1.3, 0.8)
CELLS = {
    "small": {2: (8, 16, 32), 3: (6, 12, 24)},
    "paper": {2: (16, 32, 64, 128), 3: (12, 24, 48)},
}


def combinations(ndim: int, size: str) -> list[tuple[str, ...]]:
    """Sides per axis. In 3D the small size keeps those that hold every kind on every axis once."""
    every = list(itertools.combinations_with_replacement(SIDES, ndim))
    if ndim == 2 or size == "paper":
        return every
    names = list(SIDES)
    return [
        tuple(names[(i + k * a) % len(names)] for a in range(3)) for i in range(len(names)) for k in (0, 1, 2)
    ]


def error(n: int, sides: Sequence[str], homogeneous: bool, variable: bool) -> tuple[float, float]:
    """Mean cell size and relative error on the grid with `n` cells along the first axis."""
    ndim = len(sides)
    shape = tuple(n + 2 * axis * n // 12 for axis in range(ndim))
    lengths = LENGTHS[:ndim]
    spacing = [length / m for length, m in zip(lengths, shape, strict=True)]
    bc = [SIDES[name] for name in sides]
    exact = Manufactured(bc, lengths, homogeneous=homogeneous, variable=variable)
    A = PoissonOperator(shape, spacing=spacing, bc=bc)
    x = A.coordinates()
    if variable:
        A = PoissonOperator(shape, spacing=spacing, bc=bc, coefficient=exact.coefficient(*x))
    b = A.project(exact.source(*x) + A.boundary_rhs(exact.boundary))
    result = cg(A, b, M=FFT(A), rtol=1e-9, on_failure="raise")
    u = A.project(exact.exact(*x))
    return math.prod(spacing) ** (1 / ndim), norm2(A.project(result.x) - u) / norm2(u)


def study(size: str, tell: Any) -> list[dict[str, Any]]:
    """One row per combination: errors on every grid and the order between the two finest."""
    rows = []
    for ndim, cells in CELLS[size].items():
        for sides in combinations(ndim, size):
            for homogeneous, variable in itertools.product((True, False), repeat=2):
                tell(f"{ndim}D {'/'.join(sides)}")
                steps, errors = zip(*(error(n, sides, homogeneous, variable) for n in cells), strict=True)
                order = math.log(errors[-2] / errors[-1]) / math.log(steps[-2] / steps[-1])
                rows.append(
                    {
                        "dimension": ndim,
                        "sides": "/".join(sides),
                        "boundary data": "zero" if homogeneous else "non-zero",
                        "coefficient": "variable" if variable else "constant",
                        "h": list(steps),
                        "errors": list(errors),
                        "order": order,
                    }
                )
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Smallest and largest order of every group."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dimension"], row["boundary data"], row["coefficient"]), []).append(row)
    return [
        {
            "dimension": key[0],
            "boundary data": key[1],
            "coefficient": key[2],
            "combinations": len(group),
            "smallest order": min(row["order"] for row in group),
            "largest order": max(row["order"] for row in group),
            "largest error": max(row["errors"][-1] for row in group),
        }
        for key, group in groups.items()
    ]


def figure(rows: list[dict[str, Any]]) -> Any:
    """Errors over cell size, one line per combination, with the slope of second order."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.0, 4.2), layout="constrained")
    axes = drawing.subplots(1, 2, sharey=True)
    colours = {"constant": "#0072B2", "variable": "#D55E00"}
    for ax, ndim in zip(axes, (2, 3), strict=True):
        mine = [row for row in rows if row["dimension"] == ndim]
        for row in mine:
            style = "-" if row["boundary data"] == "zero" else "--"
            ax.loglog(row["h"], row["errors"], style, color=colours[row["coefficient"]], linewidth=0.8,
                      alpha=0.6, marker=".", markersize=4)  # fmt: skip
        h = [min(r["h"][-1] for r in mine), max(r["h"][0] for r in mine)]
        low = 0.5 * min(r["errors"][-1] for r in mine)
        ax.loglog(h, [low, low * (h[1] / h[0]) ** 2], color="black", linewidth=1.5)
        ax.annotate("second order", (h[1], low * (h[1] / h[0]) ** 2), ha="right", va="top", xytext=(-4, -20),
                    textcoords="offset points", fontsize=9)  # fmt: skip
        ax.set_title(f"{ndim}D, {len(mine)} problems", fontsize=10)
        ax.set_xlabel("cell size h")
        ax.grid(True, which="major", color="0.9", linewidth=0.6)
        ax.set_xticks([0.05, 0.1], ["0.05", "0.1"])
        ax.minorticks_off()
        tidy(ax)
    axes[0].set_ylabel("relative error (2-norm)")
    for name, colour in colours.items():
        axes[0].plot([], [], color=colour, label=f"{name} coefficient")
    for name, style in (("zero", "-"), ("non-zero", "--")):
        axes[0].plot([], [], style, color="0.3", label=f"{name} boundary data")
    axes[0].legend(frameon=False, fontsize=8)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    case = Case("poisson_order", parser(__doc__).parse_args(argv))
    with progress() as tell:
        rows = study(case.arguments.size, tell)
    case.tables["orders"] = rows
    case.table(
        "observed orders", summary(rows), **{"dimension": "d", "boundary data": "", "coefficient": "",
        "combinations": "d", "smallest order": ".3f", "largest order": ".3f", "largest error": ".2e"},
    )  # fmt: skip
    for ndim in CELLS[case.arguments.size]:
        furthest = max(abs(row["order"] - 2.0) for row in rows if row["dimension"] == ndim)
        case.claim(f"largest distance of the observed order from 2 in {ndim}D", furthest, "<=", 0.1)
    if case.arguments.plot is not None:
        case.save_figure(figure(rows))
    return case.finish()


if __name__ == "__main__":
    main()
