"""The page of a study: one HTML file that loads nothing, for screens of any width, light or dark."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .figures import convergence_svg, scaling_svg
from .plan import Plan
from .style import CSS
from .summary import failures, groups, summary

__all__ = ["page"]

SUMMARY = {
    "solver": "solver", "converged": "converged", "iterations": "iterations", "setup_seconds": "set-up s",
    "solve_seconds": "solve s", "total_seconds": "total s", "relative_residual": "true residual",
    "peak_memory_growth_bytes": "memory MiB",
}  # fmt: skip
ROWS = {
    "problem": "problem", "size": "size", "seed": "seed", "solver": "solver", "status": "status",
    "iterations": "iterations", "total_seconds": "total s", "relative_residual": "true residual",
    "error": "error",
}  # fmt: skip
NUMBERS = set(SUMMARY) | set(ROWS) - {"problem", "size", "solver", "status"}
NUMBERS -= {"solver"}


def page(plan: Plan, rows: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    table = summary(rows)
    body = [
        f"<h1>{escape(plan.name)}</h1>",
        _lead(plan, rows),
        _failures(rows),
        *_problems(rows, table),
        f"<details><summary>All {len(rows)} solves</summary>{_table(rows, ROWS)}</details>",
        _settings(plan),
        _machines(rows, sessions),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(plan.name)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _lead(plan: Plan, rows: Sequence[dict[str, Any]]) -> str:
    good = sum(row["status"] == "CONVERGED" for row in rows)
    rule = f"rtol = {plan.rtol:g}" + (f", atol = {plan.atol:g}" if plan.atol else "")
    text = (
        f"{_count(len(plan.problems), 'problem')}, {_count(len(plan.solvers), 'solver')}, "
        f"{_count(len(rows), 'solve')} to {rule}: {good} converged, {len(rows) - good} did not. "
        "<em>Converged</em> means that the residual, recomputed from <i>b − A x</i>, is within the tolerance."
    )
    missing = len(plan) - len(rows)
    if missing:
        text += (
            f' <strong class="bad">{_count(missing, "solve")} of {len(plan)} '
            f"{'is' if missing == 1 else 'are'} missing: the study was interrupted.</strong>"
        )
    return f"<p>{text}</p>"


def _failures(rows: Sequence[dict[str, Any]]) -> str:
    """What did not converge stands first, with the reason."""
    items = [
        f"<li><b>{escape(what)}</b> on {escape(where)}: {escape(why)}</li>"
        for what, where, why in failures(rows)
    ]
    if not items:
        return ""
    return f'<section class="failures"><h2>Did not converge</h2><ul>{"".join(items)}</ul></section>'


def _problems(rows: Sequence[dict[str, Any]], table: Sequence[dict[str, Any]]) -> Iterable[str]:
    numbers = itertools.count(1)  # of figures, whose parts need names of their own
    for (problem,), mine in groups(rows, "problem").items():
        of_problem = [row for row in table if row["problem"] == problem]
        notes = dict.fromkeys(note for row in mine for note in row.get("notes", []))
        yield f"<section><h2>{escape(problem)}</h2>"
        yield from (f'<p class="note">{escape(note)}</p>' for note in notes)
        yield _figures(
            _over_unknowns(of_problem, "total_seconds", "Seconds, set-up included", next(numbers)),
            _over_unknowns(of_problem, "iterations", "Iterations", next(numbers)),
        )
        for (size,), of_size in groups(mine, "size").items():
            lines = [row for row in of_problem if row["size"] == size]
            unknowns = lines[0]["unknowns"]
            yield f"<h3>{escape(size)}</h3>" if size else ""
            yield _table(lines, SUMMARY, "" if unknowns is None else f"{unknowns:,.0f} unknowns")
            yield _figures(_histories(of_size, next(numbers)))
        yield "</section>"


def _over_unknowns(table: Sequence[dict[str, Any]], key: str, label: str, number: int) -> str:
    caption = f"{label}, over unknowns; medians over the seeds"
    return _figure(scaling_svg(table, key, label.lower(), number, caption), caption)


def _histories(rows: Sequence[dict[str, Any]], number: int) -> str:
    """Curves of the first seed."""
    seed = rows[0]["seed"]
    caption = "Residual over iterations" + ("" if seed is None else f", seed {seed}")
    return _figure(convergence_svg([r for r in rows if r["seed"] == seed], number, caption), caption)


def _figures(*figures: str) -> str:
    return f'<div class="figures">{"".join(figures)}</div>' if any(figures) else ""


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" if svg else ""


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], caption: str = "") -> str:
    """Rows as a table that scrolls by itself where the screen is narrower."""
    whole = [
        row["total_seconds"]
        for row in rows
        if "solves" in row and row["converged"] == row["solves"] and row["total_seconds"] is not None
    ]
    fastest = min(whole) if len(whole) > 1 else None
    head = "".join(f"<th{_side(key)}>{escape(title)}</th>" for key, title in columns.items())
    lines = []
    for row in rows:
        bad = row["converged"] < row["solves"] if "solves" in row else row["status"] != "CONVERGED"
        mark = "bad" if bad else "best" if fastest is not None and row["total_seconds"] == fastest else ""
        cells = "".join(f"<td{_side(key)}>{escape(_cell(row, key))}</td>" for key in columns)
        lines.append(f"<tr{f' class={mark!r}' if mark else ''}>{cells}</tr>")
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _side(key: str) -> str:
    return ' class="number"' if key in NUMBERS else ""


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if key == "converged":
        return f"{value} of {row['solves']}" + "".join(f", {f.lower()}" for f in row["failures"])
    if value is None:
        return "–"
    if key == "peak_memory_growth_bytes":
        return f"{value / 2**20:.0f}"
    if key.endswith("_seconds"):
        return f"{value:.3g}" if value >= 1e-4 else "< 0.0001"
    if key in ("relative_residual", "error"):
        return f"{value:.2e}"
    if key == "status":
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(plan: Plan) -> str:
    items = "".join(
        f"<li><b>{escape(entry['name'])}</b>: {escape(_entry(entry))}</li>"
        for entry in [*plan.config["problems"], *plan.config["solvers"]]
    )
    return f"<details><summary>Settings</summary><ul>{items}</ul></details>"


def _entry(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in entry.items() if key != "name")


def _machines(rows: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]]) -> str:
    """Where the rows were measured; seconds from unlike machines are not compared silently."""
    counts = {number: len(several) for (number,), several in groups(rows, "session").items()}
    used = [(session, counts[i]) for i, session in enumerate(sessions, start=1) if i in counts]
    merged: list[tuple[dict[str, Any], int]] = []
    for session, count in used:
        if merged and merged[-1][0] == session:
            count += merged.pop()[1]
        merged.append((session, count))
    items = []
    for session, count in merged:
        versions = ", ".join(f"{name} {version}" for name, version in session["versions"].items())
        place = ", ".join(str(part) for part in (session["cpu"], session["gpu"]) if part)
        commit = f"; commit {session['commit']}" if session["commit"] else ""
        items.append(
            f"<li>{_count(count, 'solve')}: {escape(place)}, {session['threads']} thread(s); "
            f"{escape(versions)}{escape(commit)}</li>"
        )
    changed = "Machine or versions changed within this study: compare seconds with care."
    warning = f'<p class="bad">{changed}</p>' if len(merged) > 1 else ""
    return (
        f"<footer><h2>Where this was measured</h2>{warning}<ul>{''.join(items)}</ul>"
        "<p>Compiled kernels were loaded on a small system first, so no time holds a compiler. Medians are "
        "over the seeds that converged; the true residual is the largest, relative to the norm of b. Memory "
        "is growth of the peak of the process, set-up and solve together.</p></footer>"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
