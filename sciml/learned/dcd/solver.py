"""Deep conjugate directions: search directions from a network, made conjugate to the last few."""

from __future__ import annotations

from typing import Any

from ...backends.namespace import Array
from ...operators import as_operator
from ...solvers.fcg import flexible
from ...solvers.iteration import Callback, run
from ...solvers.result import SolveResult

__all__ = ["dcd"]


def dcd(
    A: Any,
    b: Array,
    network: Any = None,
    *,
    x0: Array | None = None,
    M: Any = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
    memory: int = 2,
) -> SolveResult:
    """Solve ``A x = b`` with search directions from a trained network.

    In every iteration the network proposes a direction for the current residual; it is made A-orthogonal to
    the last `memory` directions, the step minimises the A-norm of the error along it, and the residual is
    recomputed as ``b − A x``. The error never grows in the A-norm, whatever the network returns.

    Parameters
    ----------
    A : operator or matrix
        Symmetric positive definite, or semidefinite with a compatible `b`.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
        Right-hand side; the columns of ``(n, k)`` are solved one after another.
    network : DCDNetwork or operator, optional
        Where directions come from. A `DCDNetwork` is put on the grid of `A` first, whatever grid it was
        trained on. Without one the residual itself is the direction, and the method is conjugate gradients.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : optional
        `network` under the name it has in every other solver; give one of the two.
    rtol, atol : float
        Stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``. Both zero: run exactly `maxiter` iterations.
    maxiter : int, optional
        Default ``min(10 n + 50, 10000)``.
    callback : callable, optional
        ``callback(state)`` after every iteration, see `IterationState`; returning True stops.
    on_failure : {"warn", "raise", "ignore"}
        What to do when the status is not a success.
    memory : int
        Directions kept, at least 1; each costs two vectors.

    Returns
    -------
    SolveResult

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    Notes
    -----
    This is flexible conjugate gradients, ``sciml.fcg(A, b, M=network, memory=2)``, with the
    residual recomputed instead of updated: one more product with `A` per iteration, and a residual that is
    always the true one.

    References
    ----------
    Kaneda, Akar, Chen, Kala, Hyde and Teran, A deep conjugate direction method for iteratively solving linear
    systems, ICML 2023, arXiv:2205.10763.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.dcd import dcd
    >>> result = dcd(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))
    >>> result.converged, result.iterations
    (True, 2)
    """
    iterate = flexible(memory, recompute=True)
    if network is not None and M is not None:
        raise TypeError("network and M are both given; expected one of them, they mean the same here")
    directions = M if network is None else network
    if hasattr(directions, "on"):
        A = as_operator(A)
        directions = directions.on(A)

    rules: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    return run("dcd", iterate, A, b, x0=x0, M=directions, on_failure=on_failure, **rules)
