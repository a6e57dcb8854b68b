"""The solvers of a study: names, or tables with settings, weights and settings of the preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..measure.methods import Method, parse_methods
from .checks import check_keys, file_digest, keywords_of, named, text

__all__ = ["solver_of"]

RULES = {"A", "b", "x0", "M", "rtol", "atol", "maxiter", "callback", "on_failure"}
"""Parameters of solvers that a study sets itself; all others are keys of a solver's table."""


def solver_of(entry: Any, where: str, folder: Path) -> tuple[Method, dict[str, Any]]:
    """The method an entry of ``solvers`` means, and the entry in full.

    An entry is a name such as ``"cg+multigrid"``, or a table: ``method``, optional ``name``, ``weights`` (a
    file, or the name of shipped weights: the learned component becomes the preconditioner) or
    ``preconditioner`` (a table of its settings), and settings of the solver such as ``omega``.
    """
    table = {"method": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict):
        raise ValueError(f"{where} is {entry!r}; expected a name such as 'cg+jacobi', or a table with method")
    method = text(table, "method", where)
    with named(where):
        parsed = parse_methods(method, expand_amg=False)
    if len(parsed) != 1:
        raise ValueError(f"{where}: method is {method!r}; expected one method (list several as entries)")
    from ..solvers.registry import SOLVERS

    own = {"method", "name", "weights", "preconditioner"}
    known = set() if parsed[0].solver == "auto" else keywords_of(SOLVERS[parsed[0].solver]) - RULES
    check_keys(table, own | known, where)
    settings = {key: value for key, value in table.items() if key not in own}
    described = dict(table)
    factory = None
    if "weights" in table:
        factory, described["sha256"] = _learned(table, parsed[0], where, folder)
    elif "preconditioner" in table:
        factory = _with_settings(table["preconditioner"], parsed[0], where)
    name = text(table, "name", where, default=_default_name(method, table, settings))
    described["name"] = name
    return Method(name, parsed[0].solver, parsed[0].precond, settings, factory), described


def _learned(
    table: dict[str, Any], method: Method, where: str, folder: Path
) -> tuple[Callable[[Any], Any], str]:
    if method.precond is not None or method.solver == "auto" or "preconditioner" in table:
        raise ValueError(
            f"{where}: weights make the preconditioner; expected a method such as 'cg' without one"
        )
    from ..learned import load, load_weights, shipped, shipped_names

    name = text(table, "weights", where)
    path = shipped(name) if name in shipped_names() else folder / name
    with named(where):
        kind = load_weights(path).kind
        if kind not in ("dcd", "multigrid"):
            raise ValueError(f"weights hold a {kind!r} component; expected a preconditioner (dcd, multigrid)")
        component = load(path)
    # A network is put on the grid of A; learned multigrid is set up for A.
    return (component.on if hasattr(component, "on") else component), file_digest(path)


def _with_settings(settings: Any, method: Method, where: str) -> Callable[[Any], Any]:
    where = f"{where}: preconditioner"
    if not isinstance(settings, dict):
        raise ValueError(f"{where} is {settings!r}; expected a table of its settings")
    if method.precond is None:
        raise ValueError(f"{where} has settings, but the method names none; expected one such as 'cg+ssor'")
    from .. import preconditioners

    # Their entries in the registry load compiled kernels late and take any keyword.
    late = {"multigrid": "Multigrid", "learned-multigrid": "LearnedMultigrid"}
    make = preconditioners.PRECONDITIONERS[method.precond]
    if method.precond in late:
        make = getattr(preconditioners, late[method.precond])
    check_keys(settings, keywords_of(make) - {"A"}, where)
    return partial(make, **settings)


def _default_name(method: str, table: dict[str, Any], settings: dict[str, Any]) -> str:
    """``cg+multigrid (cycle = W)``: what sets an entry apart from the same method without settings."""
    marks = {**settings, **table.get("preconditioner", {})} if "weights" not in table else settings
    if "weights" in table:
        method = f"{method} + {Path(table['weights']).stem}"
    if not marks:
        return method
    return f"{method} ({', '.join(f'{key} = {value}' for key, value in marks.items())})"
