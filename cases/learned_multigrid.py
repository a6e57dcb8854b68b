"""Learned multigrid: what is left to learn once multigrid is grid-searched, and where coefficients are hard.

What it sets out to show, on geometries that training never saw
- textbook, default, grid-searched and learned `Multigrid` side by side: iterations, and seconds with set-up,
  at 1e-2, 1e-4 and 1e-6. Grid-searched is the best setting of the training grid *for that tolerance*, the
  strongest classical competitor; learned chooses and refines settings per geometry;
- jumps of 1e4 and anisotropy of 1:100, aligned with the grid or not: textbook multigrid against blocks split
  where the coefficient jumps, PyAMG and line smoothing beside it;
- an ablation: the learned parameters put back to their defaults one by one;
- how much the best setting of the grid for every single problem, known beforehand, would gain.

Every row is the median and the worst over several geometries. Methods are run in turn on each problem, the
fastest of up to three runs (two at the small size) counts, for every method alike. Rows can be chosen
(``--families``, ``--shapes``, ``--hard-shapes``, ``--seeds``) and kept (``--rows FILE``): a later run with
the same file goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import Case, output, parser, progress
from _line_multigrid import LineMultigrid

from sciml import cg
from sciml.preconditioners import AMG, LearnedMultigrid, Multigrid
from sciml.problems import GEOMETRIES, Problem, anisotropic, jump_coefficient, poisson
from sciml.problems.problem import size_name
from sciml.weights import load_weights, shipped

TOLERANCES = (1e-2, 1e-4, 1e-6)
TEXTBOOK: dict[str, Any] = {"split": False, "omega": 1.0, "sweeps": 2}

SHAPES = {
    "small": [(32,) * 3, (64,) * 3, (256,) * 2],
    "paper": [(64,) * 3, (128,) * 3, (256,) * 3, (512,) * 2, (1024,) * 2, (2048,) * 2],
}
SEEDS = {"small": 2, "paper": 20}
SHARES = ((2**19, 1.0), (2**21, 0.5), (math.inf, 0.05))
"""Cells up to which a grid is run with this share of the seeds, at least one."""

REPEATS = {"small": 2, "paper": 3}

COEFFICIENT_SHAPES = {
    "small": [(24,) * 3, (96,) * 2],
    "paper": [(64,) * 3, (96,) * 3, (256,) * 2, (512,) * 2],
}
COEFFICIENTS: dict[str, Callable[[tuple[int, ...], int], Problem]] = {
    **{
        f"jump {pattern}": lambda shape, seed, p=pattern: jump_coefficient(shape, pattern=p, seed=seed)  # type: ignore[misc]
        for pattern in ("checkerboard", "squares", "oblique", "balls", "random")
    },
    **{
        f"anisotropic {name}": lambda shape, seed, o=name: anisotropic(shape, orientation=o, seed=seed)  # type: ignore[misc]
        for name in ("aligned", "checkerboard", "swirl")
    },
}
ABLATION = {
    "without learned omega": {"omega": None},
    "without learned scales": {"coarse_scaling": 0.5},
    "without learned damping": {"damping": 2 / 3},
}


def build(method: str, A: Any, rtol: float, searched: dict[str, Any]) -> Any:
    """The preconditioner a column stands for."""
    if method == "textbook":
        return Multigrid(A, **TEXTBOOK)
    if method == "default":
        return Multigrid(A)
    if method == "grid-searched":
        return Multigrid(A, **searched[str(rtol)])
    if method == "learned":
        return LearnedMultigrid(A, rtol=rtol)
    if method == "one member":
        return first_member(A)
    if method == "pyamg":
        return AMG(A)
    if method == "line":
        return LineMultigrid(A)
    return LearnedMultigrid(A, rtol=rtol, **ABLATION[method])


def first_member(A: Any) -> Any:
    """Learned parameters without the choice among them."""
    from sciml.preconditioners.learned_multigrid import policy_of

    return Multigrid(A, **policy_of().settings(0))


def attempt(
    problem: Problem, method: str, rtol: float, searched: dict[str, Any], repeats: int
) -> dict[str, Any]:
    """Set-up, seconds in all and iterations; the fastest of `repeats` runs, one if it takes a second."""
    best: dict[str, Any] = {}
    for _ in range(repeats):
        start = time.perf_counter()
        M = build(method, problem.A, rtol, searched)
        setup = time.perf_counter() - start
        result = cg(problem.A, problem.b, M=M, rtol=rtol, maxiter=500, on_failure="ignore")
        total = time.perf_counter() - start
        if not best or total < best["seconds"]:
            best = {
                "setup": setup, "seconds": total, "iterations": result.iterations,
                "converged": bool(result.converged),
            }  # fmt: skip
        if total > 1.0:
            break
    return best


class Rows:
    """Finished measurements of one seed, one JSON line each, kept in a file if there is one."""

    def __init__(self, path: Path | None, seed: int):
        self.path, self.seed = path, seed
        self.done: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.done[row.pop("key")] = row

    def name(self, *parts: Any) -> str:
        return "|".join(map(str, (self.seed, *parts)))

    def get(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self.done:
            self.done[key] = make()
            if self.path is not None:
                with self.path.open("a") as stream:
                    stream.write(json.dumps({"key": key, **self.done[key]}) + "\n")
        return self.done[key]


def study(
    rows: Rows,
    families: dict[str, Callable[[tuple[int, ...], int], Problem]],
    shapes: Sequence[tuple[int, ...]],
    seeds: int,
    methods: Sequence[str],
    tolerances: Sequence[float],
    searched: dict[str, Any],
    repeats: int,
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One row per family, shape and tolerance: medians and worst cases of every method."""
    table = []
    for family, make in families.items():
        for shape in shapes:
            share = next(share for cells, share in SHARES if math.prod(shape) <= cells)
            count = max(1, round(share * seeds))
            found: dict[tuple[str, float], list[dict[str, Any]]] = {}
            for seed in range(count):
                tell(f"{family} {size_name(shape)}, geometry {seed + 1} of {count}")
                problem: Problem | None = None
                for rtol in tolerances:
                    for method in methods:
                        key = rows.name(family, size_name(shape), seed, f"{rtol:g}", method)
                        if key not in rows.done and problem is None:
                            problem = make(shape, seed)
                            for warm in methods:  # kernels loaded, caches alike
                                attempt(problem, warm, 1e-1, searched_for_warming(searched), 1)

                        def measure(p: Any = problem, m: str = method, t: float = rtol) -> dict[str, Any]:
                            return attempt(p, m, t, searched, repeats)

                        found.setdefault((method, rtol), []).append(rows.get(key, measure))
            for rtol in tolerances:
                table.append(summary(family, shape, rtol, methods, found))
    return table


