"""The capability table agrees with the registries, and its error texts name what works."""

import importlib.util
from pathlib import Path

import pytest

from sciml.backends.capabilities import BACKENDS, CAPABILITIES, require, supported, supports


def test_table_names_what_the_registries_hold():
    from sciml.preconditioners import PRECONDITIONERS
    from sciml.solvers.registry import SOLVERS

    assert set(supported("solver", "numpy")) == set(SOLVERS)
    assert set(supported("preconditioner", "numpy")) == set(PRECONDITIONERS)


def test_every_entry_is_well_formed():
    for name, capability in CAPABILITIES.items():
        assert capability.kind == ("preconditioner" if name.startswith("M:") else "solver")
        assert capability.backends <= set(BACKENDS)
        assert "numpy" in capability.backends


def test_require_says_what_works_instead():
    require("cg", "cupy")
    require("M:jacobi", "torch")
    with pytest.raises(TypeError, match="solver splu runs on numpy arrays, not torch; on torch use cg, fcg"):
        require("splu", "torch")
    with pytest.raises(TypeError, match="jax is not a known array library"):
        require("cg", "jax")


def _solve(kind, name, backend):
    import sciml
    from sciml.preconditioners import PRECONDITIONERS
    from sciml.problems import poisson
    from sciml.solvers.registry import SOLVERS

    problem = poisson((12, 12), backend=backend)
    if kind == "solver":
        return SOLVERS[name](problem.A, problem.b, rtol=1e-4, on_failure="ignore")
    return sciml.cg(problem.A, problem.b, M=PRECONDITIONERS[name](problem.A), rtol=1e-4, on_failure="ignore")


@pytest.mark.parametrize("backend", ["numpy", "torch", "array-api-strict"])
@pytest.mark.parametrize("entry", CAPABILITIES)
def test_the_table_tells_the_truth(entry, backend):
    pytest.importorskip(backend.replace("-", "_"))
    kind, name = CAPABILITIES[entry].kind, entry.removeprefix("M:")
    if supports(entry, backend):
        assert _solve(kind, name, backend).converged
    else:
        with pytest.raises(TypeError):
            _solve(kind, name, backend)


def test_the_documentation_shows_exactly_the_table(tmp_path):
    """The page is generated: every entry once, a tick where it runs, and the guide includes it."""
    docs = Path(__file__).parents[2] / "docs"
    spec = importlib.util.spec_from_file_location("capability_table", docs / "capability_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(tmp_path)
    kind, shown = "", {}
    header, _, *lines = (tmp_path / "generated" / "capabilities.md").read_text().splitlines()
    assert [cell.strip() for cell in header.split("|")[2:-2]] == list(BACKENDS)
    for line in lines:
        name, *marks, note = (cell.strip() for cell in line.split("|")[1:-1])
        if name.startswith("**"):
            kind = "M:" if "preconditioner" in name else ""
            continue
        assert set(marks) <= {"✓", "–"}
        ticked = {backend for backend, mark in zip(BACKENDS, marks, strict=True) if mark == "✓"}
        shown[kind + name.strip("`")] = (ticked, note)
    assert shown == {name: (set(c.backends), c.note) for name, c in CAPABILITIES.items()}
    assert "{include} generated/capabilities.md" in (docs / "which_solver.md").read_text()
