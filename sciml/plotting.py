"""Figures: convergence histories and fields. matplotlib is loaded only when something is drawn.

Figures are built object by object (no pyplot, no global state, no window), so they are safe in scripts,
servers and threads; save them with ``axes.figure.savefig(path)`` or `save`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .backends.namespace import Array, to_numpy
from .files import replaced

__all__ = [
    "COLOURS", "check_format", "colour_range", "convergence", "field", "new_axes", "new_figure", "save",
    "scaling", "solution", "tidy", "training",
]  # fmt: skip

# Distinguishable in print and for colour-blind readers (Okabe and Ito), black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
_MARKERS = "osD^vPX*"
_SOLID_GREY = "0.72"


def convergence(results: Mapping[str, Any], ax: Any = None) -> Any:
    """Draw relative residuals over iterations on a logarithmic scale.

    Parameters
    ----------
    results : mapping of str to SolveResult
        One curve per entry, labelled with its key. One without a history (a solve that never began) takes
        its colour and its place in the legend, so that several figures of the same solvers agree.
    ax : matplotlib axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        Without results.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import cg
    >>> from sciml.plotting import convergence
    >>> convergence({"cg": cg(np.diag([1.0, 2.0, 3.0]), np.ones(3))}).get_yscale()
    'log'
    """
    if not results:
        raise ValueError("results is empty; expected at least one {label: result}")
    if ax is None:
        ax = new_axes()
    tolerances = set()
    for i, (label, result) in enumerate(results.items()):
        history = np.asarray(result.residual_history, dtype=float)
        start = history[0] if history.size and history[0] > 0 else 1.0
        # A residual of exactly zero has no place on a logarithmic axis.
        relative = np.where(history > 0, history / start, np.nan)
        step = max(1, relative.size // 12)
        ax.plot(
            np.arange(relative.size), relative, label=label, color=COLOURS[i % len(COLOURS)], linewidth=1.6,
            marker=_MARKERS[i % len(_MARKERS)], markersize=4,
            markevery=(i * step // len(results), step),  # staggered, so that coinciding curves stay visible
        )  # fmt: skip
        if result.tolerance > 0:
            tolerances.add(float(f"{result.tolerance / start:.3e}"))
    for tolerance in sorted(tolerances):
        ax.axhline(tolerance, color="0.4", linewidth=1.0, linestyle="--", zorder=1)
    if tolerances:
        ax.annotate(
            "tolerance", (0.01, max(tolerances)), xycoords=("axes fraction", "data"), xytext=(0, -3),
            textcoords="offset points", ha="left", va="top", fontsize=8, color="0.3",
        )  # fmt: skip
    lengths = [len(result.residual_history) for result in results.values() if result.residual_history]
    if lengths and max(lengths) > 20 * min(lengths):
        ax.set_xscale("symlog", linthresh=10)  # a few iterations and a few thousand in one picture
    ax.set_yscale("log")
    ax.set_xlabel("iteration")
    ax.set_ylabel(r"relative residual  $\|b - Ax\| \,/\, \|b - Ax_0\|$")
    ax.set_xlim(left=0)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.legend(frameon=False, fontsize=9)
    tidy(ax)
    return ax


def scaling(
    curves: Mapping[str, tuple[Any, Any]], ax: Any = None, *, ylabel: str, xlabel: str = "unknowns"
) -> Any:
    """Draw what solves cost over the size of the system, on logarithmic scales.

    Parameters
    ----------
    curves : mapping of str to (sizes, costs)
        One curve per entry, labelled with its key; NaN where there is nothing to draw.
    ax : matplotlib axes, optional
        Where to draw; a new figure by default.
    ylabel, xlabel : str
        What is drawn over what.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        Without curves.

    Examples
    --------
    >>> from sciml.plotting import scaling
    >>> scaling({"cg": ([100, 400], [20, 41])}, ylabel="iterations").get_xscale()
    'log'
    """
    if not curves:
        raise ValueError("curves is empty; expected at least one {label: (sizes, costs)}")
    if ax is None:
        ax = new_axes()
    for i, (label, (sizes, costs)) in enumerate(curves.items()):
        values = np.asarray(costs, dtype=float)
        ax.plot(
            np.asarray(sizes, dtype=float), np.where(values > 0, values, np.nan), label=label, linewidth=1.6,
            color=COLOURS[i % len(COLOURS)], marker=_MARKERS[i % len(_MARKERS)], markersize=5,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.legend(frameon=False, fontsize=9)
    tidy(ax)
    return ax


def field(problem: Any, x: Array, ax: Any = None, *, label: str = "solution") -> Any:
    """Draw a grid function: the plane in 2D, three orthogonal slices through the middle in 3D.

    Solid cells are grey. Coordinates are those of the grid.

    Parameters
    ----------
    problem : Problem
        Whose grid and mask `x` lives on.
    x : array or callable
        Flat or grid-shaped; or ``x(axis, index)`` that gives one plane, masked where solid, for fields that
        no process holds whole (``x(None, 0)`` all of a plane grid).
    ax : matplotlib axes or sequence of three axes, optional
        Where to draw; a new figure by default. In 3D three axes are needed.
    label : str
        Of the colour bar.

    Returns
    -------
    matplotlib figure

    Raises
    ------
    ValueError
        If the problem has no grid or `x` does not fit it.

    Examples
    --------
    >>> from sciml import cg
    >>> from sciml.plotting import field
    >>> from sciml.problems import poisson
    >>> problem = poisson((16, 16), rhs="smooth")
    >>> len(field(problem, cg(problem.A, problem.b).x).axes)   # the plane and its colour bar
    2
    """
    if problem.grid is None:
        raise ValueError(f"{problem.name} has no grid; expected a problem made by sciml.problems")
    panels = _slices(problem.grid, x if callable(x) else _planes_of(problem, to_numpy(x)))
    if ax is None:
        figure = new_figure(_panel_size(panels[0][2]) if len(panels) == 1 else (11.0, 3.6))
        axes = list(np.atleast_1d(figure.subplots(1, len(panels))))
    else:
        axes = list(np.atleast_1d(np.asarray(ax, dtype=object)))
        if len(axes) != len(panels):
            raise ValueError(f"ax holds {len(axes)} axes; expected {len(panels)} for this grid")
        figure = axes[0].figure
    image = None
    low, high, colours = colour_range([plane for plane, *_ in panels])
    for panel, (plane, names, extent, title) in zip(axes, panels, strict=True):
        panel.set_facecolor(_SOLID_GREY)
        image = panel.imshow(
            plane.T, origin="lower", extent=extent, cmap=colours, vmin=low, vmax=high,
            interpolation="nearest",
        )  # fmt: skip
        panel.set_xlabel(names[0])
        panel.set_ylabel(names[1])
        if title:
            panel.set_title(title, fontsize=10)
        if _stretched(extent):
            panel.set_aspect("auto")
    figure.colorbar(image, ax=axes, label=label, pad=0.02)
    return figure


def solution(problem: Any, result: Any, label: str | None = None, x: Any = None) -> Any:
    """Draw a solve: the solution (where there is a grid) and the convergence history.

    Parameters
    ----------
    problem : Problem
    result : SolveResult
    label : str, optional
        Name of the curve; ``result.solver`` by default.
    x : array or callable, optional
        The field as `field` takes it; ``result.x`` by default.

    Returns
    -------
    matplotlib figure
    """
    curve = {label or result.solver: result}
    if problem.grid is None:
        ax = convergence(curve)
        ax.set_title(str(problem), fontsize=10)
        return ax.figure
    flat = len(problem.grid.shape) == 2
    figure = new_figure((11.0, 4.4) if flat else (11.0, 7.4))
    upper, lower = figure.subfigures(1, 2) if flat else figure.subfigures(2, 1)
    upper.suptitle(str(problem), fontsize=10)
    field(problem, result.x if x is None else x, ax=upper.subplots(1, 1 if flat else 3))
    convergence(curve, ax=lower.subplots())
    return figure


def training(history: Any, ax: Any = None) -> Any:
    """Draw the loss of every step, its running median, and the validation values.

    Parameters
    ----------
    history : sciml.learned.History
    ax : matplotlib axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        Before the first step.
    """
    loss = np.asarray(history.loss, dtype=float)
    if loss.size == 0:
        raise ValueError("history has no steps yet; expected at least one")
    if ax is None:
        ax = new_axes()
    steps = np.arange(1, loss.size + 1)
    window = max(1, loss.size // 100)
    ax.plot(steps, loss, color=COLOURS[0], alpha=0.3, linewidth=0.8, label="loss")
    if window > 1:
        starts = np.arange(0, loss.size - window + 1, window)
        smooth = [np.median(loss[s : s + window]) for s in starts]
        ax.plot(
            starts + window / 2, smooth, color=COLOURS[0], linewidth=1.6, label=f"median of {window} steps"
        )
    if history.validation:
        at, values = np.array(history.validation, dtype=float).T
        ax.plot(at, values, "o-", color=COLOURS[1], markersize=4, linewidth=1.2, label="validation")
        if history.best is not None:
            ax.plot(*history.best, "*", color=COLOURS[1], markersize=12, label="best", zorder=3)
    drawn = np.concatenate([loss, [v for _, v in history.validation]])
    if (drawn > 0).all() and drawn.max() > 3 * drawn.min():
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.legend(frameon=False, fontsize=9)
    tidy(ax)
    return ax


def save(drawing: Any, path: str | Path) -> None:
    """Save a figure, or the figure of axes; the suffix of `path` is the format.

    Raises
    ------
    ValueError
        For a suffix matplotlib cannot write.
    """
    check_format(path)
    figure = drawing
    while not hasattr(figure, "savefig"):  # axes may stand in a figure within a figure
        figure = figure.figure
    with replaced(path) as stream:
        figure.savefig(stream, dpi=160, format=Path(path).suffix.lstrip(".").lower())


def check_format(path: str | Path) -> None:
    """Raise `ValueError` unless the suffix of `path` is a format matplotlib can write."""
    suffix = Path(path).suffix.lstrip(".").lower()
    formats = new_figure((1, 1)).canvas.get_supported_filetypes()
    if suffix not in formats:
        raise ValueError(f"cannot write {os.fspath(path)!r}; expected one of ." + ", .".join(sorted(formats)))


def new_axes(size: tuple[float, float] = (6.0, 4.0)) -> Any:
    """Empty axes of a figure of their own, `size` in inches."""
    return new_figure(size).add_subplot()


def new_figure(size: tuple[float, float]) -> Any:
    """An empty figure, `size` in inches, that belongs to no window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "sciml[plot]"') from None
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _planes_of(problem: Any, values: np.ndarray) -> Callable[[int | None, int], np.ndarray]:
    """Planes of a grid function, solid cells masked."""
    shape = problem.grid.shape
    if values.size != np.prod(shape):
        raise ValueError(f"x has shape {values.shape}; expected {shape} or ({int(np.prod(shape))},)")
    values = values.reshape(shape)
    if problem.mask is not None:
        values = np.ma.masked_array(values, mask=problem.mask)
    return lambda axis, index: values if axis is None else values[(slice(None),) * axis + (index,)]


