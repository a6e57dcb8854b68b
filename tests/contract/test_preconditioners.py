"""Every registered preconditioner against the public contract, on every named system it takes."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import Namespace, namespace_params
from systems import BOXES, GRID_SYSTEMS, PRECISIONS, SYSTEMS, dtypes_of

from sciml import cg
from sciml.backends.capabilities import supports
from sciml.preconditioners import PRECONDITIONERS, make_preconditioner
from sciml.testing import check_preconditioner

GRID_ONLY = {"mic0", "fft", "multigrid", "learned-multigrid"}
REAL_ONLY = {"amg-rs", "ic0", "mic0", "fft", "multigrid", "learned-multigrid"}


def refuses(name: str, system: str, namespace: Namespace) -> bool:
    """Whether the combination is refused with a TypeError, as the documentation says."""
    if not supports(f"M:{name}", namespace.library):
        return True
    if name in GRID_ONLY and system not in GRID_SYSTEMS:
        return True
    return name in REAL_ONLY and system == "hermitian"


def cases():
    for system in SYSTEMS:
        for name in PRECONDITIONERS:
            for namespace in namespace_params():
                for dtype in dtypes_of(system):
                    yield pytest.param(
                        system, name, namespace.values[0], dtype,
                        id=f"{system}-{name}-{namespace.id}-{dtype}", marks=namespace.marks,
                    )  # fmt: skip


@pytest.mark.parametrize(("system", "name", "namespace", "dtype"), list(cases()))
def test_preconditioner_keeps_the_contract(system, name, namespace, dtype):
    A, b = SYSTEMS[system](namespace, dtype)
    if refuses(name, system, namespace):
        with pytest.raises(TypeError, match=r"expect|runs on|only|NumPy"):
            make_preconditioner(name, A) @ b
        return
    M = make_preconditioner(name, A)
    assert check_preconditioner(M, A, like=b) == []
    result = cg(A, b, M=M, rtol=PRECISIONS[dtype], on_failure="raise")
    assert result.converged
    if name == "fft" and system in BOXES:
        assert result.iterations <= 2  # exact up to rounding


@pytest.mark.parametrize("name", PRECONDITIONERS)
def test_repr_is_informative(name):
    A, _ = SYSTEMS["poisson2d"](Namespace("numpy", "numpy"), "float64")
    text = repr(make_preconditioner(name, A))
    assert "object at 0x" not in text
    assert "64" in text or "8x8" in text  # its size


@pytest.mark.parametrize("name", PRECONDITIONERS)
@pytest.mark.parametrize("A", [np.ones((3, 4)), "matrix"], ids=["wide", "string"])
def test_bad_operators_are_refused(name, A):
    with pytest.raises((TypeError, ValueError), match=r"\bA\b"):
        make_preconditioner(name, A)


def test_every_preconditioner_has_a_row_in_the_capability_table():
    assert all(supports(f"M:{name}", "numpy") for name in PRECONDITIONERS)
