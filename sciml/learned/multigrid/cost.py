"""A cost model of multigrid-preconditioned CG: operations counted from the hierarchy, rates measured once.

Training minimises predicted seconds, not iterations, and a prediction made of counts is the same on a busy
machine as on an idle one. Seconds of set-up and of one iteration are linear in the counts of `setup_work` and
`cycle_work`; `calibrate` fits the rates by non-negative least squares to CPU times of this machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...preconditioners.multigrid import Multigrid
from ...preconditioners.multigrid.blocks import BlockLevel
from ...problems import Problem
from ...solvers import cg

__all__ = ["CYCLE_WORK", "SETUP_WORK", "Rates", "calibrate", "cycle_work", "setup_work"]

SETUP_WORK = (
    "cells", "cells with faces", "split blocks", "coarse entries", "entries between pieces",
    "interpolation entries", "inverse", "levels",
)  # fmt: skip
"""Names of what `setup_work` counts."""

CYCLE_WORK = ("cells", "cell sweeps", "face cells", "face sweeps", "coarse entries", "calls")
"""Names of what `cycle_work` counts."""


def setup_work(M: Multigrid) -> np.ndarray:
    """Operations of setting up `M`, in the order of `SETUP_WORK`.

    Entries of a first coarse level that is held by blocks come with the cells. Those of levels with more
    unknowns than blocks, where some blocks are in pieces, take longer to find and count twice.
    """
    entries = between = interpolation = 0.0
    for index, level in enumerate(M.levels):
        if not isinstance(level, BlockLevel):
            entries += level.nnz
        if index and level.unknowns > math.prod(level.block_shape):
            between += level.nnz
        hop = M.transfers[index] if index < len(M.transfers) else None
        if hop is not None and hop.P is not None:
            interpolation += hop.P[2].size
    inverse = 0.0 if M.coarsest.inverse is None else float(M.coarsest.inverse.shape[0]) ** 3
    faces = M.grid.faces is not None
    cells = float(M.grid.cells)
    split = 0.0 if M.blocks is None else float(M.blocks[3].size)
    return np.array(
        [cells, cells * faces, split, entries, between, interpolation, inverse, 1.0 + len(M.levels)]
    )


def cycle_work(M: Multigrid) -> np.ndarray:
    """Operations of one iteration of CG with `M`, in the order of `CYCLE_WORK`."""
    cells, faces = float(M.grid.cells), float(M.grid.faces is not None)
    sweeps = cells * (2 * M._sweeps(0) - 1)
    entries, calls, visits = 0.0, 4.0 + 4 * M._sweeps(0), 1.0
    last = len(M.levels) - 1
    for index, level in enumerate(M.levels):
        visits *= M.visits(index)
        if index == last and M.coarsest.inverse is not None:
            entries += visits * M.coarsest.inverse.size
            calls += visits
            continue
        count = 2 * M._sweeps(index + 1)
        entries += visits * (count + 1) * (level.nnz + 2 * level.n)
        calls += visits * (count * (2 if isinstance(level, BlockLevel) else 1) + 4)
        if index < len(M.transfers):
            hop = M.transfers[index]
            entries += visits * 2 * (level.n if hop.P is None else hop.P[2].size)
    return np.array([cells, sweeps, faces * cells, faces * sweeps, entries, calls])


@dataclass(frozen=True)
class Rates:
    """Nanoseconds per operation.

    The defaults are what `calibrate` found on one core of an x86-64 server; only their ratios matter.
    """

    setup: tuple[float, ...] = (8.65, 60.0, 2777.0, 37.2, 38.3, 73.2, 0.443, 284e3)
    cycle: tuple[float, ...] = (13.4, 0.732, 11.6, 3.37, 0.708, 23e3)

    def seconds(self, M: Multigrid) -> tuple[float, float]:
        """Predicted set-up and seconds per iteration."""
        return 1e-9 * float(np.dot(self.setup, setup_work(M))), 1e-9 * float(
            np.dot(self.cycle, cycle_work(M))
        )


def calibrate(
    problems: Iterable[Problem],
    settings: Iterable[dict[str, Any]],
    *,
    iterations: int = 3,
    clock: Callable[[], float] = time.process_time,
) -> tuple[Rates, float]:
    """Fit `Rates` to CPU times; returns them and the median relative error of the predicted totals.

    Compiled kernels should have been loaded before (solve one small system first).
    """
    settings = list(settings)
    rows: list[tuple[np.ndarray, np.ndarray, float, float]] = []
    for problem in problems:
        for choice in settings:
            setup = cycle = np.inf
            for _ in range(2):
                start = clock()
                M = Multigrid(problem.A, **choice)
                middle = clock()
                cg(problem.A, problem.b, M=M, rtol=0, atol=0, maxiter=iterations, on_failure="ignore")
                end = clock()
                setup, cycle = min(setup, middle - start), min(cycle, (end - middle) / iterations)
            rows.append((setup_work(M), cycle_work(M), setup, cycle))
    setup_rates = _fit(np.array([r[0] for r in rows]), np.array([r[2] for r in rows]))
    cycle_rates = _fit(np.array([r[1] for r in rows]), np.array([r[3] for r in rows]))
    rates = Rates(tuple(setup_rates), tuple(cycle_rates))
    errors = []
    for s, c, setup, cycle in rows:
        predicted = 1e-9 * (s @ setup_rates + 6 * (c @ cycle_rates))
        errors.append(abs(predicted / (setup + 6 * cycle) - 1))
    return rates, float(np.median(errors))


def _fit(counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Non-negative rates in nanoseconds; every row counts by its relative error."""
    from scipy.optimize import nnls

    scale = counts.max(axis=0)
    scale[scale == 0] = 1.0
    rates, _ = nnls(counts / scale / seconds[:, None], np.ones(seconds.size))
    for _ in range(3):  # relative to the prediction, or the fit would lean low
        expected = np.maximum(counts / scale @ rates, 0.3 * seconds)
        rates, _ = nnls(counts / scale / expected[:, None], seconds / expected)
    return 1e9 * rates / scale
