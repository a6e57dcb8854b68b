"""Rows of a study brought together: medians over the seeds, and what failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

from ..measure.record import claim

__all__ = ["claims", "failures", "groups", "summary"]


def groups(rows: Iterable[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Rows by the values of `keys`, in the order of their first appearance."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def summary(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per problem, size and solver: medians over the seeds, of the solves that converged.

    ``relative_residual`` is the largest of all solves that have one; ``iterations_max`` the largest number of
    iterations. A group without a converged solve has no medians.
    """
    table = []
    for (problem, size, solver), several in groups(rows, "problem", "size", "solver").items():
        good = [row for row in several if row["status"] == "CONVERGED"]
        table.append(
            {
                "problem": problem,
                "size": size,
                "solver": solver,
                "unknowns": _median(several, "unknowns"),
                "solves": len(several),
                "converged": len(good),
                "iterations": _median(good, "iterations"),
                "iterations_max": max((row["iterations"] for row in good), default=None),
                "setup_seconds": _median(good, "setup_seconds"),
                "solve_seconds": _median(good, "solve_seconds"),
                "total_seconds": _median(good, "total_seconds"),
                "relative_residual": _largest(several, "relative_residual"),
                "peak_memory_growth_bytes": _largest(several, "peak_memory_growth_bytes"),
                "failures": sorted({row["status"] for row in several if row["status"] != "CONVERGED"}),
            }
        )
    return table


def failures(rows: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Solver, where and why of all solves that did not converge, alike ones together."""
    failed = [row for row in rows if row["status"] != "CONVERGED"]
    found = []
    for (problem, solver, reason), several in groups(failed, "problem", "solver", "reason").items():
        alike: dict[tuple[Any, ...], list[str]] = {}  # sizes that failed for the same seeds
        for (size,), of_size in groups(several, "size").items():
            alike.setdefault(tuple(row["seed"] for row in of_size), []).append(size)
        for seeds, sizes in alike.items():
            where = " ".join([problem, ", ".join(sizes)]).strip()
            if seeds != (None,):
                where += f" (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})"
            found.append((solver, where, str(reason)))
    return found


def claims(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every solver on every problem: how many solves did not converge, expected to be none."""
    return [
        claim(
            f"{solver} on {problem}: solves of {len(several)} that did not converge",
            sum(row["status"] != "CONVERGED" for row in several),
            "==",
            0,
        )
        for (problem, solver), several in groups(rows, "problem", "solver").items()
    ]


def _median(rows: Iterable[dict[str, Any]], key: str) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.median(values) if values else None


def _largest(rows: Iterable[dict[str, Any]], key: str) -> float | None:
    values = [math.inf if row[key] is None else row[key] for row in rows if key in row]
    return max(values, default=None)
