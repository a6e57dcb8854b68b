"""Linear systems, PDEs and linear inverse problems in which learned components are operators.

Public names are loaded on first use, so ``import sciml`` loads neither torch nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._version import __version__

_PUBLIC = {
    "operators": (
        "BaseOperator",
        "Block",
        "CallableOperator",
        "Identity",
        "PoissonOperator",
        "SaddlePoint",
        "Sense",
        "Wavelet",
        "WaveletL1",
        "as_operator",
        "constrained_qp",
        "matrix_game",
    ),
    "solvers": (
        "IterationState",
        "SolveResult",
        "SolverError",
        "SolverWarning",
        "Status",
        "bicgstab",
        "cg",
        "eag",
        "extragradient",
        "fast_poisson",
        "fcg",
        "forward_backward",
        "gmres",
        "halpern",
        "inverse",
        "minres",
        "multigrid",
        "projected_multigrid",
        "projected_sor",
        "solve",
        "sor",
        "splu",
        "ssor",
        "vr_extragradient",
    ),
    "tuning": ("tuned",),
}
_MODULES = (
    "backends",
    "distributed",
    "io",
    "learned",
    "operators",
    "plotting",
    "preconditioners",
    "problems",
    "solvers",
    "study",
    "testing",
    "tuning",
)
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
