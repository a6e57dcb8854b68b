"""Deep conjugate directions on the Poisson equation: fewer iterations than CG, and what they cost.

A network trained on an empty box proposes search directions; it has never seen an obstacle. What it sets out
to show
- to a relative residual of 1e-4, `dcd` needs at most half of the iterations of CG, in the box and among
  obstacles;
- how its iterations grow with the share of solid cells and with the size of the grid;
- that fewer iterations are not less time: an application of the network costs as much as hundreds of products
  with the matrix, and Multigrid needs fewer iterations as well.

The field is CG with nothing, IC(0), MIC(0), PyAMG's smoothed aggregation, Multigrid, and deflation by the
lowest modes of the empty box, which is what a classical method makes of the knowledge in the training data.
Every method stops by the same rule, and its residual is recomputed; `dcd` gives up after 300 iterations, by
when it is far behind in time. All scenes have walls without flux and an open top; obstacles come from seeds
that no training has used (it uses no obstacles at all).

``--network`` takes another shipped network (``dcd2d``) or a file of your own.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml import cg
from sciml.backends.namespace import norm2
from sciml.backends.threads import num_threads
from sciml.measure.memory import PeakMemory
from sciml.plotting import tidy
from sciml.problems import poisson
from sciml.problems.problem import size_name

RTOL = 1e-4
LIMIT = 300
"""Iterations of `dcd`, which take seconds each where the grid is large."""

DEFLATED = 32
FAMILIES = ("balls", "boxes", "channels", "walls", "porous")
SEEDS = {"small": 3, "paper": 20}
FIRST_SEED = 1000

# Cells per axis: the table of methods, the growth with fill, the growth with size.
METHOD_CELLS = {3: {"small": [32], "paper": [64, 128]}, 2: {"small": [64], "paper": [256, 512]}}
SIZES = {
    3: {"small": [16, 32, 64], "paper": [16, 32, 64, 128]},
    2: {"small": [32, 64, 128], "paper": [32, 64, 128, 256, 512]},
}
FILLS = (0.0, 0.1, 0.2, 0.3, 0.4)
GROWTH_METHODS = ("CG", "MIC(0)", "deflated CG", "Multigrid", "dcd")


# -- scenes -------------------------------------------------------------------------------------
def scene(shape: Sequence[int], obstacles: str | None, seed: int) -> Any:
    return poisson(shape, bc="open-top", obstacles=obstacles, seed=FIRST_SEED + seed)


def filled(shape: Sequence[int], share: float, seed: int) -> Any:
    """Random cubes of three cells until `share` of the box is solid; fluid cut off from the top is filled."""
    rng = np.random.default_rng([seed, 0xF1])
    solid = np.zeros(tuple(shape), dtype=bool)
    while solid.mean() < share:
        corner = [int(rng.integers(-2, n)) for n in shape]
        solid[tuple(slice(max(c, 0), c + 3) for c in corner)] = True
    problem = poisson(shape, bc="open-top", obstacles=solid, seed=FIRST_SEED + seed)
    if problem.A.singular is not None:
        solid |= problem.A.singular.labels.reshape(solid.shape) > 0
        problem = poisson(shape, bc="open-top", obstacles=solid, seed=FIRST_SEED + seed)
    return problem


# -- methods ------------------------------------------------------------------------------------
def preconditioner(name: str) -> Callable[[Any], Any]:
    def build(A: Any) -> Any:
        from sciml.preconditioners import make_preconditioner

        return make_preconditioner(name, A)

    return build


def deflation(A: Any) -> Any:
    """The lowest modes of the empty box, which Lanczos iterations on the training matrix converge to."""
    from sciml import PoissonOperator
    from sciml.learned.dcd import BoxModes
    from sciml.preconditioners import Deflation

    box = PoissonOperator(A.in_shape, spacing=A.spacing, bc=A.bc)
    return Deflation(A, BoxModes(box).lowest(DEFLATED))


def methods(network: Any) -> dict[str, tuple[Callable[[Any], Any], Callable[..., Any]]]:
    """Name to set-up and solver."""
    from sciml.learned.dcd import dcd

    return {
        "CG": (lambda A: None, cg),
        "IC(0)": (preconditioner("ic0"), cg),
        "MIC(0)": (preconditioner("mic0"), cg),
        "deflated CG": (deflation, cg),
        "AMG": (preconditioner("amg-sa"), cg),
        "Multigrid": (preconditioner("multigrid"), cg),
        "dcd": (network.on, partial(dcd, maxiter=LIMIT)),
    }


def measure(problem: Any, method: tuple[Callable[[Any], Any], Callable[..., Any]]) -> dict[str, Any]:
    """One method on one scene: what every table takes its numbers from."""
    build, solve = method
    with PeakMemory() as memory:
        start = time.perf_counter()
        M = build(problem.A)
        setup = time.perf_counter() - start
        result = solve(problem.A, problem.b, M=M, rtol=RTOL, on_failure="ignore")
        seconds = time.perf_counter() - start
    return {
        "iterations": result.iterations,
        "setup_seconds": setup,
        "solve_seconds": seconds - setup,
        "total_seconds": seconds,
        "memory_MiB": memory.growth / 2**20,
        "relative_residual": result.residual_norm / norm2(problem.b),
        "status": result.status.name.lower(),
    }


def available(known: dict[str, Any]) -> dict[str, Any]:
    """Without AMG where PyAMG is not installed."""
    try:
        import pyamg  # noqa: F401
    except ImportError:
        return {name: method for name, method in known.items() if name != "AMG"}
    return known


# -- tables -------------------------------------------------------------------------------------
def method_rows(known: dict[str, Any], shapes: list[tuple[int, ...]], tell: Any) -> list[dict[str, Any]]:
    rows = []
    for shape in shapes:
        for family in (None, *FAMILIES):
            problem = scene(shape, family, 0)
            for name, method in known.items():
                tell(f"{problem.name}: {name}")
                row = {"grid": size_name(shape), "scene": family or "box", "method": name}
                rows.append({**row, "unknowns": problem.unknowns, **measure(problem, method)})
    return rows


def unseen_rows(known: dict[str, Any], shape: tuple[int, ...], seeds: int, tell: Any) -> list[dict[str, Any]]:
    """Iterations of `dcd` over those of CG at the training size, median and worst over geometries."""
    rows = []
    for family in (None, *FAMILIES):
        ratios, ours, theirs = [], [], []
        for seed in range(seeds):
            tell(f"{family or 'box'}, geometry {seed + 1} of {seeds}")
            problem = scene(shape, family, seed)
            runs = [measure(problem, known[name]) for name in ("dcd", "CG")]
            ours.append(runs[0]["iterations"])
            theirs.append(runs[1]["iterations"])
            converged = all(run["status"] == "converged" for run in runs)
            ratios.append(ours[-1] / theirs[-1] if converged else float("inf"))
        rows.append(
            {
                "scene": family or "box", "geometries": seeds, "CG": statistics.median(theirs),
                "dcd": statistics.median(ours), "worst_dcd": max(ours),
                "median_ratio": statistics.median(ratios), "worst_ratio": max(ratios),
            }
        )  # fmt: skip
    return rows


def growth_rows(
    known: dict[str, Any], problems: dict[Any, Any], what: str, tell: Any
) -> list[dict[str, Any]]:
    """Iterations of the methods on a series of problems."""
    rows = []
    for value, make in problems.items():
        problem = make()
        tell(f"{what} {value}: {problem}")
        row: dict[str, Any] = {what: value, "unknowns": problem.unknowns}
        for name in GROWTH_METHODS:
            run = measure(problem, known[name])
            row[name] = run["iterations"] if run["status"] == "converged" else None
        rows.append(row)
    return rows


def application_rows(network: Any, shapes: list[tuple[int, ...]], tell: Any) -> list[dict[str, Any]]:
    """Seconds of one application, the published architectures (untrained) beside the trained network."""
    from sciml.learned.dcd import DCDNetwork
    from sciml.preconditioners import make_preconditioner

    rows = []
    for shape in shapes:
        problem = scene(shape, None, 0)
        applied = {"product with A": problem.A, "Multigrid": make_preconditioner("multigrid", problem.A)}
        applied["this network"] = network.on(problem.A)
        for name in ("dcd-64", "dcd-128") if len(shape) == 3 else ("dcd-64",):
            applied[f"published {name}"] = DCDNetwork.untrained(name, shape)
        for name, operator in applied.items():
            tell(f"{size_name(shape)}: {name}")
            count = operator.parameters if isinstance(operator, DCDNetwork) else None
            seconds = min(once(operator, problem.b) for _ in range(3))
            rows.append({"grid": size_name(shape), "operator": name, "parameters": count, "seconds": seconds})
    return rows


def once(operator: Any, r: np.ndarray) -> float:
    start = time.perf_counter()
    operator(r)
    return time.perf_counter() - start


# -- the study ----------------------------------------------------------------------------------
def figure(growth: dict[str, list[dict[str, Any]]], rows: list[dict[str, Any]]) -> Any:
    """Iterations over fill and over size, and seconds by method."""
    from matplotlib.figure import Figure

    colours = dict(zip(GROWTH_METHODS, ("#7F7F7F", "#E69F00", "#CC79A7", "#0072B2", "#D55E00"), strict=True))
    drawing = Figure(figsize=(12.0, 4.0), layout="constrained")
    *over, bars = drawing.subplots(1, 3)
    for ax, (what, series) in zip(over, growth.items(), strict=True):
        for name, colour in colours.items():
            points = [(row[what], row[name]) for row in series if row[name] is not None]
            ax.plot(*zip(*points, strict=True), "o-", color=colour, label=name, markersize=4, linewidth=1.6)
        ax.set_yscale("log")
        ax.set_xlabel("share of solid cells" if what == "solid" else "cells per axis (box)")
        ax.set_ylabel(f"iterations to a residual of {RTOL:.0e}")
    over[1].set_xscale("log", base=2)
    over[1].set_xticks([row["cells"] for row in growth["cells"]])
    over[1].xaxis.set_minor_formatter(lambda value, _: "")
    over[1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    drawing.legend(*over[0].get_legend_handles_labels(), loc="outside upper left", ncols=5, frameon=False)
    grid = rows[-1]["grid"]
    last = [row for row in rows if row["grid"] == grid and row["scene"] == "balls"]
    names = [row["method"] for row in last]
    bars.barh(names, [row["total_seconds"] for row in last], color=[colours.get(n, "0.75") for n in names])
    bars.set_xscale("log")
    decades = [math.log10(row["total_seconds"]) for row in last]
    bars.set_xlim(10.0 ** math.floor(min(decades)), 10.0 ** math.ceil(max(decades)))
    bars.xaxis.set_minor_formatter(lambda value, _: "")
    bars.invert_yaxis()
    bars.set_xlabel(f"set-up + solve, seconds (balls, {grid})")
    for ax in drawing.axes:
        ax.grid(True, color="0.9", linewidth=0.6, axis="x" if ax is bars else "both")
        ax.set_axisbelow(True)
        tidy(ax)
    return drawing


def claims(case: Case, unseen: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    box, *scenes = unseen
    case.claim("box, training size: iterations of dcd over those of CG, worst", box["worst_ratio"], "<=", 0.5)
    for row in scenes:
        case.claim(
            f"{row['scene']}, training size: iterations of dcd over those of CG, worst", row["worst_ratio"],
            "<=", 0.5,
        )  # fmt: skip
    case.claim(
        "solves that did not reach the tolerance", sum(row["status"] != "converged" for row in rows), "==", 0
    )
    by: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        by.setdefault((row["grid"], row["scene"]), {})[row["method"]] = row["total_seconds"]
    slower = [seconds["dcd"] / seconds["Multigrid"] for seconds in by.values()]
    case.claim("times Multigrid is faster than dcd, set-up included: least", min(slower), ">=", 1.0)
    case.claim(
        "times Multigrid is faster than dcd, set-up included: median", statistics.median(slower), ">=", 1.0
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    arguments.add_argument("--network", default="dcd3d", help="shipped weights or a weight file")
    arguments.add_argument("--geometries", type=int, help="unseen geometries per family; 3 or 20 by default")
    given = arguments.parse_args(argv)
    import torch

    from sciml.learned import load

    torch.set_num_threads(num_threads())
    network = load(given.network)
    ndim, size = network.net.ndim, given.size
    case = Case("dcd_poisson", given)
    known = available(methods(network))
    shapes = [(n,) * ndim for n in METHOD_CELLS[ndim][size]]
    training = network.in_shape
    with progress() as tell:
        tell("loading compiled kernels")
        for family in (None, *FAMILIES):  # some geometries need kernels that others do not
            for method in known.values():
                measure(scene((24,) * 3 if ndim == 3 else (64,) * 2, family, 0), method)
        unseen = unseen_rows(known, training, given.geometries or SEEDS[size], tell)
        rows = method_rows(known, shapes, tell)
        growth = {
            "solid": growth_rows(
                known, {f: lambda f=f: filled(training, f, 0) for f in FILLS}, "solid", tell
            ),
            "cells": growth_rows(
                known, {n: lambda n=n: scene((n,) * ndim, None, 0) for n in SIZES[ndim][size]}, "cells", tell
            ),
        }
        applications = application_rows(network, shapes, tell)
    case.table(
        f"iterations to {RTOL:g} at the training size {size_name(training)}", unseen, scene="",
        geometries="d", CG=".0f", dcd=".0f", worst_dcd="d", median_ratio=".2f", worst_ratio=".2f",
    )  # fmt: skip
    case.table(
        f"methods to {RTOL:g} on {num_threads()} thread(s)", rows, grid="", scene="", method="",
        unknowns=",d", iterations="d", setup_seconds=".3f", solve_seconds=".3f", memory_MiB=".0f",
        relative_residual=".1e", status="",
    )  # fmt: skip
    counts = dict.fromkeys(GROWTH_METHODS, "d")
    case.table("growth with the share of solid cells", growth["solid"], solid=".0%", unknowns=",d", **counts)
    case.table("growth with the size of the box", growth["cells"], cells="d", unknowns=",d", **counts)
    case.table("one application", applications, grid="", operator="", parameters=",d", seconds=".4f")
    claims(case, unseen, rows)
    if given.plot is not None:
        case.save_figure(figure(growth, rows))
    return case.finish()


if __name__ == "__main__":
    main()
