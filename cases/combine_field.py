"""A trained field in a grid solve: as the start, and as a coarse correction.

A small network is trained on ``−Δu = 10 exp(x − y)``, once, without any grid. On every grid its values are
an initial guess; or they are one direction along which every step may correct, as long as is best in the
A-norm, beside Jacobi or by deflation. The same with the field times a wrong factor, as a field for other
data would be. Beside them runs CG with multigrid, which needs no field.

Claims: at a loose tolerance the field is nearly the answer, either way; with a wrong factor the start loses
all of that and the correction nothing. At a tight tolerance a field saves little, and multigrid needs fewer
iterations than all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _common import Case, parser, progress

from sciml import CallableOperator, PoissonOperator, as_operator, cg
from sciml.backends.namespace import vdot
from sciml.learned.dcd import dcd
from sciml.learned.pinn import Box, Field, Problem, train_pinn
from sciml.plotting import tidy
from sciml.preconditioners import Deflation, Jacobi, Multigrid

GRIDS = {"small": (32, 64, 128), "paper": (64, 128, 256, 512)}
LOOSE, TIGHT, FACTOR = 3e-2, 1e-8, 3.0


def trained(seed: int) -> Field:
    """The field, by Levenberg–Marquardt."""
    problem = Problem(
        "membrane",
        Box([0.0, 0.0], [1.0, 1.0]),
        lambda x, u: u.laplacian + 10.0 * torch.exp(x[:, 0] - x[:, 1]),
        lift=lambda x, N: 16 * x[:, 0] * (1 - x[:, 0]) * x[:, 1] * (1 - x[:, 1]) * N,
    )
    field = Field(problem, hidden=(12, 12))
    return train_pinn(
        problem,
        optimizer="lm",
        sampler="uniform",
        steps=40,
        points=1000,
        field=field,
        seed=seed,
        progress=False,
    )[0]


def correction(A: Any, u: np.ndarray) -> Any:
    """Jacobi, and the best step along `u`."""
    energy = vdot(u, A @ u)
    along = CallableOperator(
        lambda r: (vdot(u, r) / energy) * u, A.in_shape, properties={"symmetric", "positive_semidefinite"}
    )
    return as_operator(Jacobi(A)) + along


METHODS: dict[str, Callable[..., Any]] = {
    "zero start": lambda A, b, u, rtol: cg(A, b, rtol=rtol),
    "field as start": lambda A, b, u, rtol: cg(A, b, x0=u, rtol=rtol),
    "wrong factor as start": lambda A, b, u, rtol: cg(A, b, x0=FACTOR * u, rtol=rtol),
    "field as correction": lambda A, b, u, rtol: cg(A, b, M=correction(A, u), rtol=rtol),
    "wrong factor as correction": lambda A, b, u, rtol: cg(A, b, M=correction(A, FACTOR * u), rtol=rtol),
    "field as direction of DCD": lambda A, b, u, rtol: dcd(A, b, correction(A, u), rtol=rtol),
    "field deflated": lambda A, b, u, rtol: cg(A, b, M=Deflation(A, u.reshape(-1, 1)), rtol=rtol),
    "multigrid, zero start": lambda A, b, u, rtol: cg(A, b, M=Multigrid(A), rtol=rtol),
}


def study(field: Field, grids: tuple[int, ...], tell: Any) -> list[dict[str, Any]]:
    """One row per grid and method."""
    rows = []
    for n in grids:
        tell(f"{n} x {n}")
        A = PoissonOperator((n, n), spacing=1.0 / n)
        x, y = A.coordinates()
        b = 10.0 * np.exp(x - y)
        u = field(np.stack(np.broadcast_arrays(x, y), axis=-1))
        exact = cg(A, b, M=Multigrid(A), rtol=1e-10).x
        error = float(np.abs(u - exact).max() / np.abs(exact).max())
        for name, solve in METHODS.items():
            loose, tight = (solve(A, b, u, rtol) for rtol in (LOOSE, TIGHT))
            rows.append(
                {
                    "grid": n,
                    "method": name,
                    "converged": loose.converged and tight.converged,
                    "loose": loose.iterations,
                    "tight": tight.iterations,
                    "error of the field": error,
                }
            )
    return rows


def figure(rows: list[dict[str, Any]]) -> Any:
    """Iterations on the largest grid, for both tolerances."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = drawing.subplots(1, 2, sharey=True)
    largest = max(row["grid"] for row in rows)
    mine = [row for row in rows if row["grid"] == largest]
    for ax, which, rtol in zip(axes, ("loose", "tight"), (LOOSE, TIGHT), strict=True):
        values = [row[which] for row in mine]
        colours = ["#0072B2" if "field" in row["method"] else "#7F7F7F" for row in mine]
        colours = ["#D55E00" if "wrong" in row["method"] else c for row, c in zip(mine, colours, strict=True)]
        lengths = [value - 0.5 for value in values]  # bars begin at 0.5: a logarithm has no zero
        bars = ax.barh([row["method"] for row in mine], lengths, color=colours, left=0.5)
        ax.bar_label(bars, [str(v) for v in values], padding=3, fontsize=9)
        ax.set(xscale="log", xlabel="iterations", title=f"{largest} x {largest}, to {rtol:g}")
        ax.set_xlim(0.5, 3 * max(values))
        tidy(ax)
    axes[0].invert_yaxis()
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    case = Case("combine_field", parser(__doc__).parse_args(argv))
    with progress() as tell:
        tell("training the field")
        rows = study(trained(case.arguments.seed), GRIDS[case.arguments.size], tell)
    columns = {"grid": "d", "method": "", "loose": "d", "tight": "d", "error of the field": ".1e"}
    case.table(f"iterations to {LOOSE:g} (loose) and {TIGHT:g} (tight)", rows, **columns)
    loose, tight = (
        {name: sum(row[which] for row in rows if row["method"] == name) for name in METHODS}
        for which in ("loose", "tight")
    )
    case.claim("solves that did not converge", sum(not row["converged"] for row in rows), "==", 0)
    for name, relation, target in (
        ("field as start", "<=", 0.5),
        ("field as correction", "<=", 0.5),
        ("wrong factor as start", ">=", 0.9),
        ("wrong factor as correction", "<=", 0.5),
    ):
        ratio = loose[name] / loose["zero start"]
        case.claim(f"loose: iterations, {name} over zero start", ratio, relation, target)
    saved = tight["field as correction"] / tight["zero start"]
    case.claim("tight: iterations, field as correction over zero start", saved, ">=", 0.5)
    others = min(count for name, count in tight.items() if "multigrid" not in name)
    case.claim(
        "tight: iterations, multigrid over the best of the others",
        tight["multigrid, zero start"] / others, "<=", 0.5,
    )  # fmt: skip
    if case.arguments.plot is not None:
        case.save_figure(figure(rows))
    return case.finish()


if __name__ == "__main__":
    main()
