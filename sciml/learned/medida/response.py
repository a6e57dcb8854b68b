"""One-step regression: what the model's own step makes of each candidate term."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...problems.forecast import BlowUpError, forecast
from .library import Library
from .snapshots import Snapshots

__all__ = ["direct_columns", "misfit", "response_columns"]


def misfit(model: Any, observations: Snapshots, steps: int) -> np.ndarray:
    """``(observed − forecast) / window``, shape ``(n, *space)``: the mean tendency the model lacks.

    Raises
    ------
    BlowUpError
        If a forecast is not finite; the message says of which pair.
    """
    reached = forecast(model, observations.before, steps, state=observations.has_levels)
    bad = ~np.isfinite(reached).reshape(len(reached), -1).all(axis=1)
    if bad.any():
        raise BlowUpError(
            f"the forecast from snapshot pair {int(np.argmax(bad))} is not finite ({int(bad.sum())} of "
            f"{len(bad)} pairs); expected a model that runs over the window of {observations.window:g}"
        )
    return (observations.after - reached) / observations.window


def response_columns(model: Any, observations: Snapshots, library: Library) -> np.ndarray:
    """The change of one step's result per unit of time due to each term: ``(terms, n, *space)``.

    A term is known at both ends of the step, from the observations. What a step of the model makes of such a
    forcing is ``model.response(before, after, dt)`` where the model offers it (`sciml.problems.CNAB2` does);
    of any other, the mean of the forcing at the end, and of the forcing at the start carried over the step
    by finite differences.
    """
    grid = getattr(model, "grid", None)
    start = library.evaluate(observations.current, grid)
    end = library.evaluate(observations.after, grid)
    dt = observations.window
    if hasattr(model, "response"):
        return np.stack([model.response(a, b, dt) for a, b in zip(start, end, strict=True)])
    levels = observations.has_levels
    base = forecast(model, observations.before, 1, state=levels)
    scale = float(np.std(observations.current))
    columns = []
    for a, b in zip(start, end, strict=True):
        step = 1e-6 * scale / max(float(np.sqrt(np.mean(a**2))), 1e-12 * scale)
        moved = observations.before + step * (a[:, None] if levels else a)
        columns.append(0.5 * ((forecast(model, moved, 1, state=levels) - base) / step + b))
    return np.stack(columns)


def direct_columns(model: Any, observations: Snapshots, library: Library, scheme: str) -> np.ndarray:
    """The terms themselves on the later snapshots, as the published method takes them."""
    return library.evaluate(observations.after, getattr(model, "grid", None), scheme)
