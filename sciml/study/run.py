"""Running a study: what is missing is solved and kept row by row, then the reports are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..measure.methods import run_method
from ..measure.record import environment
from ..measure.warmup import warm_up
from ..problems.problem import Problem
from .journal import Journal
from .plan import Plan, Point, size_label
from .report import check_outputs, write_reports
from .rows import check_rows

__all__ = ["JOURNAL", "run_study"]

JOURNAL = "rows.jsonl"


def run_study(
    plan: Plan | Mapping[str, Any] | str | Path,
    output: str | Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Run what a study still lacks and write its reports.

    Parameters
    ----------
    plan : Plan, mapping or path
        The plan, the values of its file, or the file (TOML).
    output : path
        Folder of the study: ``rows.jsonl`` (all rows with their histories, as they are measured), and at the
        end ``rows.csv``, ``study.json`` and ``report.html``. A study that was interrupted goes on from
        the rows it has.
    progress : callable, optional
        ``progress(text)`` is told what is being done.

    Returns
    -------
    list of dict
        One row per solve, in the order of the plan. A solve that fails is a row with its status; one that
        raises has the status ``"ERROR"`` and the ``reason``.

    Raises
    ------
    FileNotFoundError, ValueError
        For settings that do not fit, and for a folder that holds another study; before any work.
    KeyboardInterrupt
        On Ctrl-C, after the reports of what there is were written.
    """
    if isinstance(plan, str | Path):
        plan = Plan.from_toml(plan)
    elif not isinstance(plan, Plan):
        plan = Plan.from_dict(plan)
    output, tell = Path(output), progress or (lambda text: None)
    check_outputs()
    with Journal(output / JOURNAL, plan.config) as journal:
        check_rows(journal.rows, journal.sessions, journal.path)
        done = {_key(row) for row in journal.rows}
        missing = [point for point in plan.points() if point.key not in done]
        try:
            if missing:
                journal.start_session(environment())
                _load_kernels(missing, plan, tell)
                _run(missing, plan, journal, tell)
        except KeyboardInterrupt:
            _report(output, plan, journal, tell)
            raise
        return _report(output, plan, journal, tell)


def _report(output: Path, plan: Plan, journal: Journal, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    tell("writing the reports")
    found = {_key(row): row for row in journal.rows}
    rows = [found[point.key] for point in plan.points() if point.key in found]
    write_reports(output, plan, rows, journal.sessions)
    return rows


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["problem"], row["size"], row["seed"], row["solver"])


def _load_kernels(missing: list[Point], plan: Plan, tell: Callable[[str], None]) -> None:
    """Compilers and imports are not in what is measured; once for every problem, dimension and solver."""
    groups: dict[tuple[str, int], dict[str, Point]] = {}
    for point in missing:
        kind = (point.problem.name, 0 if point.size is None else len(point.size))
        groups.setdefault(kind, {}).setdefault(point.solver.name, point)
    for points in groups.values():
        first = next(iter(points.values()))
        warm_up([p.solver for p in points.values()], first.problem.small(first.size), plan.rtol, tell)


def _run(missing: list[Point], plan: Plan, journal: Journal, tell: Callable[[str], None]) -> None:
    total = len(plan)
    at: Any = None
    problem: Any = None
    for point in missing:
        where = (point.problem.name, point.size, point.seed)
        label = _label(point, len(journal.rows) + 1, total)
        if where != at:
            tell(f"{label}: building")
            at, problem = where, None  # the old system is let go before the next one is built
            problem = _build(point)
        tell(f"{label}: {point.solver.name}")
        journal.append(_row(point, problem, plan))


def _label(point: Point, number: int, total: int) -> str:
    seed = "" if point.seed is None else f"seed {point.seed}"
    words = (point.problem.name, size_label(point.size), seed)
    return f"{number} of {total}: {' '.join(word for word in words if word)}"


def _build(point: Point) -> Problem | Exception:
    try:
        return point.problem.build(point.size, point.seed)
    except Exception as error:  # one system that cannot be built must not end the study
        return error


def _row(point: Point, problem: Problem | Exception, plan: Plan) -> dict[str, Any]:
    """One solve as a row, whatever becomes of it."""
    row: dict[str, Any] = {
        "problem": point.problem.name, "size": size_label(point.size), "seed": point.seed,
        "solver": point.solver.name,
    }  # fmt: skip
    try:
        if isinstance(problem, Exception):
            raise problem
        row |= {"unknowns": problem.unknowns, "notes": list(problem.notes)}
        run = run_method(point.solver, problem, rtol=plan.rtol, atol=plan.atol, maxiter=plan.maxiter)
        row |= {key: value for key, value in run.row().items() if key != "method"}
        row["error"] = None if problem.exact is None else problem.error(run.result.x)
        row["reason"] = None if run.result.converged else run.result.status.value
        row["history"] = [float(f"{norm:.5g}") for norm in run.result.residual_history]
    except Exception as error:  # the failure is the finding: it becomes a row
        row |= {"status": "ERROR", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    return row
