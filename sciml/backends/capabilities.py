"""What runs where: the one table behind the documentation, ``sciml info``, the tests and the error texts."""

from __future__ import annotations

from dataclasses import dataclass

from .namespace import Array, backend_name, is_array

__all__ = ["BACKENDS", "CAPABILITIES", "Capability", "require", "require_array", "supported", "supports"]

BACKENDS = ("numpy", "torch", "cupy", "array-api-strict")
"""Array libraries; array-api-strict stands in the tests for any other library of the standard."""

_ALL = frozenset(BACKENDS)
_CPU = frozenset({"numpy"})
_SPARSE = frozenset({"numpy", "torch", "cupy"})  # libraries with sparse matrices


@dataclass(frozen=True)
class Capability:
    """Where one solver or preconditioner runs.

    Attributes
    ----------
    kind : {"solver", "preconditioner"}
    backends : frozenset of str
    note : str
        A restriction within those backends, for the documentation.
    """

    kind: str
    backends: frozenset[str]
    note: str = ""


CAPABILITIES: dict[str, Capability] = {
    "cg": Capability("solver", _ALL),
    "fcg": Capability("solver", _ALL),
    "sor": Capability("solver", _ALL, "red-black on grids everywhere; natural order on matrices: numpy"),
    "ssor": Capability("solver", _ALL, "red-black on grids everywhere; natural order on matrices: numpy"),
    "multigrid": Capability("solver", _SPARSE, "structured grids"),
    "gmres": Capability("solver", _CPU),
    "minres": Capability("solver", _CPU),
    "bicgstab": Capability("solver", _CPU),
    "splu": Capability("solver", _CPU),
    "fft": Capability("solver", _CPU, "boxes"),
    "M:jacobi": Capability("preconditioner", _ALL),
    "M:ssor": Capability("preconditioner", _CPU),
    "M:ic0": Capability("preconditioner", _CPU),
    "M:mic0": Capability("preconditioner", _CPU, "structured grids"),
    "M:fft": Capability("preconditioner", _CPU, "structured grids"),
    "M:amg": Capability("preconditioner", _CPU),
    "M:amg-sa": Capability("preconditioner", _CPU),
    "M:amg-rs": Capability("preconditioner", _CPU),
    "M:multigrid": Capability("preconditioner", _SPARSE, "structured grids"),
    "M:learned-multigrid": Capability("preconditioner", _SPARSE, "structured grids"),
    "M:lu": Capability("preconditioner", _CPU),
}
"""Solvers by their name, preconditioners as ``M:name`` (some names are both)."""


def supports(name: str, backend: str) -> bool:
    """Whether `name` (a solver, or ``M:name`` for a preconditioner) runs on arrays of `backend`."""
    return backend in CAPABILITIES[name].backends


def supported(kind: str, backend: str) -> list[str]:
    """Names of all solvers or preconditioners that run on `backend`, without the ``M:``."""
    return [
        name.removeprefix("M:")
        for name, capability in CAPABILITIES.items()
        if capability.kind == kind and backend in capability.backends
    ]


def require(name: str, backend: str) -> None:
    """Raise `TypeError` naming what does work, unless `name` runs on `backend`.

    Parameters
    ----------
    name : str
        A solver, or ``M:name`` for a preconditioner.
    backend : str
        As `sciml.backends.namespace.backend_name` names it.

    Examples
    --------
    >>> from sciml.backends.capabilities import require
    >>> require("cg", "torch")
    >>> require("M:amg", "array-api-strict")
    Traceback (most recent call last):
        ...
    TypeError: preconditioner amg runs on numpy arrays, not array-api-strict; on array-api-strict use jacobi
    """
    capability = CAPABILITIES[name]
    if backend in capability.backends:
        return
    works = ", ".join(b for b in BACKENDS if b in capability.backends)
    instead = ", ".join(supported(capability.kind, backend))
    advice = f"on {backend} use {instead}" if instead else f"{backend} is not a known array library"
    raise TypeError(
        f"{capability.kind} {name.removeprefix('M:')} runs on {works} arrays, not {backend}; {advice}"
    )


def require_array(name: str, x: Array) -> None:
    """`require` for the library of the array `x`; what is no array is left to the caller's own checks."""
    if is_array(x):
        require(name, backend_name(x))