def _slices(
    grid: Any, plane: Callable[[int | None, int], np.ndarray]
) -> list[tuple[np.ndarray, tuple[str, str], tuple, str]]:
    """Planes with axis names, extents and titles."""
    names, lengths = "xyz", grid.lengths
    if len(grid.shape) == 2:
        return [(plane(None, 0), ("x", "y"), (0, lengths[0], 0, lengths[1]), "")]
    panels = []
    for normal in (2, 1, 0):
        a, b = (axis for axis in range(3) if axis != normal)
        middle = grid.shape[normal] // 2
        where = (middle + 0.5) * grid.spacing[normal]
        title = f"{names[normal]} = {where:.3g}"
        panels.append((plane(normal, middle), (names[a], names[b]), (0, lengths[a], 0, lengths[b]), title))
    return panels


def colour_range(planes: list[np.ndarray]) -> tuple[float, float, str]:
    """One scale for all panels: diverging and symmetric where both signs matter, sequential otherwise."""
    drawn = [np.ma.compressed(np.ma.masked_invalid(plane)) for plane in planes]
    everything = np.concatenate([d for d in drawn if d.size] or [np.zeros(1)])
    low, high = float(everything.min()), float(everything.max())
    if low < -0.1 * abs(high) and high > 0.1 * abs(low):
        limit = max(-low, high)
        return -limit, limit, "RdBu_r"
    return low, high if high > low else low + 1.0, "viridis"


def _panel_size(extent: tuple) -> tuple[float, float]:
    """Figure size that fits one plane of this extent and its colour bar."""
    ratio = min(max((extent[3] - extent[2]) / (extent[1] - extent[0]), 0.3), 1.5)
    return 5.6, 0.6 + 4.2 * ratio


def _stretched(extent: tuple) -> bool:
    width, height = extent[1] - extent[0], extent[3] - extent[2]
    return max(width, height) > 5 * min(width, height)


def tidy(ax: Any) -> None:
    """Leave out the frame above and to the right of what is drawn."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
