"""A solver as an operator, so that solvers precondition solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array
from ..operators import BaseOperator, as_operator
from .registry import SOLVERS, prepare, split_method
from .result import SolveResult

__all__ = ["Inverse", "inverse"]

EXACT = ("splu", "fft")
FIXED_LINEAR = ("sor", "ssor", "multigrid")


class Inverse(BaseOperator):
    """``r -> x`` with ``A x = r``, solved anew at every application; made by `inverse`.

    Attributes
    ----------
    A : BaseOperator
    last : SolveResult or None
        The result of the latest application.
    """

    def __init__(
        self, A: Any, solver: Callable[..., SolveResult], label: str, properties: set[str], settings: dict
    ):
        super().__init__(A.in_shape, A.in_shape, A.dtype, properties)
        self.A, self.label, self._solver, self._settings = A, f"inverse({label})", solver, settings
        self.last: SolveResult | None = None

    def _apply(self, x: Array) -> Array:
        self.last = self._solver(self.A, x, **self._settings)
        return self.last.x

    def __repr__(self) -> str:
        return f"<{self.label} of {self.A!r}>"


def inverse(A: Any, method: str | Callable[..., SolveResult] = "cg", **settings: Any) -> Inverse:
    """The operator whose application solves with `A`.

    Parameters
    ----------
    A : operator or matrix
        Square.
    method : str or solver
        A name as in `sciml.solve`, ``"cg"``, ``"cg+amg"``, ``"splu"``, or anything called like ``cg(A, b)``.
    **settings
        Keywords of the solver, ``rtol`` or ``maxiter`` for instance. ``on_failure`` is ``"ignore"`` unless
        given: an inner solve is often meant to stop early, and the outer solver judges the result.

    Returns
    -------
    Inverse
        Declared linear only where it is: direct methods, and SOR, SSOR or multigrid with a fixed number of
        iterations (``rtol=0, atol=0``). Anything else stops by a tolerance and is not linear, so that `cg`
        becomes flexible with it by itself.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, or an `A` the method cannot be set up for.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg, inverse
    >>> A, b = PoissonOperator((48, 48)), np.ones((48, 48))
    >>> cg(A, b, M=inverse(A, "ssor", rtol=0, maxiter=3)).iterations < 0.5 * cg(A, b).iterations
    True
    """
    A = as_operator(A)
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"A has shape {A.shape}; expected a square operator")
    settings.setdefault("on_failure", "ignore")
    if not isinstance(method, str):
        if not callable(method):
            raise TypeError(f"method is a {type(method).__name__}; expected a name or a solver")
        return Inverse(A, method, getattr(method, "__name__", type(method).__name__), set(), settings)
    name, preconditioner = split_method(method)
    if preconditioner is not None and settings.get("M") is not None:
        raise TypeError(f"method is {method!r} and M is given too; expected one preconditioner")
    M, _ = prepare(name, A, preconditioner or settings.pop("M", None))
    settings["M"] = M
    fixed = settings.get("rtol") == 0 and settings.get("atol", 0.0) == 0
    properties = set()
    if name in EXACT or (name in FIXED_LINEAR and fixed):
        properties.add("linear")
        if "symmetric" in A.properties and (name == "ssor" or "symmetric" in getattr(M, "properties", ())):
            properties.add("symmetric")
            if name != "multigrid":  # cycles may overshoot, the others cannot
                properties |= A.properties & {"positive_definite", "positive_semidefinite"}
    return Inverse(A, SOLVERS[name], method, properties, settings)
