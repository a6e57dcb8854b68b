"""Prolongation weights by mask pattern: is there anything to learn between obstacles?

Multigrid for grids with obstacles gives every cell of a block the correction of the block, all alike. Cells
beside walls could take more or less of it: a weight for each pattern of the mask around a cell, here the
number of open faces towards its own block and towards others (sixteen patterns). With `R = Pᵀ` and the
Galerkin product the cycle stays symmetric and positive definite for any weights that are not zero.

The weights are searched by an evolution strategy (CMA-ES), for each family of geometries by itself, together
with the scale of the coarse correction. So that nothing else is in the way, the coarse problem is solved
exactly, and the weights may be as dear as they like: what they gain here bounds what they could gain in
`LearnedMultigrid`. The competitor has one weight for all and the best scale of a grid. Iterations of CG to
1e-6 count in fractions, on five geometries that the search saw and on as many that it did not.

Claim: weights by pattern save a twentieth of the iterations on geometries that the search did not see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from _common import Case, parser, progress
from scipy.sparse.linalg import splu

from sciml import CallableOperator
from sciml.learned.multigrid.families import sample
from sciml.learned.multigrid.search import TOLERANCES, iterations_to
from sciml.plotting import tidy
from sciml.preconditioners import Multigrid
from sciml.problems import Problem

FAMILIES = ("balls", "walls", "channels", "porous")
CELLS = {"small": 12, "paper": 24}
GEOMETRIES = {"small": 2, "paper": 5}
EVALUATIONS = {"small": 40, "paper": 1500}
UNSEEN = 10_000
"""Number of the first geometry that no search sees."""

SCALES = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
"""Of the coarse correction, to choose from where all weights are one."""

PATTERNS = 16
SWEEPS = 2


class TwoGrid:
    """Red-black relaxation and an exact coarse solve, with a weight for each pattern of a cell."""

    def __init__(self, problem: Problem):
        self.problem = problem
        A, P = problem.A.tocsr(), sp.csr_matrix(Multigrid(problem.A).grid_prolongation())
        self.cells = np.flatnonzero(np.diff(P.indptr))  # those with an unknown
        P = P[self.cells]
        self.P = P[:, np.flatnonzero(np.diff(P.tocsc().indptr))]
        self.A = A[self.cells][:, self.cells].tocsr()
        self.diagonal = self.A.diagonal()
        block, n = self.P.indices, self.cells.size
        row, column = sp.triu(self.A, 1).tocoo().coords
        inside = block[row] == block[column]
        own, others = (
            np.bincount(row[faces], minlength=n) + np.bincount(column[faces], minlength=n)
            for faces in (inside, ~inside)
        )
        self.pattern = 4 * np.minimum(own, 3) + np.minimum(others, 3)
        parity = np.sum(np.unravel_index(self.cells, problem.A.grid3), axis=0) % 2
        self.colours = [np.flatnonzero(parity == c) for c in (0, 1)]
        self.rows = [self.A[colour] for colour in self.colours]

    def preconditioner(self, weights: np.ndarray, scale: float) -> CallableOperator:
        """Of the whole grid, for CG."""
        P = sp.diags(weights[self.pattern]) @ self.P
        R, coarse = P.T.tocsr(), splu((P.T @ self.A @ P).tocsc())

        def relax(x: np.ndarray, b: np.ndarray, order: Sequence[int]) -> None:
            for colour in order:
                cells = self.colours[colour]
                x[cells] += (b[cells] - self.rows[colour] @ x) / self.diagonal[cells]

        def cycle(r: np.ndarray) -> np.ndarray:
            b = r.reshape(-1)[self.cells]
            x = np.zeros_like(b)
            for _ in range(SWEEPS):
                relax(x, b, (0, 1))
            x += scale * (P @ coarse.solve(R @ (b - self.A @ x)))
            for _ in range(SWEEPS):
                relax(x, b, (1, 0))
            out = np.zeros(r.size)
            out[self.cells] = x
            return out

        properties = {"linear", "symmetric", "positive_definite"}
        return CallableOperator(cycle, self.problem.A.shape[0], dtype="float64", properties=properties)

    def iterations(self, weights: np.ndarray, scale: float) -> float:
        """Of CG to 1e-6, in fractions."""
        found = iterations_to(self.problem, self.preconditioner(weights, scale))
        return float(found[TOLERANCES.index(1e-6)])


def mean_iterations(grids: Sequence[TwoGrid], logarithms: np.ndarray) -> float:
    """With these logarithms of the scale and of the weights."""
    values = np.exp(logarithms)
    return float(np.mean([grid.iterations(values[1:], values[0]) for grid in grids]))


def search(grids: Sequence[TwoGrid], start: np.ndarray, evaluations: int, seed: int) -> np.ndarray:
    """The best logarithms an evolution strategy finds; `start` where it finds none better."""
    import cma

    options = {"seed": seed + 1, "maxfevals": evaluations, "verbose": -9}
    strategy = cma.CMAEvolutionStrategy(start, 0.05, options)
    while not strategy.stop():
        candidates = strategy.ask()
        strategy.tell(candidates, [mean_iterations(grids, c) for c in candidates])
    found = np.asarray(strategy.result.xbest)
    return min(start, found, key=lambda candidate: mean_iterations(grids, candidate))


def study(size: str, seed: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row per family."""
    shape, count = (CELLS[size],) * 3, GEOMETRIES[size]
    rows = []
    for family in FAMILIES:
        tell(f"{family}: scale")
        seen, unseen = (
            [TwoGrid(sample(family, shape, first + seed * count + i)) for i in range(count)]
            for first in (0, UNSEEN)
        )
        starts = [np.log([scale, *np.ones(PATTERNS)]) for scale in SCALES]
        one = min(starts, key=lambda start: mean_iterations(seen, start))
        tell(f"{family}: weights, {EVALUATIONS[size]} evaluations")
        many = search(seen, one, EVALUATIONS[size], seed)
        row: dict[str, Any] = {"family": family, "scale": float(np.exp(one[0]))}
        for label, grids in (("seen", seen), ("unseen", unseen)):
            row[f"one weight, {label}"] = mean_iterations(grids, one)
            row[f"by pattern, {label}"] = mean_iterations(grids, many)
        occurring = np.unique(np.concatenate([grid.pattern for grid in seen]))
        row["weights"] = {int(k): float(np.exp(many[1 + k])) for k in occurring}
        rows.append(row)
    return rows


