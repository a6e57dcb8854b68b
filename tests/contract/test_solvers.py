"""Every registered solver against the public contract, and on every named system."""

from __future__ import annotations

import math

import numpy as np
import pytest
from libraries import Namespace, namespace_params
from systems import BOXES, GRID_SYSTEMS, PRECISIONS, SYSTEMS, dtypes_of

from sciml import PoissonOperator, inverse, solve
from sciml.backends.capabilities import supports
from sciml.backends.namespace import to_numpy
from sciml.solvers.registry import SOLVERS
from sciml.testing import SOLVER_CHECKS, check_preconditioner, check_solver
from sciml.testing.solvers import NOT_APPLICABLE

GRID_ONLY = {"fft", "multigrid"}
REAL_ONLY = {"minres", "fft", "multigrid"}


def refuses(solver: str, system: str, namespace: Namespace) -> bool:
    """Whether the combination is refused, as the documentation says."""
    if not supports(solver, namespace.library):
        return True
    if solver in GRID_ONLY and system not in GRID_SYSTEMS:
        return True
    if solver == "fft" and system not in BOXES:
        return True
    if solver in REAL_ONLY and system == "hermitian":
        return True
    # Natural order works on matrices, which only NumPy has compiled sweeps for.
    return solver in ("sor", "ssor") and system not in GRID_SYSTEMS and namespace.library != "numpy"


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("namespace", namespace_params())
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # NaN inside array-api-strict
def test_solver_keeps_the_contract(solver, namespace, dtype):
    system = "hermitian" if dtype == "complex128" else "poisson2d"
    if refuses(solver, system, namespace):
        pytest.skip("refused; see test_solver_on_system")
    skip = set(NOT_APPLICABLE.get(solver, ()))
    if refuses(solver, "dense", namespace):
        skip |= {"indefinite", "singular"}  # these are dense matrices
    assert check_solver(SOLVERS[solver], like=namespace.array([0.0]), dtype=dtype, skip=skip) == []


def solver_cases():
    """Readable ids such as ``poisson2d-cg-torch-float32``."""
    for system in SYSTEMS:
        for solver in SOLVERS:
            for namespace in namespace_params():
                for dtype in dtypes_of(system):
                    yield pytest.param(
                        system, solver, namespace.values[0], dtype,
                        id=f"{system}-{solver}-{namespace.id}-{dtype}", marks=namespace.marks,
                    )  # fmt: skip


@pytest.mark.parametrize(("system", "solver", "namespace", "dtype"), list(solver_cases()))
def test_solver_on_system(system, solver, namespace, dtype):
    A, b = SYSTEMS[system](namespace, dtype)
    rtol = PRECISIONS[dtype]
    if refuses(solver, system, namespace):
        with pytest.raises((TypeError, ValueError), match=r"expect|runs on|only|NumPy"):
            SOLVERS[solver](A, b, rtol=rtol)
        return
    result = SOLVERS[solver](A, b, rtol=rtol, maxiter=20_000, on_failure="raise")
    assert result.converged
    # An independent judge: the matrix, in double precision.
    matrix = A.astype("complex128" if dtype == "complex128" else "float64").tocsr()
    right = to_numpy(b).reshape(-1).astype(matrix.dtype)
    residual = np.linalg.norm(right - matrix @ to_numpy(result.x).reshape(-1))
    assert residual <= 1.001 * rtol * np.linalg.norm(right)
    # On a singular system the solver removes from b what no x can reach, and rounds it.
    rounding = np.finfo(dtype).eps * np.linalg.norm(right)
    close = max(rounding, 1e-6 * result.tolerance)
    assert math.isclose(residual, result.residual_norm, rel_tol=1e-3, abs_tol=close)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_automatic_choice_keeps_the_contract(dtype):
    # It may choose a direct method, which ends before the callback could stop it.
    assert check_solver(solve, dtype=dtype, skip={"callback_stop"}) == []


INVERSES = {
    "cg": {},
    "cg+multigrid": {"rtol": 1e-3},
    "splu": {},
    "fft": {},
    "sor": {"rtol": 0, "maxiter": 5},
    "ssor": {"rtol": 0, "maxiter": 4},
    "multigrid": {"rtol": 0, "maxiter": 2},
}


@pytest.mark.parametrize("method", INVERSES)
def test_a_solver_as_an_operator_keeps_the_contract_of_preconditioners(method):
    A = PoissonOperator((6, 5))
    assert check_preconditioner(inverse(A, method, **INVERSES[method]), A) == []


LARGE = {"cg", "fcg", "multigrid", "fft"}
"""Solvers quick enough for 512 x 512 unknowns in a test."""


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_float32_never_claims_what_it_does_not_reach(solver, library):
    """Poisson with ``b = 1``: here a recurrence alone claims a residual thousands of times too small."""
    if not supports(solver, library):
        pytest.skip(f"{solver} does not run on {library}")
    size = 512 if solver in LARGE and library == "numpy" else 64
    namespace = Namespace(library, library)
    A = PoissonOperator((size, size), dtype="float32", **namespace.operator_settings)
    b = namespace.array(np.ones((size, size)), "float32")
    result = SOLVERS[solver](A, b, rtol=1e-6, maxiter=300, on_failure="ignore")
    x = to_numpy(result.x).astype("float64").reshape(A.in_shape)
    right = np.ones((size, size))
    residual = np.linalg.norm(right - PoissonOperator((size, size)) @ x)
    assert result.residual_norm == pytest.approx(residual, rel=1e-3)
    assert result.converged == (result.residual_norm <= 1e-6 * size)


def test_every_solver_has_a_row_in_the_capability_table():
    assert all(supports(solver, "numpy") for solver in SOLVERS)


def test_skipped_checks_exist():
    assert set(SOLVERS) >= set(NOT_APPLICABLE)
    assert set(SOLVER_CHECKS) >= set().union(*NOT_APPLICABLE.values())
