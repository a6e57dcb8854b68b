"""Running any time stepper: forecasts, trajectories, and what happens when a run blows up."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace

__all__ = ["BlowUpError", "forecast", "require_finite", "trajectory"]


class BlowUpError(RuntimeError):
    """A run reached values that are not finite."""


def forecast(stepper: Any, u: Array, steps: int, dt: float | None = None) -> Array:
    """The field `steps` time steps after `u`.

    Parameters
    ----------
    stepper : TimeStepper
    u : array
        A state, or a single field of a stepper with several time levels; leading axes are a batch.
    steps : int
    dt : float, optional
        ``stepper.dt`` by default.

    Returns
    -------
    array
        One field per run: of several time levels the last.
    """
    dt = stepper.dt if dt is None else dt
    levels = getattr(stepper, "levels", 1)
    space = len(stepper.state_shape) - (levels > 1)
    single = levels > 1 and tuple(u.shape[-space - 1 :]) != tuple(stepper.state_shape)
    with np.errstate(over="ignore", invalid="ignore"):  # blow-ups are the caller's to detect
        if hasattr(stepper, "run"):
            u = stepper.run(u, steps, dt)
        else:
            if single and steps > 0:
                u, steps = stepper.first_step(u, 0.0, dt), steps - 1
                single = False
            for i in range(steps):
                u = stepper.step(u, i * dt, dt)
    if levels == 1 or single:
        return u
    return u[(..., -1, *(slice(None) for _ in range(space)))]


def trajectory(stepper: Any, u: Array, steps: int, every: int = 1, dt: float | None = None) -> Array:
    """Fields along a run, the initial one first: shape ``(1 + steps // every, ..., *space)``.

    Raises
    ------
    BlowUpError
        If a field is not finite; the message says when.
    """
    dt = stepper.dt if dt is None else dt
    levels = getattr(stepper, "levels", 1)
    space = len(stepper.state_shape) - (levels > 1)
    last = (..., -1, *(slice(None) for _ in range(space)))
    xp = array_namespace(u)
    single = levels > 1 and tuple(u.shape[-space - 1 :]) != tuple(stepper.state_shape)
    kept = [u if levels == 1 or single else u[last]]
    with np.errstate(over="ignore", invalid="ignore"):
        for block in range(steps // every):
            remaining = every
            if single:
                u, remaining, single = stepper.first_step(u, 0.0, dt), every - 1, False
            if hasattr(stepper, "run") and remaining > 0:
                u = stepper.run(u, remaining, dt)
            else:
                for i in range(remaining):
                    u = stepper.step(u, (block * every + i) * dt, dt)
            kept.append(u if levels == 1 else u[last])
            require_finite(kept[-1], f"the run is not finite at t = {(block + 1) * every * dt:.4g}")
    return xp.stack(kept)


def require_finite(u: Array, message: str) -> Array:
    """`u` itself, or a `BlowUpError`."""
    xp = array_namespace(u)
    if not bool(xp.all(xp.isfinite(u))):
        raise BlowUpError(message)
    return u
