"""Tuned solvers for a long time: ``cd tests && python -m soak --minutes 30``. Memory must stay flat.

Every kind of policy tunes a solver on a stream of systems, each with an operator of its own, so that whatever
is kept by mistake (operators, preconditioners, results, callbacks) adds up. Policies are saved and loaded on
the way. The verdict is how memory grew in the second half of the time.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sciml import PoissonOperator, cg, sor
from sciml.preconditioners import SSOR, IncompleteCholesky, Jacobi, Multigrid
from sciml.tuning import BinnedTsallisINF, ChebCB, GaussianProcessCB, TsallisINF, TunedSolver, tuned

SHAPE = (24, 24)
OMEGAS = [1.0, 1.3, 1.6, 1.8]
LINES = 20
"""Of the table that is printed meanwhile."""

LINE = "{seconds:>8.0f} {solves:>9.0f} {failed:>7.0f} {MiB:>9.1f} {objects:>9.0f}"

FLAT = 0.02
"""Share by which memory may vary: pages come and go."""


def solvers() -> dict[str, Callable[[], TunedSolver]]:
    """By name, what makes a tuned solver."""
    kinds, ranged = [Jacobi, SSOR, IncompleteCholesky, Multigrid], {"context_range": (0.0, 1.0)}
    return {
        "tsallis-sor": lambda: tuned(sor, policy=TsallisINF(OMEGAS, seed=1)),
        "binned-sor": lambda: tuned(sor, policy=BinnedTsallisINF(OMEGAS, **ranged, seed=2), cap_factor=3.0),
        "chebyshev-ssor": lambda: tuned(
            cg, policy=ChebCB(OMEGAS, **ranged, seed=3), preconditioner=SSOR, cost="matvecs"
        ),
        "gaussian-sor": lambda: tuned(sor, policy=GaussianProcessCB(OMEGAS, **ranged, seed=4)),
        "choice-cg": lambda: tuned(
            cg, parameter="M", policy=TsallisINF(kinds, seed=5), cost="seconds", cap=0.05, reuse=True
        ),
    }  # fmt: skip


def systems(seed: int) -> Iterator[tuple[PoissonOperator, np.ndarray, float]]:
    """Operator, right-hand side and context, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        context = float(rng.random())
        solid = rng.random(SHAPE) < 0.1
        solid[0] = False
        bc = ("dirichlet", "periodic")[rng.integers(2)]
        A = PoissonOperator(SHAPE, bc=bc, cells=solid, shift=0.1 + context)
        yield A, np.where(A.fluid, rng.standard_normal(SHAPE), 0.0), context


def resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def soak(seconds: float, say: Callable[[str], Any] = print) -> list[dict[str, float]]:
    """Solve until the time is up; what memory was at equal intervals."""
    makers = solvers()
    running = {name: make() for name, make in makers.items()}
    rows: list[dict[str, float]] = []
    solves = failed = 0
    start = time.monotonic()
    stream = systems(0)
    with tempfile.TemporaryDirectory() as folder:
        while (passed := time.monotonic() - start) < seconds or not rows:
            for solver in running.values():
                A, b, context = next(stream)
                result = solver(A, b, context=context, rtol=1e-6, on_failure="ignore")
                solves, failed = solves + 1, failed + (not result.converged)
            if solves % 10_000 == 0:  # and go on from what was saved
                for name, solver in running.items():
                    solver.save(Path(folder) / f"{name}.json")
                    running[name] = makers[name]().load(Path(folder) / f"{name}.json")
            if passed >= seconds * (len(rows) + 1) / LINES:
                gc.collect()
                rows.append({"seconds": passed, "solves": solves, "failed": failed, "MiB": resident() / 2**20,
                             "objects": len(gc.get_objects())})  # fmt: skip
                say(LINE.format(**rows[-1]))
    return rows


def growth(rows: list[dict[str, float]]) -> float:
    """By which share of the memory in the middle that of the second half grew, as a straight line."""
    half = rows[len(rows) // 2 :]
    if len(half) < 2:
        return 0.0
    time, memory = (np.array([row[key] for row in half]) for key in ("seconds", "MiB"))
    return float(np.polyfit(time, memory, 1)[0] * (time[-1] - time[0]) / memory[0])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    print(" seconds    solves  failed       MiB   objects")
    rows = soak(60.0 * given.minutes, lambda line: print(line, flush=True))
    grown = growth(rows)
    print(
        f"memory grew by {100 * grown:+.2f} % in the second half ({'flat' if grown < FLAT else 'not flat'})"
    )
    return int(grown >= FLAT)


if __name__ == "__main__":
    sys.exit(main())
