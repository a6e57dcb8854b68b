"""From a weight file to the component it belongs to."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ..weights import KINDS, check_kind, load_weights, shipped, shipped_names

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Any:
    """Rebuild the trained component a weight file holds, whatever its kind.

    Parameters
    ----------
    path : path
        A file, or the name of shipped weights (see `shipped_names`).

    Returns
    -------
    The component: a network, a preconditioner factory, a field, a solver.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_weights`.
    """
    name = str(path)
    weights = load_weights(shipped(name) if name in shipped_names() else path)
    check_kind(weights.kind, weights.source)
    module, attribute = KINDS[weights.kind].split(":")
    return getattr(import_module(module), attribute).from_weights(weights)
