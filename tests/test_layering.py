"""Imports point downward only: a module may use what lies below it in the list, never above.

The rule holds for lazy imports inside functions too. The one allowed exception: a result plots itself, so
`sciml.solvers.result` imports `sciml.plotting` inside ``plot()``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sciml

ROOT = Path(sciml.__file__).parent
LAYERS = [
    {"cli"},
    {"distributed", "selftest"},
    {"study"},
    {"measure", "testing", "tuning", "learned", "plotting"},
    {"problems", "io"},
    {"solvers"},
    {"preconditioners"},
    {"operators"},
    {"backends"},
    {"weights"},
    {"files"},
]
"""From the top down. Packages of one layer may use each other."""

EXCEPTIONS = {("sciml.solvers.result", "plotting")}
FREE = {"sciml", "_version"}
"""The package itself (lazy names) and its version, which every layer may read."""


def layer_of(part: str) -> int:
    for depth, parts in enumerate(LAYERS):
        if part in parts:
            return depth
    raise LookupError(f"sciml.{part} stands in no layer; add it to LAYERS in this test and to the design")


def module_name(path: Path) -> str:
    parts = ["sciml", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_parts(source: str, module: str, is_package: bool) -> set[str]:
    """First-level parts of sciml that a module imports anywhere, relative or absolute, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join(package + ([base] if base else []))
            targets = [f"{base}.{alias.name}" for alias in node.names] if base == "sciml" else [base]
        else:
            continue
        for target in targets:
            parts = target.split(".")
            if parts[0] == "sciml":
                found.add(parts[1] if len(parts) > 1 else "sciml")
    return found


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[module_name(p) for p in MODULES])
def test_imports_point_downward(path):
    module = module_name(path)
    if module in ("sciml", "sciml.__main__"):
        return  # the package names all its parts, lazily
    own = layer_of(module.split(".")[1]) if module != "sciml._version" else len(LAYERS)
    for part in imported_parts(path.read_text(), module, path.name == "__init__.py") - FREE:
        if not (ROOT / part).exists() and not (ROOT / f"{part}.py").exists():
            continue  # a public name taken from the package
        assert layer_of(part) >= own or (module, part) in EXCEPTIONS, (
            f"{module} imports sciml.{part}, which lies above it"
        )


def test_no_module_takes_names_from_the_package_itself():
    """``from sciml import x`` inside the package would hide the layer `x` comes from."""
    offenders = [
        module_name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "sciml"
        and node.level == 0
        and not module_name(path).startswith(("sciml.cli", "sciml.distributed"))
    ]
    assert offenders == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ..solvers import cg", {"solvers"}),
        ("from ..solvers.cg import cg", {"solvers"}),
        ("from .. import solvers", {"solvers"}),
        ("from .adapt import as_operator", {"operators"}),
        ("import sciml.learned.dcd", {"learned"}),
        ("from sciml.learned import dcd", {"learned"}),
        ("from sciml import problems", {"problems"}),
        ("def f():\n    from ..plotting import field", {"plotting"}),
        ("if TYPE_CHECKING:\n    from ..tuning import bandit", {"tuning"}),
        ("import numpy", set()),
        ("from scipy.sparse import linalg", set()),
    ],
)
def test_imports_are_found(source, expected):
    """The reader of imports sees every form, so that the rule above can fail."""
    assert imported_parts(source, "sciml.operators.algebra", is_package=False) == expected


def test_backends_at_the_bottom_and_the_command_line_on_top():
    assert layer_of("backends") > layer_of("operators") > layer_of("preconditioners") > layer_of("solvers")
    assert layer_of("solvers") > layer_of("problems") > layer_of("learned") > layer_of("cli")
