"""Past one machine: the obstacle case on 1, 2 and 4 ranks of PETSc, and a model of what it costs on more.

What it sets out to show
- the distributed solve takes the iterations of the serial one on any number of ranks and gives its solution;
- our multigrid beside PETSc's own algebraic multigrids, GAMG and BoomerAMG: iterations, set-up, solve;
- memory per rank falls as one over the number of ranks;
- a model of bytes, operations and messages, checked against these runs, extrapolated to 10^10 unknowns on
  10^4 ranks.

Every row is a fresh job of `mpiexec`. Bandwidth, latency and time per byte are measured in the same job that
the model is checked with, all ranks at work; messages and bytes sent are PETSc's own counts. More ranks than
cores share them: times on four ranks of two cores say nothing about scaling.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml.plotting import tidy

RTOL = 1e-6
SHAPE = {"small": (64, 64, 64), "paper": (128, 128, 128)}
RANKS = {"small": (1, 2), "paper": (1, 2, 4)}
OURS = ("cg+multigrid", "cg+learned-multigrid")
METHODS = (*OURS, "cg+gamg", "cg+hypre")
PEAK = (384, 384, 384)
LARGE = {"shape": (3200, 2560, 1280), "ranks": 10_000}
CLUSTER = {"bandwidth": 3.0e9, "alpha": 2.0e-6, "beta": 1.0e-10}
"""Assumed of a rank among many on a node: its share of the node's bandwidth, and a 10 GB/s network."""


# -- one row, on all ranks of a job -------------------------------------------------------------
def measure(shape: Sequence[int], method: str, seed: int, reference: str | None) -> dict[str, Any]:
    """Solve the obstacle case by one method; the row of the table, the same on every rank."""
    from sciml import distributed
    from sciml.distributed.engine import load_petsc, world
    from sciml.distributed.model import Machine
    from sciml.measure.memory import PeakMemory

    comm, petsc = world(), load_petsc()
    small = distributed.poisson([min(n, 48) for n in shape], obstacles="balls", seed=seed)
    distributed.solve(small.A, small.b, method=method)  # compiles
    del small
    comm.alltoall([np.zeros(2**16)] * comm.size)  # MPI takes its buffers for large messages, once
    petsc.Log.begin()
    with PeakMemory() as memory:
        problem = distributed.poisson(shape, obstacles="balls", seed=seed)
        result = distributed.solve(problem.A, problem.b, method=method, rtol=RTOL, on_failure="ignore")
    row: dict[str, Any] = {
        "grid": "x".join(map(str, shape)),
        "ranks": comm.size,
        "method": method,
        "unknowns": problem.unknowns,
        "iterations": result.iterations,
        "setup_seconds": comm.allreduce(result.info["setup_seconds"], op=_max()),
        "solve_seconds": comm.allreduce(result.seconds, op=_max()),
        "relative_residual": result.residual_norm / result.residual_history[0],
        "MiB_per_rank": max(comm.allgather(memory.growth)) / 2**20,
        "status": result.status.name.lower(),
    }
    if method == "cg+multigrid":
        # Two solves of different lengths: their difference is what an iteration costs.
        few, many = (Traffic(problem, method, n) for n in (2, 6))
        extra = many.iterations - few.iterations
        row["seconds_per_iteration"] = (many.seconds - few.seconds) / extra
        row["messages_per_iteration"] = (many.messages - few.messages) / extra
        row["sent_per_iteration"] = (many.sent - few.sent) / extra
        machine = Machine(triad(comm), *ping_pong(comm))
        row |= {"bandwidth": machine.bandwidth, "alpha": machine.alpha, "beta": machine.beta}
    if reference is not None:
        x = np.load(reference, mmap_mode="r")[problem.layout.box]
        tight = distributed.solve(problem.A, problem.b, method=method, rtol=1e-10, on_failure="ignore")
        wrong, scale = (comm.allreduce(float(np.sum(v * v))) for v in (tight.x - x, np.asarray(x)))
        row["error"] = math.sqrt(wrong / scale)
        row["tight_iterations"] = tight.iterations
    return row


