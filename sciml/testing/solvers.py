"""Contract checks for solvers: the skeleton every solver of `sciml` is tested with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, backend_name, dtype_name, norm2, to_numpy
from ..operators import CallableOperator, PoissonOperator, as_operator
from ..solvers import SolverError, SolveResult, SolverWarning, Status
from .bench import Bench, lies, norm, similar_to
from .report import Probes, finish, relative_difference
from .solver_errors import ERROR_CHECKS

__all__ = ["NOT_APPLICABLE", "SOLVER_CHECKS", "check_solver"]


def check_solver(
    solver: Callable[..., Any],
    *,
    A: Any = None,
    like: Array | None = None,
    dtype: Any = "float64",
    skip: Collection[str] = (),
    seed: int = 0,
    raise_on_failure: bool = True,
) -> list[str]:
    """Check that `solver` keeps the contract of every solver in `sciml`.

    Above all it must never report CONVERGED while ``‖b − A x‖``, recomputed here in double precision, is
    above its tolerance. The rest is the skeleton in `SOLVER_CHECKS`, one function a promise: zero
    right-hand side, exact initial guess, one iteration, NaN in ``b``, indefinite ``A``, ``b`` scaled by
    1e±12, stop by the callback, runs of fixed length, layouts, inputs left alone, errors before work.

    Parameters
    ----------
    solver : callable
        ``solver(A, b, *, x0, M, rtol, atol, maxiter, callback, on_failure) -> SolveResult``.
    A : operator, optional
        Small, symmetric positive definite; by default a 2D Poisson operator of 5 by 4 cells, or a dense
        Hermitian matrix for a complex `dtype`.
    like : array, optional
        The systems are made in the library and on the device of this array; NumPy by default.
    dtype : dtype-like
        Precision of the systems.
    skip : collection of str
        Names from `SOLVER_CHECKS` that do not apply, such as ``{"one_iteration"}`` for a direct solver.
    seed : int
        Of the random right-hand sides.
    raise_on_failure : bool
        Raise `AssertionError` if a promise is broken.

    Returns
    -------
    list of str
        One sentence per broken promise, beginning with the name of the check.

    Raises
    ------
    ValueError
        If `skip` names an unknown check.

    Examples
    --------
    >>> from sciml import cg
    >>> from sciml.testing import check_solver
    >>> check_solver(cg)
    []
    """
    unknown = set(skip) - set(SOLVER_CHECKS)
    if unknown:
        raise ValueError(f"skip contains {sorted(unknown)}; expected any of {', '.join(SOLVER_CHECKS)}")
    probes = Probes(like, dtype, seed)
    if A is None and probes.dtype.kind == "c":
        matrix = similar_to(probes, np.linspace(1.0, 20.0, 24))
        A = as_operator(matrix, {"symmetric", "positive_definite"})
    elif A is None:
        A = PoissonOperator(
            (5, 4), spacing=(0.5, 0.4), dtype=probes.dtype, backend=probes.backend, device=probes.device
        )
    bench = Bench(solver, as_operator(A), probes)
    sentences = []
    for name, check in SOLVER_CHECKS.items():
        if name in skip:
            continue
        try:
            sentences += [f"{name}: {sentence}" for sentence in check(bench)]
        except Exception as error:
            sentences.append(f"{name}: raised {type(error).__name__}: {error}")
    return finish(getattr(solver, "__name__", repr(solver)), sentences, raise_on_failure)


# -- results ----------------------------------------------------------------------------------
def _solution(bench: Bench) -> Iterator[str]:
    """Solves a small definite system; the result says truly what happened."""
    x_true = bench.probes.normal(bench.A.in_shape)
    b = bench.A(x_true)
    result = bench.run(b)
    if not isinstance(result, SolveResult):
        yield f"returned a {type(result).__name__}; expected a SolveResult"
        return
    yield from lies(result, bench.A, b)
    if not result.converged:
        yield f"does not converge on a small definite system: {result.summary()}"
        return
    tolerance = bench.rtol * norm(b)
    if not math.isclose(result.tolerance, tolerance, rel_tol=1e-5):
        yield f"tolerance is {result.tolerance:.6e}; expected rtol ‖b‖ = {tolerance:.6e}"
    if backend_name(result.x) != backend_name(b) or dtype_name(result.x) != dtype_name(b):
        yield (
            f"x is {backend_name(result.x)} {dtype_name(result.x)}; "
            f"expected {backend_name(b)} {dtype_name(b)} like b"
        )
    error = relative_difference(result.x, x_true)
    if error > 1e3 * bench.rtol:
        yield f"the solution differs from the known one by {error:.1e} (relative)"
    if result.seconds < 0 or result.matvecs < 0:
        yield f"seconds = {result.seconds} and matvecs = {result.matvecs}; expected non-negative numbers"


def _history(bench: Bench) -> Iterator[str]:
    """The history has one entry per iteration and begins with the initial residual."""
    b = bench.rhs()
    result = bench.run(b)
    if len(result.residual_history) != result.iterations + 1:
        entries = len(result.residual_history)
        yield f"{entries} history entries for {result.iterations} iterations; expected one more"
    elif not math.isclose(result.residual_history[0], norm(b), rel_tol=1e-3):
        yield f"the history begins with {result.residual_history[0]:.3e}; expected ‖b‖ = {norm(b):.3e}"


def _zero_rhs(bench: Bench) -> Iterator[str]:
    """``b = 0`` has the solution 0, also from another initial guess."""
    b = bench.rhs() * 0
    for x0 in (None, bench.probes.normal(bench.A.in_shape)):
        result = bench.run(b, x0=x0)
        if not result.converged or norm(result.x) != 0:
            start = "" if x0 is None else " from a non-zero x0"
            yield f"b = 0{start}: {result.status.name}, ‖x‖ = {norm(result.x):.3g}; expected CONVERGED, x = 0"


def _exact_x0(bench: Bench) -> Iterator[str]:
    """Nothing is left to do when ``x0`` is the solution."""
    b = bench.rhs()
    exact = bench.run(b, rtol=bench.rtol * 1e-2).x
    before = np.array(to_numpy(exact), copy=True)
    result = bench.run(b, x0=exact)
    yield from lies(result, bench.A, b)
    if not result.converged or result.iterations != 0:
        yield f"{_outcome(result)} from the exact x0; expected CONVERGED, 0"
    elif relative_difference(result.x, before) > 1e-6:
        yield "the exact x0 was not returned"


def _atol(bench: Bench) -> Iterator[str]:
    """The tolerance is the larger one of ``rtol ‖b‖`` and ``atol``."""
    b = bench.rhs()
    result = bench.run(b, rtol=0.0, atol=2.0 * norm(b))
    if not result.converged or result.iterations != 0:
        yield (f"{_outcome(result)} although atol is above ‖b‖; expected CONVERGED, 0")
    result = bench.run(b, rtol=0.0, atol=bench.rtol * norm(b))
    yield from lies(result, bench.A, b)
    if not result.converged:
        yield f"rtol = 0 with a positive atol ends as {result.status.name}; expected CONVERGED"


def _one_iteration(bench: Bench) -> Iterator[str]:
    """``maxiter=1`` ends after one iteration and says so."""
    b = bench.rhs()
    result = bench.run(b, maxiter=1)
    yield from lies(result, bench.A, b)
    if result.iterations > 1:
        yield f"maxiter = 1 took {result.iterations} iterations"
    if not result.converged and result.status is not Status.MAXITER:
        yield f"maxiter = 1 ends as {result.status.name}; expected MAXITER"


def _fixed_count(bench: Bench) -> Iterator[str]:
    """``rtol = atol = 0`` runs exactly ``maxiter`` iterations."""
    b = bench.rhs()
    result = bench.run(b, rtol=0.0, atol=0.0, maxiter=3)
    yield from lies(result, bench.A, b)
    if result.status is not Status.FIXED or result.iterations != 3:
        yield f"{_outcome(result)}; expected FIXED after 3"


def _unreachable(bench: Bench) -> Iterator[str]:
    """A tolerance below rounding is not reported as reached."""
    b = bench.rhs()
    eps = float(np.finfo(bench.probes.dtype).eps)
    result = bench.run(b, rtol=1e-4 * eps, maxiter=150)
    yield from lies(result, bench.A, b)


def _scaled_rhs(bench: Bench) -> Iterator[str]:
    """``b`` scaled by 1e±12 takes the same iterations: only ratios matter."""
    b = bench.rhs()
    reference = bench.run(b)
    for factor in (1e12, 1e-12):
        result = bench.run(b * factor)
        yield from lies(result, bench.A, b * factor)
        if result.iterations != reference.iterations or result.status is not reference.status:
            yield (
                f"b times {factor:.0e}: {_outcome(result)}; "
                f"expected {reference.status.name} after {reference.iterations}"
            )


def _indefinite(bench: Bench) -> Iterator[str]:
    """On ``A`` with eigenvalues of both signs a solver may fail, but says so and ends."""
    spectrum = np.linspace(-1.0, 2.0, 30)
    A = as_operator(similar_to(bench.probes, spectrum))
    b = bench.probes.normal((30,))
    result = bench.run(b, A, maxiter=200)
    yield from lies(result, A, b)


def _singular(bench: Bench) -> Iterator[str]:
    """A singular system with a compatible ``b`` ends with an honest status, never with NaN, or is refused.

    Refusing it is a `ValueError` that says "A is singular": whether a factorisation meets a pivot that is
    exactly zero is a matter of rounding.
    """
    A = as_operator(similar_to(bench.probes, np.linspace(0.0, 2.0, 20)))
    b = A(bench.probes.normal((20,)))
    try:
        result = bench.run(b, A, maxiter=400)
    except ValueError as error:
        if "A is singular" not in str(error):
            raise
        return
    yield from lies(result, A, b)
    if not np.all(np.isfinite(to_numpy(result.x))) and result.status is not Status.NONFINITE:
        yield f"x is not finite but the status is {result.status.name}"


def _callback_stop(bench: Bench) -> Iterator[str]:
    """The callback sees every iteration, with ``x`` in the layout of ``b``, and True stops."""
    b = array_namespace(bench.rhs()).reshape(bench.rhs(), (-1,))
    seen: list[Any] = []

    def callback(state: Any) -> bool:
        seen.append((state.iteration, tuple(state.x.shape), state.residual_norm))
        return state.iteration == 2

    result = bench.run(b, callback=callback)
    yield from lies(result, bench.A, b)
    if [s[0] for s in seen] != [1, 2]:
        yield f"the callback saw iterations {[s[0] for s in seen][:5]}; expected [1, 2] and then a stop"
    if any(shape != tuple(b.shape) for _, shape, _ in seen):
        yield f"the callback saw x of shape {seen[0][1]}; expected the layout of b, {tuple(b.shape)}"
    if result.status is not Status.STOPPED or result.iterations != 2:
        yield f"{_outcome(result)}; expected STOPPED after 2"


def _layouts(bench: Bench) -> Iterator[str]:
    """Flat, grid-shaped and several right-hand sides give the same solutions in the matching layout."""
    xp = array_namespace(bench.rhs())
    B = [bench.rhs(), bench.rhs()]
    flat = [xp.reshape(b, (-1,)) for b in B]
    natural = bench.run(B[0])
    if tuple(natural.x.shape) != tuple(B[0].shape):
        yield f"b of shape {tuple(B[0].shape)} gives x of shape {tuple(natural.x.shape)}"
    single = bench.run(flat[0])
    if tuple(single.x.shape) != tuple(flat[0].shape):
        yield f"b of shape {tuple(flat[0].shape)} gives x of shape {tuple(single.x.shape)}"
    elif relative_difference(single.x, xp.reshape(natural.x, (-1,))) > 1e3 * bench.rtol:
        yield "flat and grid-shaped b give different solutions"
    several = bench.run(xp.stack(flat, axis=1))
    if tuple(several.x.shape) != (flat[0].shape[0], 2):
        yield f"b of shape {(flat[0].shape[0], 2)} gives x of shape {tuple(several.x.shape)}"
    elif len(several.columns) != 2:
        yield f"two right-hand sides give {len(several.columns)} column results; expected 2"
    else:
        for j, column in enumerate(several.columns):
            yield from (f"column {j}: {s}" for s in lies(column, bench.A, flat[j]))


def _preconditioner(bench: Bench) -> Iterator[str]:
    """A definite preconditioner changes the path and not the answer."""
    diagonal = float(abs(to_numpy(bench.A.diagonal())[0]))
    yield from _with_preconditioner(bench, lambda r: r / diagonal, {"symmetric", "positive_definite"})


def _nonlinear_preconditioner(bench: Bench) -> Iterator[str]:
    """A preconditioner that is not linear, such as a network, is taken too."""
    diagonal = float(abs(to_numpy(bench.A.diagonal())[0]))
    yield from _with_preconditioner(bench, lambda r: r / (diagonal * (1 + 1e-3 * norm2(r))), set())


def _with_preconditioner(
    bench: Bench, apply: Callable[[Array], Array], properties: set[str]
) -> Iterator[str]:
    b = bench.rhs()
    M = CallableOperator(apply, bench.A.in_shape, dtype=bench.A.dtype, properties=properties)
    result = bench.run(b, M=M)
    yield from lies(result, bench.A, b)
    if not result.converged:
        yield f"does not converge with the preconditioner: {result.summary()}"


def _inputs_unchanged(bench: Bench) -> Iterator[str]:
    """``b`` and ``x0`` belong to the caller."""
    b, x0 = bench.rhs(), bench.probes.normal(bench.A.in_shape)
    before = np.array(to_numpy(b), copy=True), np.array(to_numpy(x0), copy=True)
    result = bench.run(b, x0=x0)
    if not np.array_equal(before[0], to_numpy(b)):
        yield "modifies b"
    if not np.array_equal(before[1], to_numpy(x0)):
        yield "modifies x0"
    yield from lies(result, bench.A, bench.probes.array(before[0]))


def _reproducible(bench: Bench) -> Iterator[str]:
    """The same call gives the same result twice."""
    b = bench.rhs()
    first, second = bench.run(b), bench.run(b)
    if first.iterations != second.iterations or relative_difference(first.x, second.x) > bench.rtol:
        yield f"two equal calls took {first.iterations} and {second.iterations} iterations"


def _on_failure(bench: Bench) -> Iterator[str]:
    """``on_failure`` warns, raises or stays silent."""
    b = bench.rhs()
    settings = {"rtol": 1e-30, "maxiter": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bench.run(b, **settings, on_failure="warn")
    if not any(issubclass(w.category, SolverWarning) for w in caught):
        yield "on_failure='warn' issues no SolverWarning for a failed solve"
    try:
        bench.run(b, **settings, on_failure="raise")
    except SolverError as error:
        if not isinstance(error.result, SolveResult):
            yield "SolverError carries no result"
    else:
        yield "on_failure='raise' raises no SolverError for a failed solve"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bench.run(b, **settings, on_failure="ignore")
    if any(issubclass(w.category, SolverWarning) for w in caught):
        yield "on_failure='ignore' warns"


def _outcome(result: SolveResult) -> str:
    return f"{result.status.name} after {result.iterations} iterations"


SOLVER_CHECKS: dict[str, Callable[[Bench], Iterator[str]]] = {
    check.__name__.lstrip("_"): check
    for check in (
        _solution,
        _history,
        _zero_rhs,
        _exact_x0,
        _atol,
        _one_iteration,
        _fixed_count,
        _unreachable,
        _scaled_rhs,
        _indefinite,
        _singular,
        _callback_stop,
        _layouts,
        _preconditioner,
        _nonlinear_preconditioner,
        _inputs_unchanged,
        _reproducible,
        _on_failure,
        *ERROR_CHECKS,
    )
}
"""Name of each check of `check_solver` and the function that makes it; the names go into ``skip``."""

NOT_APPLICABLE: dict[str, frozenset[str]] = {
    # A direct solver ends before the callback could stop it, and takes factors as its M.
    "splu": frozenset({"callback_stop", "preconditioner", "nonlinear_preconditioner"}),
    # Built around one kind of operator: anything else is a TypeError.
    "fft": frozenset(
        {"callback_stop", "preconditioner", "nonlinear_preconditioner", "indefinite", "singular"}
    ),
    "multigrid": frozenset({"indefinite", "singular"}),
    # Sweeps are the method; there is nothing to precondition.
    "sor": frozenset({"preconditioner", "nonlinear_preconditioner"}),
    "ssor": frozenset({"preconditioner", "nonlinear_preconditioner"}),
    # SciPy's methods are not flexible; its GMRES has no iterate before the end of a cycle.
    "gmres": frozenset({"nonlinear_preconditioner", "callback_stop"}),
    "minres": frozenset({"nonlinear_preconditioner"}),
    "bicgstab": frozenset({"nonlinear_preconditioner"}),
}
"""Registered solver -> checks that do not apply to it, to be given as ``skip``."""
