"""`solve`: chooses a solver and a preconditioner by what the operator is, and says which and why."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.capabilities import supports
from ..backends.namespace import Array, array_namespace, backend_name, is_array, is_complex, is_numpy
from ..operators import MatrixOperator, PoissonOperator, as_operator
from ..preconditioners import FFT, LU, PRECONDITIONERS
from ..preconditioners.unknowns import is_hermitian
from .iteration import ON_FAILURE, Callback, report
from .registry import SOLVERS, prepare, split_method
from .result import SolveResult, Status

__all__ = ["solve"]

SMALL = 2_000
"""Up to this many unknowns a sparse factorisation takes milliseconds."""

FACTORISABLE = 100_000
"""Up to this many unknowns a factorisation is worth trying when iterations fail."""

MANY_ENTRIES = 2_000_000
"""Beyond this many entries a matrix is too dense to factorise on suspicion."""


ENGINES = {"petsc": "sciml.distributed"}
"""Packages with a ``solve`` of the same arguments, by the name of the engine. They lie above this one, so
they are named here and loaded only when asked for."""


@dataclass(frozen=True)
class Candidate:
    """One thing to try: a solver by name, its preconditioner (name, operator or None), and why."""

    solver: str
    M: Any
    reason: str


def solve(
    A: Any,
    b: Array,
    *,
    method: str = "auto",
    x0: Array | None = None,
    M: Any = "auto",
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    on_failure: str = "warn",
    engine: str | None = None,
    **settings: Any,
) -> SolveResult:
    """Solve ``A x = b`` by the method that fits `A`.

    Parameters
    ----------
    A : operator or matrix
        Square; anything `as_operator` takes.
    b : array of shape ``(n,)``, ``A.in_shape`` or ``(n, k)``
    method : str
        ``"auto"``, or a name from ``sciml.solvers.registry.SOLVERS``, with a preconditioner from
        ``sciml.preconditioners.PRECONDITIONERS`` as in ``"cg+multigrid"``.
    x0 : array like `b`, optional
        Initial guess; zero by default.
    M : str, operator or None
        Preconditioner: a name, an operator, None for none. ``"auto"`` leaves it to `method`.
    rtol, atol, maxiter, callback, on_failure
        As in `sciml.cg`.
    engine : str, optional
        ``"petsc"`` solves on all ranks of an MPI job, see `sciml.distributed.solve`.
    **settings
        Further keywords of a method chosen by name, ``omega`` or ``restart`` for instance.

    Returns
    -------
    SolveResult
        ``info["choice"]`` says in a sentence what was chosen and why, including what was tried before;
        ``info["setup_seconds"]`` what the set-up of the preconditioner took.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, before any work starts.

    Notes
    -----
    ``"auto"`` takes fast transforms for boxes with constant coefficients, multigrid-preconditioned CG for
    other Poisson operators, a sparse factorisation for small matrices, AMG-preconditioned CG for Hermitian
    matrices with positive diagonal, MINRES for other symmetric ones and a factorisation or GMRES for the
    rest. Where the first choice fails and `maxiter` was left open, the next one is tried.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, solve
    >>> result = solve(PoissonOperator((32, 32)), np.ones((32, 32)))
    >>> print(result.info["choice"])
    fft: A is an empty box with constant coefficients, which fast transforms solve in one application
    """
    if engine is not None:
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; expected None or one of {', '.join(ENGINES)}")
        elsewhere = importlib.import_module(ENGINES[engine]).solve
        rules = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
        return elsewhere(A, b, method=method, x0=x0, M=M, on_failure=on_failure, **rules, **settings)
    A = as_operator(A)
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"A has shape {A.shape}; expected a square operator")
    if not is_array(b):
        raise TypeError(f"b is a {type(b).__name__}; expected an array (NumPy, CuPy, torch)")
    if isinstance(M, str) and M != "auto" and M not in PRECONDITIONERS:
        raise ValueError(
            f"M is {M!r}; expected 'auto', None, one of {', '.join(PRECONDITIONERS)}, or an operator"
        )
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure is {on_failure!r}; expected one of {', '.join(ON_FAILURE)}")
    common = {"x0": x0, "rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    if method != "auto":
        candidate = _named(method, M)
        named = _try(candidate, A, b, common | settings)
        named.info["choice"] = f"{method}: named by the caller"
        return report(named, on_failure)
    if settings:
        raise TypeError(f"settings {sorted(settings)} need a named method; method='auto' takes none")
    if "linear" not in A.properties:
        raise TypeError("A does not declare itself linear; solve expects a linear operator")
    tried: list[str] = []
    result: SolveResult | None = None
    for candidate in _candidates(A, b, M):
        try:
            attempt = _try(candidate, A, b, common)
        except _Unfit as reason:
            tried.append(f"{_label(candidate)}: {candidate.reason}, but {reason}")
            continue
        tried.append(f"{_label(candidate)}: {candidate.reason}")
        if result is None or attempt.residual_norm < result.residual_norm or attempt.status.succeeded:
            result = attempt
        if attempt.status.succeeded or attempt.status is Status.STOPPED or maxiter is not None:
            break
        tried[-1] += f", which {attempt.status.value.split(':')[0]}"
    assert result is not None
    result.info["choice"] = "; then ".join(tried)
    return report(result, on_failure)


class _Unfit(Exception):  # noqa: N818  (a signal, not an error)
    """The set-up shows that a candidate does not fit; the message says why."""


def _label(candidate: Candidate) -> str:
    if candidate.M is None or candidate.solver in ("fft", "splu"):
        return candidate.solver
    return (
        f"{candidate.solver} + {candidate.M if isinstance(candidate.M, str) else type(candidate.M).__name__}"
    )


def _named(method: str, M: Any) -> Candidate:
    if not isinstance(method, str):
        raise TypeError(f"method is a {type(method).__name__}; expected a name such as 'cg' or 'auto'")
    solver, preconditioner = split_method(method)
    if preconditioner is None:
        return Candidate(solver, None if isinstance(M, str) and M == "auto" else M, "")
    if preconditioner not in PRECONDITIONERS:
        raise ValueError(
            f"method is {method!r}; expected one of {', '.join(PRECONDITIONERS)} after the plus sign"
        )
    if not (isinstance(M, str) and M == "auto"):
        raise TypeError(f"method is {method!r} and M is given too; expected one preconditioner")
    return Candidate(solver, preconditioner, "")


def _try(candidate: Candidate, A: Any, b: Array, settings: dict[str, Any]) -> SolveResult:
    chosen_here = bool(candidate.reason)
    try:
        M, seconds = prepare(candidate.solver, A, candidate.M)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        if not chosen_here or candidate.solver == "fft":
            raise
        raise _Unfit(str(error)) from None
    if chosen_here and isinstance(M, LU) and M.smallest_pivot < 1e-14:
        raise _Unfit("A is singular to working precision")
    result = SOLVERS[candidate.solver](A, b, M=M, on_failure="ignore", **settings)
    result.info["setup_seconds"] = seconds
    return result


def _candidates(A: Any, b: Array, M: Any) -> Iterator[Candidate]:
    """What fits `A`, the best first."""
    if not (isinstance(M, str) and M == "auto"):
        yield from _krylov(A, b, M)
    elif isinstance(A, PoissonOperator):
        yield from _for_poisson(A, b)
    elif isinstance(A, MatrixOperator) and is_numpy(b):
        yield from _for_matrix(A, b)
    else:
        yield from _krylov(A, b, "jacobi" if not is_numpy(b) and _has_diagonal(A) else None)


def _for_poisson(A: PoissonOperator, b: Array) -> Iterator[Candidate]:
    if not is_numpy(b):
        name = "multigrid" if supports("M:multigrid", backend_name(b)) else "jacobi"
        yield Candidate("cg", name, f"A is a Poisson operator, and this runs on {backend_name(b)} arrays")
        return
    transforms = FFT(A)
    if transforms.exact:
        reason = (
            "A is an empty box with constant coefficients, which fast transforms solve in one application"
        )
        yield Candidate("fft", transforms, reason)
        return
    what = "A is a Poisson operator with obstacles or variable coefficients"
    if not is_complex(b):
        yield Candidate("cg", "multigrid", what)
    yield Candidate("cg", "mic0", what)


def _for_matrix(A: MatrixOperator, b: np.ndarray) -> Iterator[Candidate]:
    csr = A.tocsr()
    n = csr.shape[0]
    factorisable = n <= FACTORISABLE and csr.nnz <= MANY_ENTRIES
    small = n <= SMALL and factorisable
    if small:
        yield Candidate("splu", None, f"A is a small matrix ({n} unknowns), quickly factorised")
    hermitian = is_hermitian(A, csr)
    if hermitian and bool(np.all(csr.diagonal().real > 0)):
        what = "A is Hermitian with a positive diagonal"
        if importlib.util.find_spec("pyamg") is not None:
            yield Candidate("cg", "amg", what)
        elif csr.dtype.kind != "c":
            yield Candidate("cg", "ic0", f"{what}, and PyAMG is not installed")
        else:
            yield Candidate("cg", "jacobi", f"{what}, and PyAMG is not installed")
        if factorisable and not small:
            yield Candidate("splu", None, "iterations failed and A is small enough to factorise")
        if not (is_complex(b) or csr.dtype.kind == "c"):
            yield Candidate("minres", None, "A is symmetric")
    elif hermitian and not (is_complex(b) or csr.dtype.kind == "c"):
        yield Candidate("minres", None, "A is symmetric but not positive definite")
        if factorisable and not small:
            yield Candidate("splu", None, "iterations failed and A is small enough to factorise")
    else:
        what = "A is Hermitian but not positive definite" if hermitian else "A is not Hermitian"
        if factorisable and not small:
            yield Candidate("splu", None, f"{what} and small enough to factorise")
        yield Candidate("gmres", None, what)


def _krylov(A: Any, b: Array, M: Any) -> Iterator[Candidate]:
    """Krylov methods by declared properties, with the preconditioner given."""
    symmetric = "symmetric" in A.properties
    definite = "positive_semidefinite" in A.properties
    if isinstance(A, MatrixOperator) and is_numpy(b) and not symmetric:
        csr = A.tocsr()
        symmetric = is_hermitian(A, csr)
        definite = symmetric and bool(np.all(csr.diagonal().real > 0))
    real_numpy = is_numpy(b) and not is_complex(b) and A.dtype.kind != "c"
    if symmetric and (definite or not is_numpy(b)):
        yield Candidate("cg", M, "A is Hermitian" + (" with no sign of being indefinite" if definite else ""))
        if real_numpy:
            yield Candidate("minres", M, "A is symmetric")
    elif symmetric and real_numpy:
        yield Candidate("minres", M, "A is symmetric and does not declare itself positive definite")
    elif is_numpy(b):
        yield Candidate("gmres", M, "A does not declare itself symmetric")
    else:
        reason = (
            f"the method that runs on {backend_name(b)} arrays; A is taken to be Hermitian positive definite"
        )
        yield Candidate("cg", M, reason)


def _has_diagonal(A: Any) -> bool:
    try:
        diagonal = A.diagonal()
    except NotImplementedError:
        return False
    return not bool(array_namespace(diagonal).any(diagonal == 0))