class Traffic:
    """Time, and the messages the busiest rank sends, in a solve of `iterations` iterations."""

    def __init__(self, problem: Any, method: str, iterations: int):
        from sciml import distributed
        from sciml.distributed.engine import load_petsc, world

        comm, petsc = world(), load_petsc()
        event = petsc.Log.Event(f"solve {iterations}")
        with event:
            result = distributed.solve(
                problem.A, problem.b, method=method, rtol=0, atol=0, maxiter=iterations
            )
        counts = event.getPerfInfo()
        self.iterations = result.iterations
        self.seconds = comm.allreduce(result.seconds, op=_max())
        # PETSc counts a message where it is sent and where it is received.
        self.messages = comm.allreduce(counts["numMessages"], op=_max()) / 2
        self.sent = comm.allreduce(counts["messageLength"], op=_max()) / 2


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def triad(comm: Any, n: int = 2**22) -> float:
    """Bytes per second of ``a = b + s c`` on one rank while all run it, counted as STREAM does."""
    from numba import njit

    @njit(nogil=True, fastmath=True)
    def kernel(a: np.ndarray, b: np.ndarray, c: np.ndarray, s: float) -> None:
        for i in range(a.size):
            a[i] = b[i] + s * c[i]

    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    kernel(a, b, c, 3.0)  # compiles
    comm.Barrier()
    start = time.perf_counter()
    for _ in range(5):
        kernel(a, b, c, 3.0)
    seconds = comm.allreduce(time.perf_counter() - start, op=_max())
    return 5 * 24 * n / seconds


def ping_pong(comm: Any) -> tuple[float, float]:
    """Latency and seconds per byte between ranks 0 and 1; zeros on a single rank."""
    if comm.size == 1:
        return 0.0, 0.0
    times = {}
    for size in (1, 2**16):
        buffer, best = np.zeros(size), math.inf
        for _ in range(30):
            comm.Barrier()
            start = time.perf_counter()
            if comm.rank == 0:
                comm.Send(buffer, 1)
                comm.Recv(buffer, 1)
            elif comm.rank == 1:
                comm.Recv(buffer, 0)
                comm.Send(buffer, 0)
            best = min(best, (time.perf_counter() - start) / 2)
        times[size] = comm.bcast(best)
    alpha = times[1]
    return alpha, max(0.0, times[2**16] - alpha) / (8 * 2**16)


