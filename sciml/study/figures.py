"""Figures of a study as SVG that stands inside the page and takes its colours, dark ones too."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from types import SimpleNamespace
from typing import Any

from ..plotting import convergence, new_axes, scaling

__all__ = ["convergence_svg", "inline_svg", "scaling_svg"]

WIDTH, HEIGHT = 4.4, 3.3
"""Inches, without the legend; narrow, so that letters are still legible on a telephone."""

INK = {"#000000": "ink", "#4c4c4c": "muted", "#666666": "muted", "#e6e6e6": "grid"}
"""Greys `sciml.plotting` draws with, and the variable of the page that takes their place."""


def convergence_svg(rows: Sequence[Mapping[str, Any]], number: int, title: str) -> str:
    """The residual histories of one system, one curve per solver; empty without any history."""
    if not any(row.get("history") for row in rows):
        return ""
    curves = {
        row["solver"]: SimpleNamespace(
            residual_history=[math.nan if norm is None else norm for norm in row.get("history") or []],
            tolerance=row.get("tolerance") or 0.0,
        )
        for row in rows
    }
    return inline_svg(convergence(curves, new_axes((WIDTH, HEIGHT))), number, title)


def scaling_svg(table: Sequence[Mapping[str, Any]], key: str, ylabel: str, number: int, title: str) -> str:
    """A column of the summary over the number of unknowns, one curve per solver; empty for one size."""
    solvers = list(dict.fromkeys(row["solver"] for row in table))
    curves = {}
    for solver in solvers:
        mine = [row for row in table if row["solver"] == solver and row["unknowns"] is not None]
        curves[solver] = ([row["unknowns"] for row in mine], [row[key] or math.nan for row in mine])
    if len({size for sizes, _ in curves.values() for size in sizes}) < 2:
        return ""
    return inline_svg(scaling(curves, new_axes((WIDTH, HEIGHT)), ylabel=ylabel), number, title)


def inline_svg(axes: Any, number: int, title: str) -> str:
    """A figure as an ``<svg>`` element: no prologue, names of its own, colours of the page."""
    _legend_below(axes)
    stream = io.StringIO()
    axes.figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    # One page holds several figures, and matplotlib numbers the parts of each from one.
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>f{number}-", text)
    for grey, name in INK.items():
        text = text.replace(grey, f"var(--{name})")
    start = f'<svg role="img" aria-label="{escape(title)}" class="figure"'
    width, height = (72 * inches for inches in axes.figure.get_size_inches())
    return re.sub(r"<svg[^>]*>", f'{start} viewBox="0 0 {width:g} {height:g}">', text, count=1)


def _legend_below(axes: Any) -> None:
    """A legend among the curves hides some of them where there are many."""
    handles, labels = axes.get_legend_handles_labels()
    axes.get_legend().remove()
    columns = 2 if max(map(len, labels)) <= 26 else 1
    axes.figure.set_size_inches(WIDTH, HEIGHT + 0.2 * math.ceil(len(labels) / columns) + 0.1)
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
