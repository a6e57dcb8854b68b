"""Running any time stepper: forecasts, trajectories, and what happens when a run blows up."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace

__all__ = ["BlowUpError", "forecast", "require_finite", "trajectory"]


class BlowUpError(RuntimeError):
    """A run reached values that are not finite."""


def forecast(stepper: Any, u: Array, steps: int, dt: float | None = None, *, state: bool = False) -> Array:
    """The field `steps` time steps after `u`.

    Parameters
    ----------
    stepper : TimeStepper
    u : array
        One field per run; leading axes are a batch. A stepper that keeps several time levels starts from a
        single field by its ``first_step``.
    steps : int
    dt : float, optional
        ``stepper.dt`` by default.
    state : bool
        `u` holds states of ``stepper.state_shape`` instead, with all time levels.

    Returns
    -------
    array
        One field per run: of several time levels the last.
    """
    dt = stepper.dt if dt is None else dt
    levels = getattr(stepper, "levels", 1)
    with np.errstate(over="ignore", invalid="ignore"):  # blow-ups are the caller's to detect
        if levels == 1 or state:
            u = _run(stepper, u, steps, dt)
            return _last_level(stepper, u)
        if hasattr(stepper, "run_from_field"):
            return stepper.run_from_field(u, steps, dt)
        if steps == 0:
            return u
        return _last_level(stepper, _run(stepper, stepper.first_step(u, 0.0, dt), steps - 1, dt))


def trajectory(stepper: Any, u: Array, steps: int, every: int = 1, dt: float | None = None) -> Array:
    """Fields along a run from single fields, the initial one first: ``(1 + steps // every, ..., *space)``.

    Raises
    ------
    BlowUpError
        If a field is not finite; the message says when.
    """
    dt = stepper.dt if dt is None else dt
    kept, several = [u], getattr(stepper, "levels", 1) > 1
    with np.errstate(over="ignore", invalid="ignore"):
        for block in range(steps // every):
            if block == 0 and several:
                u = _run(stepper, stepper.first_step(u, 0.0, dt), every - 1, dt)
            else:
                u = _run(stepper, u, every, dt)
            kept.append(_last_level(stepper, u))
            require_finite(kept[-1], f"the run is not finite at t = {(block + 1) * every * dt:.4g}")
    return array_namespace(u).stack(kept)


def _run(stepper: Any, u: Array, steps: int, dt: float) -> Array:
    """`steps` steps of a state, by the stepper's own loop where it has one."""
    if hasattr(stepper, "run"):
        return stepper.run(u, steps, dt)
    for i in range(steps):
        u = stepper.step(u, i * dt, dt)
    return u


def _last_level(stepper: Any, u: Array) -> Array:
    if getattr(stepper, "levels", 1) == 1:
        return u
    return u[(..., -1, *(slice(None) for _ in stepper.state_shape[1:]))]


def require_finite(u: Array, message: str) -> Array:
    """`u` itself, or a `BlowUpError`."""
    xp = array_namespace(u)
    if not bool(xp.all(xp.isfinite(u))):
        raise BlowUpError(message)
    return u
