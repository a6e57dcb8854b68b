"""The walk-through of docs/pinn.md: a PDE written by following the page, in at most 15 lines, trains."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[3] / "docs" / "pinn.md"


@pytest.fixture(scope="module")
def walk_through():
    """The code of the page, and what it leaves behind."""
    code = re.search(r"<!-- new pde -->\n```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL).group(1)
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return code, names


def test_a_pde_takes_at_most_15_lines(walk_through):
    code, _ = walk_through
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_it_trains(walk_through):
    field, history = walk_through[1]["field"], walk_through[1]["history"]
    assert history.best[1] < 5e-3 * history.validation[0][1]
    x = field.problem.domain.sample(500, np.random.default_rng(5))
    assert float(field.residual(x).square().mean().sqrt()) < 0.1


def test_its_solution_is_that_of_a_grid(walk_through):
    """Newton on a grid with the hole cut out, whose border is a staircase: a few per cent."""
    field, n = walk_through[1]["field"], 101
    line = np.linspace(-1, 1, n)
    x, y = np.meshgrid(line, line, indexing="ij")
    inside = (np.abs(x) < 1) & (np.abs(y) < 1) & (np.hypot(x, y) > 0.4)
    reference = _newton(inside, np.exp(x), line[1] - line[0], np.hypot(x, y) <= 0.4)
    found = field(np.stack([x, y], axis=-1))
    gap = np.abs(found - reference)[inside].max()
    assert gap < 0.05 * np.abs(reference).max()


def _newton(inside, source, h, hole):
    """``Δu = u³ − s``, zero outside the square, no flux into the hole."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import spsolve

    number = -np.ones(inside.shape, dtype=int)
    number[inside] = np.arange(inside.sum())
    rows, columns, values = [], [], []
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        neighbour, blocked = np.roll(number, -shift, axis), np.roll(hole, -shift, axis)
        here = number[inside]
        there = neighbour[inside]
        flows = ~blocked[inside]
        rows.append(here[flows])
        columns.append(here[flows])
        values.append(-np.ones(flows.sum()))
        both = flows & (there >= 0)
        rows.append(here[both])
        columns.append(there[both])
        values.append(np.ones(both.sum()))
    size = int(inside.sum())
    L = (
        coo_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        ).tocsr()
        / h**2
    )
    u, s = np.zeros(size), source[inside]
    for _ in range(8):
        u = u - spsolve((L - diags(3 * u**2)).tocsc(), L @ u - u**3 + s)
    result = np.zeros(inside.shape)
    result[inside] = u
    return result
