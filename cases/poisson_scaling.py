"""Poisson at memory speed: multigrid-preconditioned CG from 64³ to 512³ and from 512² to 8192².

What it sets out to show
- time and memory grow with the number of unknowns and no faster: iterations, seconds per unknown, peak
  memory;
- the V-cycle runs near the memory bandwidth: bytes it must move ÷ time ÷ bandwidth measured in the same
  process;
- thin walls and porous media need no more iterations than a box, because coarse cells are split by
  connectivity; beside it the textbook cycle, which joins what walls separate, and PyAMG's two methods.

Every row is measured in a fresh process, so that peak memory is its own, after the compiled kernels were
loaded on a small system. A solve is repeated up to three times, until half a minute is over, and the fastest
counts, for every method alike: the first one on a virtual machine also pays for memory that no process has
touched before, which can double the time of a set-up at 512³. Memory is the peak resident memory of the whole
process, interpreter and libraries (about 0.2 GiB) included.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml.backends.namespace import norm2
from sciml.backends.threads import num_threads, parallel
from sciml.measure.memory import peak_rss
from sciml.plotting import tidy
from sciml.problems import Problem, poisson
from sciml.problems.problem import size_name

RTOL = 1e-6
REPEAT_WITHIN = 30.0
"""Seconds after which a solve is not run again."""

BOXES = {
    "small": [(64,) * 3, (128,) * 3, (512,) * 2, (1024,) * 2],
    "paper": [(64,) * 3, (128,) * 3, (256,) * 3, (512,) * 3, *((2**k,) * 2 for k in range(9, 14))],
}
HARD = {"small": [(64,) * 3, (128,) * 3], "paper": [(64,) * 3, (128,) * 3, (256,) * 3]}
GEOMETRIES = ("walls", "porous")
# PyAMG takes minutes and many gigabytes beyond.
LARGEST_AMG = {"small": 64, "paper": 256}

TEXTBOOK = {"textbook V(1,1)": 1, "textbook V(2,2)": 2}
AMG = ("cg+amg-sa", "cg+amg-rs")
BASELINES = (*TEXTBOOK, *AMG)


# -- one row, in its own process ----------------------------------------------------------------
def preconditioner(method: str, A: Any) -> Any:
    """What `method` puts in front of CG."""
    from sciml.preconditioners import PRECONDITIONERS

    if method in TEXTBOOK:
        return PRECONDITIONERS["multigrid"](A, split=False, sweeps=TEXTBOOK[method], omega=1.0)
    return PRECONDITIONERS[method.removeprefix("cg+")](A)


def measure(shape: Sequence[int], obstacles: str | None, method: str, seed: int) -> dict[str, Any]:
    """Solve one problem by one method; returns the row of the table."""
    small = poisson([min(n, 192 if len(shape) == 2 else 64) for n in shape], obstacles=obstacles, seed=seed)
    attempt(small, method)
    start = time.perf_counter()
    problem = poisson(shape, obstacles=obstacles, seed=seed)
    build = time.perf_counter() - start
    times: list[tuple[float, float]] = []
    result = M = None
    while len(times) < 3 and sum(map(sum, times)) < REPEAT_WITHIN:
        del result, M  # two hierarchies at a time would count as peak memory
        setup, solve, result, M = attempt(problem, method)
        times.append((setup, solve))
    setup, solve = min(times, key=sum)
    row = {
        "grid": size_name(shape),
        "obstacles": obstacles or "none",
        "method": method,
        "unknowns": problem.unknowns,
        "iterations": result.iterations,
        "relative_residual": result.residual_norm / norm2(problem.b),
        "status": result.status.name.lower(),
        "build_seconds": build,
        "setup_seconds": setup,
        "solve_seconds": solve,
        "ns_per_unknown": 1e9 * (setup + solve) / problem.unknowns,
        "peak_GiB": peak_rss() / 2**30,
    }
    if hasattr(M, "bytes_per_cycle"):
        del result, M
        row |= cycle(problem, method)
    return row


def attempt(problem: Problem, method: str) -> tuple[float, float, Any, Any]:
    from sciml import cg

    start = time.perf_counter()
    M = preconditioner(method, problem.A)
    setup = time.perf_counter() - start
    result = cg(problem.A, problem.b, M=M, rtol=RTOL, on_failure="ignore")
    return setup, time.perf_counter() - start - setup, result, M


def cycle(problem: Problem, method: str) -> dict[str, float]:
    """Time of one cycle as CG runs it, on the padded residual, and its share of the bandwidth limit.

    ``setup_cycles`` is the time of a set-up over that of a cycle. They take turns, as the memory of a virtual
    machine may be twice as fast in one minute as in the next, and their medians count.
    ``bandwidth_share`` is the time a cycle would take that runs sweep by sweep at the speed of memory, over
    the time taken. Passes that run several sweeps at once move less; ``moved_share`` counts what they move.
    """
    b = problem.b
    norm, M = norm2(b), None
    setups: list[float] = []
    cycles: list[float] = []
    while len(cycles) < 7 and sum(setups) < REPEAT_WITHIN / 2:
        del M
        start = time.perf_counter()
        M = preconditioner(method, problem.A)
        setups.append(time.perf_counter() - start)
        r = np.zeros(M.grid.padded)
        r[: b.size] = b.reshape(-1)
        M.apply_scaled(r, norm)  # the first one touches memory that is new
        start = time.perf_counter()
        M.apply_scaled(r, norm)
        cycles.append(time.perf_counter() - start)
    seconds = statistics.median(cycles)
    bandwidth = triad(min(2**25, max(2**22, b.size)))
    return {
        "cycle_ms": 1e3 * seconds,
        "setup_cycles": statistics.median(setups) / seconds,
        "bytes_per_unknown": M.bytes_per_cycle() / b.size,
        "triad_GB_s": bandwidth / 1e9,
        "moved_share": M.bytes_per_cycle() / seconds / bandwidth,
        "bandwidth_share": M.bytes_per_cycle(fused=False) / seconds / bandwidth,
    }


def triad(n: int) -> float:
    """Bytes per second of ``a = b + s c`` over our own threads, counted as STREAM does (three arrays)."""
    from numba import njit

    @njit(nogil=True, fastmath=True)
    def kernel(start: int, stop: int, a: np.ndarray, b: np.ndarray, c: np.ndarray, s: float) -> None:
        for i in range(start, stop):
            a[i] = b[i] + s * c[i]

    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    best = math.inf
    for _ in range(8):  # the first one compiles
        start = time.perf_counter()
        parallel(kernel, n, a, b, c, 3.0)
        best = min(best, time.perf_counter() - start)
    return 24 * n / best


# -- the study ----------------------------------------------------------------------------------
def in_fresh_process(shape: Sequence[int], obstacles: str | None, method: str, seed: int) -> dict[str, Any]:
    """`measure` in a new interpreter; a row that says so if it fails there."""
    job = json.dumps({"shape": list(shape), "obstacles": obstacles, "method": method, "seed": seed})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--one-row", job],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    row = {"grid": size_name(shape), "obstacles": obstacles or "none", "method": method}
    return {**row, "status": "failed", "reason": reason}


def jobs(size: str, obstacles: str | None) -> list[tuple[tuple[int, ...], str | None, str]]:
    """Every row of the study: shape, obstacles, method."""
    rows = [(shape, obstacles, "cg+multigrid") for shape in BOXES[size]]
    for geometry in GEOMETRIES:
        for shape in HARD[size]:
            methods = ["cg+multigrid", *TEXTBOOK]
            if shape[0] <= LARGEST_AMG[size]:
                methods += AMG
            rows += [(shape, geometry, method) for method in methods]
    return rows


def claims(case: Case, rows: list[dict[str, Any]]) -> None:
    """The acceptance lines, each over the sizes this run has."""
    ours = [row for row in rows if row["method"] == "cg+multigrid" and "iterations" in row]
    case.claim(
        "rows of cg+multigrid above the tolerance",
        sum(row["status"] != "converged" for row in rows if row["method"] == "cg+multigrid"), "==", 0,
    )  # fmt: skip
    hard = [row for row in ours if row["obstacles"] in GEOMETRIES]
    boxes = [row for row in ours if row not in hard]
    for ndim in (3, 2):
        series = [row for row in boxes if row["grid"].count("x") == ndim - 1]
        if len(series) > 1:
            scaling_claims(case, series)
    for row in boxes:
        if row["grid"] == "512x512x512":
            case.claim("peak memory at 512x512x512 in GiB", row["peak_GiB"], "<=", 10)
        if row["grid"] == "256x256x256":
            case.claim(
                "sweep-by-sweep cycle at triad bandwidth, over the cycle, at 256x256x256",
                row["bandwidth_share"],
                ">=",
                0.5,
            )
    # The smallest grids fit in caches, where a cycle costs almost nothing and set-up is mostly overhead.
    large = [row for row in ours if row["unknowns"] > 1e6]
    if large:
        case.claim("set-up in V-cycles, largest", max(row["setup_cycles"] for row in large), "<=", 4)
    for geometry in GEOMETRIES:
        mine = [row for row in rows if row["obstacles"] == geometry and "iterations" in row]
        hard_claims(case, geometry, mine)


def scaling_claims(case: Case, series: list[dict[str, Any]]) -> None:
    first, last = series[0], series[-1]
    growth = last["iterations"] - first["iterations"]
    case.claim(f"more iterations at {last['grid']} than at {first['grid']}", growth, "<=", 2)
    if len(series) > 2:
        second = series[1]
        ratio = last["ns_per_unknown"] / second["ns_per_unknown"]
        case.claim(f"time per unknown at {last['grid']} over {second['grid']}", ratio, "<=", 1.5)


def hard_claims(case: Case, geometry: str, rows: list[dict[str, Any]]) -> None:
    by = {(row["grid"], row["method"]): row for row in rows}
    middle, fine = by.get(("128x128x128", "cg+multigrid")), by.get(("256x256x256", "cg+multigrid"))
    if middle:
        case.claim(f"{geometry}: iterations at 128x128x128", middle["iterations"], "<=", 12)
    if middle and fine:
        growth = fine["iterations"] - middle["iterations"]
        case.claim(f"{geometry}: more iterations at 256x256x256 than at 128x128x128", growth, "<=", 2)
    for grid in dict.fromkeys(row["grid"] for row in rows):
        amg = [by[grid, m] for m in AMG if (grid, m) in by and by[grid, m]["status"] == "converged"]
        if amg and (grid, "cg+multigrid") in by:
            best = min(row["setup_seconds"] + row["solve_seconds"] for row in amg)
            ours = by[grid, "cg+multigrid"]
            ratio = best / (ours["setup_seconds"] + ours["solve_seconds"])
            case.claim(
                f"{geometry}: times faster than PyAMG's best at {grid}, set-up included", ratio, ">=", 30
            )


def figure(rows: list[dict[str, Any]]) -> Any:
    """Seconds over unknowns, and iterations over unknowns, one line per geometry and method."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 4.2), layout="constrained")
    left, right = drawing.subplots(1, 2)
    lines: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("status") == "converged":
            name = row["obstacles"] if row["obstacles"] != "none" else f"box {row['grid'].count('x') + 1}D"
            lines.setdefault((name, row["method"]), []).append(row)
    colours = {
        "cg+multigrid": "#0072B2",
        **dict.fromkeys(TEXTBOOK, "#D55E00"),
        **dict.fromkeys(AMG, "#7F7F7F"),
    }
    styles = {"box 3D": "-", "box 2D": "--", "walls": ":", "porous": "-."}
    for (name, method), line in lines.items():
        n = [row["unknowns"] for row in line]
        look = {
            "color": colours[method],
            "linestyle": styles.get(name, "-"),
            "marker": "s" if method in ("cg+amg-rs", "textbook V(2,2)") else "o",
            "markersize": 4,
            "linewidth": 1.4,
        }
        left.loglog(n, [row["setup_seconds"] + row["solve_seconds"] for row in line], **look)
        right.loglog(n, [row["iterations"] for row in line], **look)
    for method, colour in colours.items():
        if any(m == method for _, m in lines):
            marker = "s" if method in ("cg+amg-rs", "textbook V(2,2)") else "o"
            left.plot([], [], color=colour, marker=marker, markersize=4, label=method)
    for name in dict.fromkeys(name for name, _ in lines):
        left.plot([], [], color="0.3", linestyle=styles.get(name, "-"), label=name)
    drawing.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    left.set_ylabel("set-up + solve, seconds")
    right.set_ylabel("iterations")
    for ax in (left, right):
        ax.set_xlabel("unknowns")
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.minorticks_off()
        tidy(ax)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any] | None:
    arguments = parser(__doc__)
    arguments.add_argument("--obstacles", help="of the scaling series; an empty Dirichlet box by default")
    arguments.add_argument("--largest", type=int, help="leave out grids with more cells per axis")
    arguments.add_argument("--one-row", help=argparse.SUPPRESS)
    given = arguments.parse_args(argv)
    if given.one_row is not None:
        print(json.dumps(measure(**json.loads(given.one_row))))
        return None
    case = Case("poisson_scaling", given)
    rows = []
    with progress() as tell:
        for shape, obstacles, method in jobs(given.size, given.obstacles):
            if given.largest is None or max(shape) <= given.largest:
                tell(f"{size_name(shape)} {obstacles or 'box'}: {method}")
                rows.append(in_fresh_process(shape, obstacles, method, given.seed))
    columns = {
        "grid": "", "obstacles": "", "method": "", "unknowns": ",d", "iterations": "d",
        "setup_seconds": ".3f",
        "solve_seconds": ".3f", "ns_per_unknown": ".0f", "cycle_ms": ".2f", "setup_cycles": ".1f",
        "bandwidth_share": ".2f", "moved_share": ".2f",
        "triad_GB_s": ".1f", "peak_GiB": ".2f", "status": "",
    }  # fmt: skip
    case.table(f"cg to {RTOL:g} on {num_threads()} thread(s)", rows, **columns)
    for row in rows:
        if "reason" in row:
            print(f"{row['grid']} {row['obstacles']} {row['method']}: {row['reason']}")
    claims(case, rows)
    if given.plot is not None:
        case.save_figure(figure(rows))
    return case.finish()


if __name__ == "__main__":
    main()