def figure(rows: list[dict[str, Any]]) -> Any:
    """Iterations with weights by pattern over those with one weight."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5.0, 3.0), layout="constrained")
    ax = drawing.subplots()
    for shift, label in ((-0.18, "seen"), (0.18, "unseen")):
        ratios = [row[f"by pattern, {label}"] / row[f"one weight, {label}"] for row in rows]
        ax.bar(np.arange(len(rows)) + shift, ratios, 0.34, label=f"geometries {label}")
    ax.axhline(1.0, color="black", lw=0.8)
    ax.set_xticks(range(len(rows)), [row["family"] for row in rows])
    ax.set_ylim(0.8, None)
    ax.set_ylabel("iterations, by pattern / one weight")
    tidy(ax)
    ax.legend()
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    options = parser(__doc__).parse_args(argv)
    case = Case("prolongation_weights", options)
    with progress() as tell:
        rows = study(options.size, options.seed, tell)
    columns = [
        f"{weights}, {label}" for label in ("seen", "unseen") for weights in ("one weight", "by pattern")
    ]
    case.table(
        f"iterations to 1e-6, {CELLS[options.size]}³ cells, two grids", rows, family="", scale=".1f",
        **dict.fromkeys(columns, ".2f"),
    )  # fmt: skip
    for row in rows:
        ratio = row["by pattern, unseen"] / row["one weight, unseen"]
        case.claim(f"{row['family']}: iterations, by pattern / one weight, unseen", ratio, "<=", 0.95)
    if options.plot is not None:
        case.save_figure(figure(rows))
    return case.finish()


if __name__ == "__main__":
    main()