# -- the study ----------------------------------------------------------------------------------
def job(ranks: int, **arguments: Any) -> dict[str, Any]:
    """`measure` on `ranks` ranks of a new job; a row that says so if it fails there."""
    command = [str(shutil.which("mpiexec")), "-n", str(ranks)]
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=False).stdout
    if "Open MPI" in version or "OpenRTE" in version:
        command[1:1] = ["--allow-run-as-root", "--oversubscribe"]
    settings = {"SCIML_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}
    command += [sys.executable, str(Path(__file__).resolve()), "--one-row", json.dumps(arguments)]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=3600
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and rows:
        return json.loads(rows[-1])
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
    return {"ranks": ranks, "method": arguments["method"], "status": "failed", "reason": reason}


def serial(shape: Sequence[int], seed: int, folder: Path) -> tuple[dict[str, Any], Path]:
    """Iterations of the serial solvers at both tolerances, and the file with the solution."""
    from sciml import solve
    from sciml.problems import poisson

    problem = poisson(shape, obstacles="balls", seed=seed)
    path, alone = folder / "serial.npy", {}
    for method in OURS:
        loose = solve(problem.A, problem.b, method=method, rtol=RTOL)
        tight = solve(problem.A, problem.b, method=method, rtol=1e-10)
        alone[method] = {"iterations": loose.iterations, "tight_iterations": tight.iterations}
        np.save(path, tight.x)
    return alone, path


def model_rows(rows: list[dict[str, Any]], shape: Sequence[int]) -> list[dict[str, Any]]:
    """The model beside what was measured."""
    from sciml.distributed.model import Machine, predict

    out = []
    for row in rows:
        if "seconds_per_iteration" not in row:
            continue
        machine = Machine(row["bandwidth"], row["alpha"], row["beta"])
        found = predict(shape, row["ranks"], machine)
        out.append(
            {
                "ranks": row["ranks"],
                "measured_ms": 1e3 * row["seconds_per_iteration"],
                "model_ms": 1e3 * found.seconds,
                "messages": row["messages_per_iteration"],
                "model_messages": found.messages,
                "sent_KiB": row["sent_per_iteration"] / 1024,
                "model_sent_KiB": found.sent / 1024,
                "GB_per_s_and_rank": row["bandwidth"] / 1e9,
                "alpha_us": 1e6 * row["alpha"],
            }
        )
    return out


def extrapolation() -> list[dict[str, Any]]:
    """Weak scaling to 10^10 unknowns: the box of a rank stays, the number of ranks grows."""
    from sciml.distributed.model import Machine, predict

    machine = Machine(**CLUSTER)
    rows = []
    for shape, ranks in (
        ((128, 128, 64), 1), ((256, 256, 128), 8), ((640, 640, 256), 100), ((1280, 1280, 640), 1_000),
        (LARGE["shape"], LARGE["ranks"]),
    ):  # fmt: skip
        found = predict(shape, ranks, machine)  # type: ignore[arg-type]
        rows.append(
            {
                "grid": "x".join(map(str, shape)),  # type: ignore[arg-type]
                "ranks": ranks,
                "unknowns": float(math.prod(shape)),  # type: ignore[arg-type]
                "grid_ms": 1e3 * found.levels[0].bytes / machine.bandwidth,
                "coarse_ms": 1e3 * sum(level.bytes for level in found.levels[1:-1]) / machine.bandwidth,
                "whole_ms": 1e3 * found.levels[-1].bytes / machine.bandwidth,
                "network_ms": 1e3 * found.network_seconds,
                "iteration_ms": 1e3 * found.seconds,
                "efficiency": 0.0,
                "whole_level": found.levels[-1].unknowns,
            }
        )
        rows[-1]["efficiency"] = rows[0]["iteration_ms"] / rows[-1]["iteration_ms"]
    return rows


def claims(
    case: Case, rows: list[dict[str, Any]], alone: dict[str, Any], model: list[dict[str, Any]]
) -> None:
    """The acceptance lines this run can judge."""
    case.claim("rows above the tolerance", sum(row["status"] != "converged" for row in rows), "==", 0)
    for row in rows:
        if "error" not in row:
            continue
        where = f"{row['method']}, {row['ranks']} rank(s)"
        for key, name in (("iterations", f"{RTOL:g}"), ("tight_iterations", "1e-10")):
            difference = abs(row[key] - alone[row["method"]][key])
            case.claim(f"{where}: iterations to {name} from the serial ones", difference, "<=", 1)
        case.claim(f"{where}: distance from the serial solution", row["error"], "<=", 1e-8)
    ours = [row for row in rows if row["method"] == "cg+multigrid" and "error" in row]
    # On small grids what MPI and PETSc take for themselves weighs more than the fields.
    if ours and ours[0]["ranks"] == 1 and ours[0]["unknowns"] > 1e6:
        for row in ours[1:]:
            share = row["MiB_per_rank"] * row["ranks"] / ours[0]["MiB_per_rank"]
            case.claim(
                f"{row['ranks']} ranks: memory per rank times ranks over that of one, off 1",
                abs(share - 1),
                "<=",
                0.15,
            )
    for row in model:
        if row["ranks"] > 1:
            for what in ("messages", "sent_KiB"):
                off = abs(row[f"model_{what}"] / row[what] - 1)
                case.claim(f"{row['ranks']} ranks: model of {what}, off the count", off, "<=", 0.25)
        off = max(row["model_ms"] / row["measured_ms"], row["measured_ms"] / row["model_ms"])
        case.claim(
            f"{row['ranks']} rank(s): model and measured time of an iteration, larger over smaller",
            off,
            "<=",
            2,
        )


def figure(model: list[dict[str, Any]], large: list[dict[str, Any]]) -> Any:
    """Left: an iteration here, measured and modelled. Right: the model on many ranks."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0 if model else 5.6, 4.0), layout="constrained")
    axes = list(np.atleast_1d(drawing.subplots(1, 2 if model else 1)))
    if model:
        left, at = axes[0], np.arange(len(model))
        left.bar(at - 0.2, [row["measured_ms"] for row in model], 0.38, color="#0072B2", label="measured")
        left.bar(at + 0.2, [row["model_ms"] for row in model], 0.38, color="#E69F00", label="model")
        left.set_xticks(at, [str(row["ranks"]) for row in model])
        left.set_xlabel("ranks of this machine")
        left.set_ylabel("one iteration, ms")
        left.legend(frameon=False)
    right = axes[-1]
    places, below = np.arange(len(large)), np.zeros(len(large))
    kinds = {
        "grid_ms": ("passes over the grid", "#0072B2"),
        "coarse_ms": ("divided coarse levels", "#56B4E9"),
        "whole_ms": ("levels every rank holds", "#E69F00"),
        "network_ms": ("messages and sums", "#D55E00"),
    }
    for key, (label, colour) in kinds.items():
        heights = np.array([row[key] for row in large])
        right.bar(places, heights, 0.6, bottom=below, color=colour, label=label)
        below = below + heights
    right.set_xticks(places, [f"{row['ranks']:,}" for row in large])
    right.set_xlabel("ranks of a cluster, 1,048,576 cells on each")
    right.set_ylabel("one iteration in the model, ms")
    right.set_ylim(0, 1.35 * below.max())
    right.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    for ax in axes:
        tidy(ax)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any] | None:
    arguments = parser(__doc__)
    arguments.add_argument("--peak", action="store_true", help=f"also {PEAK[0]}³ cells on 2 ranks")
    arguments.add_argument("--one-row", help=argparse.SUPPRESS)
    given = arguments.parse_args(argv)
    if given.one_row is not None:
        row = measure(**json.loads(given.one_row))
        if _rank() == 0:
            print(json.dumps(row), flush=True)
        return None
    case = Case("distributed_poisson", given)
    shape = SHAPE[given.size]
    large = extrapolation()
    model: list[dict[str, Any]] = []
    if importlib.util.find_spec("mpi4py") is None or shutil.which("mpiexec") is None:
        from sciml.distributed.engine import INSTALL

        print(f"Only the model is shown: {INSTALL}")
    else:
        model = study(case, shape)
    case.table(
        f"the model on a cluster: {CLUSTER['bandwidth'] / 1e9:g} GB/s a rank, {1e6 * CLUSTER['alpha']:g} µs, "
        f"{1e-9 / CLUSTER['beta']:g} GB/s",
        large,
        grid="", ranks=",d", unknowns=".2e", grid_ms=".1f", coarse_ms=".1f", whole_ms=".1f",
        network_ms=".2f", iteration_ms=".1f", efficiency=".2f", whole_level=",d",
    )  # fmt: skip
    if given.plot is not None:
        case.save_figure(figure(model, large))
    return case.finish()


def study(case: Case, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Run every job, print and judge; the rows of the model beside what was measured."""
    given = case.arguments
    rows: list[dict[str, Any]] = []
    with progress() as tell, tempfile.TemporaryDirectory() as folder:
        tell("the serial solvers")
        alone, reference = serial(shape, given.seed, Path(folder))
        for ranks in RANKS[given.size]:
            for method in METHODS:
                tell(f"{method} on {ranks} rank(s)")
                path = str(reference) if method in OURS else None
                rows.append(job(ranks, shape=shape, method=method, seed=given.seed, reference=path))
        if given.peak:
            tell(f"{PEAK[0]}³ cells on 2 ranks")
            rows.append(job(2, shape=PEAK, method="cg+multigrid", seed=given.seed, reference=None))
    columns = {
        "grid": "", "ranks": "d", "method": "", "unknowns": ",d", "iterations": "d", "setup_seconds": ".2f",
        "solve_seconds": ".2f", "relative_residual": ".1e", "MiB_per_rank": ".0f", "error": ".1e",
        "status": "",
    }  # fmt: skip
    case.table(f"obstacle case to {RTOL:g}", rows, **columns)
    for row in rows:
        if "reason" in row:
            print(f"{row['method']} on {row['ranks']} rank(s): {row['reason']}")
    model = model_rows([row for row in rows if row.get("grid") == "x".join(map(str, shape))], shape)
    case.table(
        "one iteration of cg+multigrid, measured and modelled", model,
        ranks="d", measured_ms=".1f", model_ms=".1f", messages=".1f", model_messages="d", sent_KiB=".0f",
        model_sent_KiB=".0f", GB_per_s_and_rank=".1f", alpha_us=".1f",
    )  # fmt: skip
    claims(case, rows, alone, model)
    return model


def _rank() -> int:
    from sciml.distributed.engine import world

    return world().rank


if __name__ == "__main__":
    main()