def searched_for_warming(searched: dict[str, Any]) -> dict[str, Any]:
    return {"0.1": searched[str(TOLERANCES[0])]}


def summary(
    family: str,
    shape: Sequence[int],
    rtol: float,
    methods: Sequence[str],
    found: dict[Any, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Medians of iterations and seconds, and ratios to the grid-searched column, median and worst."""
    row: dict[str, Any] = {"family": family, "grid": size_name(shape), "rtol": rtol}
    for method in methods:
        runs = found[method, rtol]
        row[f"{method} it"] = float(np.median([r["iterations"] for r in runs]))
        row[f"{method} worst it"] = max(r["iterations"] for r in runs)
        row[f"{method} s"] = float(np.median([r["seconds"] for r in runs]))
        row[f"{method} setup s"] = float(np.median([r["setup"] for r in runs]))
        row[f"{method} failed"] = sum(not r["converged"] for r in runs)
    row["geometries"] = len(found[methods[0], rtol])
    for other in ("grid-searched", "textbook"):
        if other in methods and "learned" in methods:
            pairs = zip(found["learned", rtol], found[other, rtol], strict=True)
            ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
            row[f"learned / {other}"] = float(np.median(ratios))
            row[f"learned / {other} worst"] = max(ratios)
    return row


def obstacle_claims(case: Case, rows: list[dict[str, Any]]) -> None:
    for rtol in TOLERANCES:
        mine = [r for r in rows if r["rtol"] == rtol]
        if not mine:
            continue
        ratios = [r["learned / grid-searched"] for r in mine]
        case.claim(f"seconds over grid-searched at {rtol:g}, median", float(np.median(ratios)), "<=", 0.8)
        worst = max(r["learned / grid-searched worst"] for r in mine)
        case.claim(f"seconds over grid-searched at {rtol:g}, worst geometry", worst, "<=", 1.0)
    thin = [r for r in rows if r["family"] in ("walls", "porous") and r["grid"].count("x") == 2]
    if thin:
        value = float(np.median([r["learned / textbook"] for r in thin]))
        case.claim("seconds over textbook, thin walls and porous in 3D, median", value, "<=", 0.25)
    for family in dict.fromkeys(r["family"] for r in rows):
        its = {r["grid"]: r["learned it"] for r in rows if r["family"] == family and r["rtol"] == 1e-6}
        if {"64x64x64", "256x256x256"} <= its.keys():
            growth = its["256x256x256"] - its["64x64x64"]
            case.claim(f"{family}: more iterations at 256x256x256 than at 64x64x64", growth, "<=", 2)


def coefficient_claims(case: Case, rows: list[dict[str, Any]]) -> None:
    for family in dict.fromkeys(r["family"] for r in rows):
        mine = [r for r in rows if r["family"] == family]
        for method in ("default", "learned"):
            value = max(r[f"{method} it"] / r["textbook it"] for r in mine)
            case.claim(f"{family}: iterations of {method} over textbook", value, "<=", 0.5)


def figure(rows: list[dict[str, Any]], coefficients: list[dict[str, Any]]) -> Any:
    """Seconds of learned over grid-searched; iterations of every method where coefficients are hard."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

    drawing = Figure(figsize=(11.0, 4.4), layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(1, 1.25))
    families = list(dict.fromkeys(r["family"] for r in rows))
    for shift, rtol in zip((-0.2, 0.0, 0.2), TOLERANCES, strict=True):
        mine = [r for r in rows if r["rtol"] == rtol]
        x = [families.index(r["family"]) + shift for r in mine]
        left.plot(x, [r["learned / grid-searched"] for r in mine], "o", ms=4, label=f"to {rtol:g}")
    left.axhline(1.0, color="0.6", lw=1, zorder=0)
    left.set_xticks(range(len(families)), families)
    left.set_ylim(bottom=0)
    left.set_ylabel("seconds, learned over grid-searched")
    above = {"frameon": False, "loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "handletextpad": 0.2}
    left.legend(ncols=3, columnspacing=1.0, **above)
    names = list(dict.fromkeys((r["family"], r["grid"]) for r in coefficients))
    shapes = list(dict.fromkeys(grid for _, grid in names))
    last = [r for r in coefficients if r["grid"] == shapes[-1]]
    # Default is an open ring around what lies on it.
    marks = {"textbook": "s", "default": "o", "learned": "D", "pyamg": "^", "line": "v"}
    for method, marker in marks.items():
        values = [r.get(f"{method} it", np.nan) for r in last]
        ring = {"ms": 10, "fillstyle": "none"} if method == "default" else {"ms": 5}
        right.plot(values, range(len(last)), marker, label=method, **ring)
    right.set_yticks(range(len(last)), [r["family"] for r in last])
    right.set_xscale("log")
    right.set_xlabel(f"iterations to 1e-6, {shapes[-1]}")
    right.xaxis.set_major_locator(FixedLocator([5, 10, 20, 50, 100, 200]))
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    right.legend(ncols=5, columnspacing=0.8, **above)
    return drawing


def chosen(names: str | None, all_names: Sequence[str]) -> list[str]:
    if names is None:
        return list(all_names)
    wanted = [n.strip() for n in names.split(",") if n.strip()]
    unknown = [n for n in wanted if n not in (*GEOMETRIES, *COEFFICIENTS, "none")]
    if unknown:
        raise ValueError(f"families holds {unknown[0]!r}; expected {', '.join((*GEOMETRIES, *COEFFICIENTS))}")
    return [n for n in wanted if n in all_names]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    arguments.add_argument("--families", help="comma-separated; all by default")
    arguments.add_argument("--shapes", help="such as 64x64x64,512x512; those of the size by default")
    arguments.add_argument(
        "--hard-shapes", help="grids for jumps and anisotropy; by default --shapes, or those of the size"
    )
    arguments.add_argument("--seeds", type=int, help="geometries per family and shape")
    arguments.add_argument(
        "--rows", type=output, help="file finished measurements are kept in and taken from"
    )
    args = arguments.parse_args(argv)
    case = Case("learned_multigrid", args)
    training = load_weights(shipped("multigrid")).training
    searched = {k: settings_of(v) for k, v in training["grid_searched"].items()}
    rows = Rows(args.rows, args.seed)
    seeds, repeats = args.seeds or SEEDS[args.size], REPEATS[args.size]
    start = args.seed * 1000
    shapes, hard = SHAPES[args.size], COEFFICIENT_SHAPES[args.size]
    if args.shapes:
        shapes = hard = grids_of(args.shapes)
    if args.hard_shapes:
        hard = grids_of(args.hard_shapes)

    def obstacles(kind: str) -> Callable[[tuple[int, ...], int], Problem]:
        return lambda shape, seed: poisson(shape, obstacles=kind, seed=start + seed)

    geometry = {name: obstacles(name) for name in chosen(args.families, list(GEOMETRIES))}
    coefficient = {name: COEFFICIENTS[name] for name in chosen(args.families, list(COEFFICIENTS))}
    with progress() as tell:
        columns = ("textbook", "default", "grid-searched", "learned")
        table = study(rows, geometry, shapes, seeds, columns, TOLERANCES, searched, repeats, tell)
        few = max(1, min(seeds, 5))
        line = ("textbook", "default", "learned", "pyamg", "line")
        jumps = study(rows, coefficient, hard, few, line, (1e-6,), searched, repeats, tell)
        parts = ("learned", *ABLATION, "one member", "grid-searched")
        ablation = study(
            rows, geometry, shapes[:1] + shapes[-1:], few, parts, (1e-6,), searched, repeats, tell
        )
    report(case, table, jumps, ablation, training["headroom"])
    if table and jumps:
        case.save_figure(figure(table, jumps))
    return case.finish()


def grids_of(text: str) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in shape.split("x")) for shape in text.split(",")]


def settings_of(stored: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}


def report(
    case: Case,
    table: list[dict[str, Any]],
    jumps: list[dict[str, Any]],
    ablation: list[dict[str, Any]],
    headroom: dict[str, float],
) -> None:
    """Print tables and claims of whatever was run."""
    bounds = [{"rtol": float(rtol), "best setting of each": value} for rtol, value in headroom.items()]
    case.table("what choosing can gain: predicted time over grid-searched, training problems", bounds,
               rtol=".0e", **{"best setting of each": ".3f"})  # fmt: skip
    if table:
        case.table(
            "obstacles", table, family="", grid="", rtol=".0e",
            **{f"{m} it": ".0f" for m in ("textbook", "default", "grid-searched", "learned")},
            **{"grid-searched s": ".3g", "learned s": ".3g", "learned / grid-searched": ".2f",
               "learned / grid-searched worst": ".2f", "learned / textbook": ".2f"},
        )  # fmt: skip
        obstacle_claims(case, table)
    if jumps:
        methods = ("textbook", "default", "learned", "pyamg", "line")
        case.table(
            "coefficients", jumps, family="", grid="",
            **{f"{m} it": ".0f" for m in methods}, **{f"{m} s": ".3g" for m in methods},
        )  # fmt: skip
        coefficient_claims(case, jumps)
    if ablation:
        methods = ("learned", *ABLATION, "one member", "grid-searched")
        case.table("ablation", ablation, family="", grid="", **{f"{m} it": ".0f" for m in methods})


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
