"""What importing sciml costs: no torch, no matplotlib, no plotting, no command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sciml

HEAVY = ("torch", "matplotlib", "cupy", "pyamg", "typer", "rich", "numba", "scipy.sparse.linalg", "pandas")


def modules_after(code: str) -> set[str]:
    """Names of the modules loaded by `code` in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.fixture(scope="module")
def after_import() -> set[str]:
    return modules_after("import sciml")


@pytest.mark.parametrize("module", HEAVY)
def test_import_does_not_load(module, after_import):
    assert module not in after_import


@pytest.mark.parametrize("module", ["torch", "matplotlib", "cupy", "pyamg", "typer"])
def test_a_first_solve_does_not_load(module, first_solve):
    assert module not in first_solve


@pytest.fixture(scope="module")
def first_solve() -> set[str]:
    return modules_after(
        "import numpy as np, sciml\n"
        "A = sciml.PoissonOperator((4, 4))\n"
        "assert sciml.cg(A, np.ones((4, 4))).converged"
    )


def test_heavy_libraries_would_be_seen():
    """The test above can fail: a module that is imported shows up."""
    assert "matplotlib" in modules_after("import matplotlib")


@pytest.mark.parametrize("name", sciml.__all__)
def test_public_name_exists(name):
    assert getattr(sciml, name) is not None
    assert name in dir(sciml)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sciml' has no attribute 'sovle'"):
        sciml.sovle  # noqa: B018
