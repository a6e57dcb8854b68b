"""What all iterative solvers share: checked input, one tolerance, an honest exit.

A solver is a generator-free plain function ``iterate(system) -> Status | None`` run by
`run`; it works on a `System` that owns counting, the history, the callback and the final
verdict. So the rules of the design stand here once:

* stop when ``‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol)``, unpreconditioned;
* at exit the residual is recomputed from ``b − A @ x`` and alone decides the status;
* ``rtol = atol = 0`` runs ``maxiter`` iterations.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.namespace import (
    Array,
    array_namespace,
    compute_dtype,
    device,
    dtype_name,
    is_array,
    norm2,
    require_same_backend,
    vdot,
)
from ..operators import ForeignOperator, as_operator
from ..operators.algebra import flat
from .result import IterationState, SolverError, SolveResult, SolverWarning, Status, merge_columns

__all__ = ["ON_FAILURE", "System", "check_settings", "iterate_until_verified", "report", "run", "verdict"]

ON_FAILURE = ("warn", "raise", "ignore")

Callback = Callable[[IterationState], "bool | None"]


class System:
    """One linear system ``A x = b`` being solved: data in natural layout, counters, the verdict.

    Solvers read ``A``, ``M``, ``b``, ``x`` and call `apply`, `precondition`, `record`, `true_residual`.

    Attributes
    ----------
    A, M : operators
        `M` is None without a preconditioner.
    b, x : arrays of ``A.out_shape`` and ``A.in_shape``
        `x` is the solver's own array (a copy of ``x0`` or zeros), to be updated in place or replaced.
    tolerance : float
        Of the scaled system; ``0`` in fixed-count runs.
    rounding : float
        A running residual below this cannot be the true one: a recurrence that goes on from here works on
        numbers without meaning, and may destroy the iterate.
    """

    def __init__(
        self,
        A: Any,
        b: Array,
        x0: Array | None,
        M: Any,
        tolerance: float,
        maxiter: int,
        callback: Callback | None,
        scale: float,
        restore: Callable[[Array], Array],
        norm_b: float,
        fixed: bool,
    ):
        self.A, self.M, self.b = A, M, b
        self.xp = array_namespace(b)
        # np.zeros takes no memory until something is written, unlike zeros_like.
        self.x = self.xp.zeros(A.in_shape, dtype=b.dtype, device=device(b)) if x0 is None else x0
        self.x_is_zero = x0 is None
        self.tolerance, self.maxiter, self.callback = tolerance, maxiter, callback
        self.scale, self._restore, self.norm_b, self.fixed = scale, restore, norm_b, fixed
        self.rounding = 0.01 * float(self.xp.finfo(b.dtype).eps) * norm_b * scale
        self.history: list[float] = []
        self.iterations = 0
        self.matvecs = 0
        self._verified: float | None = None
        self.recompute: Callable[[], tuple[Array, float]] | None = None
        self.info: dict[str, Any] = {}

    # -- operations solvers use ---------------------------------------------------------------
    def apply(self, x: Array) -> Array:
        """``A x``, counted."""
        self.matvecs += 1
        return self._cast(self.A._apply(x))

    def apply_adjoint(self, x: Array) -> Array:
        """``Aᴴ x``, counted."""
        self.matvecs += 1
        return self._cast(self.A._apply_adjoint(x))

    def precondition(self, r: Array) -> Array:
        """``M r`` in the layout and precision of `r`."""
        if self.M is None:
            return r
        if self.M.in_shape == tuple(r.shape):
            return self._cast(self.M._apply(r))
        z = self.M._apply(self.xp.reshape(r, self.M.in_shape))
        return self._cast(self.xp.reshape(z, tuple(r.shape)))

    def precondition_dot(self, r: Array) -> tuple[Array, float]:
        """``M r`` and the real part of ``⟨r, M r⟩``, in one pass where `M` offers it."""
        fused = getattr(self.M, "apply_dot", None)
        if fused is not None and self.M.in_shape == tuple(r.shape):
            return fused(r)
        z = self.precondition(r)
        return z, vdot(r, z).real

    def _cast(self, y: Array) -> Array:
        return y if y.dtype == self.b.dtype else self.xp.astype(y, self.b.dtype)

    def residual(self) -> Array:
        """``b − A x`` in working precision (counted unless ``x = 0``)."""
        return self.b if self.x_is_zero else self.b - self.apply(self.x)

    def record(self, norm: float, x: Array | None = None) -> Status | None:
        """Note the residual norm after an iteration; return a status if the solve must end here.

        ``CONVERGED`` is only a claim, which the solver (and at the end `run`) verifies. A solver whose
        iterate is not in ``self.x`` yet passes `x` when a callback is set.
        """
        self.history.append(norm / self.scale)
        if not math.isfinite(norm):
            return Status.NONFINITE
        self.iterations = len(self.history) - 1
        if self.callback is not None and self.iterations > 0:
            current = self._restore(self.x if x is None else x)
            if self.callback(IterationState(self.iterations, current, norm / self.scale)):
                return Status.STOPPED
        if not self.fixed and norm <= max(self.tolerance, self.rounding):
            return Status.CONVERGED
        if self.iterations >= self.maxiter:
            return Status.FIXED if self.fixed else Status.MAXITER
        return None

    def true_residual(self) -> Array:
        """``b − A x`` recomputed, in double precision if `A` can be applied there.

        Its norm is kept for the verdict, so a solver that verifies its own claim pays once.
        """
        self.matvecs += 1
        if self.recompute is not None:
            r, self._verified = self.recompute()
            return r
        wide = compute_dtype(self.b)
        A, b, x = self.A, self.b, self.x
        if dtype_name(b) != wide:
            try:
                A = A.astype(wide if A.dtype.kind == "c" else "float64")
                dtype = getattr(self.xp, wide)
                b, x = self.xp.astype(b, dtype), self.xp.astype(x, dtype)
            except NotImplementedError:
                pass  # a foreign float32 operator: its own precision is all there is
        r = b - A._apply(x)
        self._verified = norm2(r)
        return self._cast(r)

    def verify(self) -> tuple[bool, Array]:
        """Check a claim of convergence: whether the recomputed residual holds it, and that residual.

        The last entry of the history becomes the true norm.
        """
        r = self.true_residual()
        assert self._verified is not None
        self.history[-1] = self._verified / self.scale
        return self._verified <= self.tolerance, r


def iterate_until_verified(
    system: System, sweep: Callable[[Array, float], tuple[Status | None, float]]
) -> Status | None:
    """Run ``sweep(r, norm) -> (status, norm)`` from the true residual until a claim of convergence holds.

    A claim that the recomputed residual does not confirm restarts `sweep` from that residual; once this
    no longer halves the residual, working precision is exhausted: STAGNATED. `sweep` must not write to `r`,
    which is `b` itself where ``x = 0``.
    """
    if system.x_is_zero:
        r, norm = system.b, system.norm_b * system.scale
    elif system.recompute is not None:
        system.matvecs += 1
        r, norm = system.recompute()
    else:
        r = system.residual()
        norm = norm2(r)
    status = system.record(norm)
    best_claim = math.inf
    while True:
        if status is Status.CONVERGED:
            holds, r = system.verify()
            if holds:
                return status
            norm = norm2(r)
            if not norm < 0.5 * best_claim:
                return Status.STAGNATED
            best_claim = norm
        elif status is not None:
            return status
        status, norm = sweep(r, norm)


def run(
    name: str,
    iterate: Callable[[System], Status | None],
    A: Any,
    b: Array,
    *,
    x0: Array | None,
    M: Any,
    rtol: float,
    atol: float,
    maxiter: int | None,
    callback: Callback | None,
    on_failure: str,
    square: bool = True,
) -> SolveResult:
    """Check the arguments, run `iterate` on every column of `b`, and judge what it left in ``system.x``.

    Parameters
    ----------
    name : str
        Name of the solver in the result.
    iterate : callable
        Works on a `System` and returns the status it stopped with.
    A, b, x0, M, rtol, atol, maxiter, callback, on_failure
        As every solver takes them; see `sciml.cg`.
    square : bool
        False for solvers of least squares: `A` may have any shape, `b` that of its range, `x0` and ``x``
        that of its domain; both flat or both in the natural shape.
    """
    start = time.perf_counter()
    A = _square_operator(A, "A") if square else as_operator(A)
    if not is_array(b):
        raise TypeError(f"b is a {type(b).__name__}; expected an array (NumPy, CuPy, torch)")
    M = None if M is None else _square_operator(M, "M")
    if M is not None and M.shape != A.shape:
        raise ValueError(f"M has shape {M.shape}; expected the shape of A, {A.shape}")
    check_settings(rtol, atol, maxiter, callback, on_failure)
    label = name if M is None else f"{name} + {_label(M)}"
    rules = _Rules(label, rtol, atol, maxiter, callback)
    m, n = A.shape
    shape = tuple(b.shape)
    if n == 0 or 0 in shape:
        raise ValueError(f"the system is empty: A has shape {A.shape} and b has shape {shape}")
    if x0 is not None:
        if not is_array(x0):
            raise TypeError(f"x0 is a {type(x0).__name__}; expected an array like b")
        require_same_backend(b, x0=x0)
        expected = A.in_shape if shape == A.out_shape else (n, *shape[1:])
        if tuple(x0.shape) != expected:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}; expected {expected} to match b of shape {shape}"
            )
    if shape in (A.out_shape, (m,)):
        result = _solve_one(iterate, A, b, x0, M, rules)
    elif len(shape) == 2 and shape[0] == m:
        xp = array_namespace(b)
        columns = [
            _solve_one(iterate, A, b[:, j], None if x0 is None else x0[:, j], M, rules)
            for j in range(shape[1])
        ]
        x = xp.stack([c.x for c in columns], axis=1)
        result = merge_columns(columns, x, time.perf_counter() - start)
    else:
        natural = f"{A.out_shape}, " if len(A.out_shape) > 1 else ""
        raise ValueError(
            f"b has shape {shape}; expected {natural}({m},) or ({m}, k) to match A of shape {A.shape}"
        )
    return report(result, on_failure)


def report(result: SolveResult, on_failure: str) -> SolveResult:
    """Warn or raise for a failed result, as `on_failure` says."""
    if not result.status.succeeded and result.status is not Status.STOPPED:
        if on_failure == "raise":
            raise SolverError(result)
        if on_failure == "warn":
            warnings.warn(result.summary(), SolverWarning, stacklevel=4)
    return result


@dataclass(frozen=True)
class _Rules:
    label: str
    rtol: float
    atol: float
    maxiter: int | None
    callback: Callback | None


def _solve_one(
    iterate: Callable[[System], Status | None], A: Any, b: Array, x0: Array | None, M: Any, rules: _Rules
) -> SolveResult:
    start = time.perf_counter()
    xp = array_namespace(b)
    # Flat data give a flat solution, and natural data a natural one.
    layout = A.in_shape if tuple(b.shape) == A.out_shape else (A.shape[1],)
    dtype = _working_dtype(xp, A, b, x0)
    b = xp.reshape(xp.astype(b, dtype, copy=False), A.out_shape)
    norm_b = norm2(b)
    scale = _power_of_two_scale(b, norm_b, dtype)
    if scale != 1.0:
        b = b * scale
        norm_b = norm2(b) / scale
    if not math.isfinite(norm_b):
        raise ValueError("b holds a value that is not finite (NaN or infinity); expected finite numbers")
    x_start = None
    if x0 is not None:
        x_start = xp.reshape(xp.astype(x0, dtype), A.in_shape)
        if scale != 1.0:
            x_start = x_start * scale
        if not math.isfinite(norm2(x_start)):
            raise ValueError("x0 holds a value that is not finite (NaN or infinity); expected finite numbers")
    fixed = rules.rtol == 0 and rules.atol == 0
    if norm_b == 0 and rules.atol == 0 and not fixed:
        x_start = None  # the solution is zero, and no other iterate meets a tolerance of zero
    tolerance = max(rules.rtol * norm_b, rules.atol)
    b = _project_rhs(A, b, tolerance * scale)
    limit = min(10 * A.shape[0] + 50, 10_000) if rules.maxiter is None else rules.maxiter

    def restore(x: Array) -> Array:
        x = xp.reshape(x, layout)
        return x if scale == 1.0 else x / scale

    system = System(A, b, x_start, M, tolerance * scale, limit, rules.callback, scale, restore, norm_b, fixed)
    # A diverging iterate overflows; that shows in its residual and becomes a status, not a NumPy warning.
    with np.errstate(over="ignore", invalid="ignore"):
        status = iterate(system)
        if getattr(A, "singular", None) is not None:
            system.x, system.recompute = A.project(system.x), None
        if status is not Status.CONVERGED or system._verified is None:
            system.true_residual()
    # A solver's own `recompute` holds its work vectors, and these the system: free them now, not at some
    # later garbage collection.
    system.recompute = None
    assert system._verified is not None
    residual_norm = system._verified / scale
    return SolveResult(
        x=restore(system.x),
        status=verdict(status, residual_norm, tolerance, fixed),
        iterations=system.iterations,
        residual_norm=residual_norm,
        tolerance=tolerance,
        residual_history=tuple(system.history),
        matvecs=system.matvecs,
        seconds=time.perf_counter() - start,
        solver=rules.label,
        info=system.info,
    )


def verdict(status: Status | None, residual_norm: float, tolerance: float, fixed: bool) -> Status:
    """The recomputed residual decides; the solver's own word only explains a failure."""
    if not math.isfinite(residual_norm):
        return Status.NONFINITE
    if not fixed and residual_norm <= tolerance and status is not Status.STOPPED:
        return Status.CONVERGED
    if status is Status.CONVERGED or status is None:
        return Status.FIXED if fixed else Status.STAGNATED
    return status


def _project_rhs(A: Any, b: Array, tolerance: float) -> Array:
    """For a singular operator that knows its null space: check compatibility, then remove rounding."""
    if getattr(A, "singular", None) is None:
        return b
    projected = A.project(b)
    gap = norm2(b - projected)
    norm = norm2(b)
    rounding = 1e-5 if dtype_name(b) == "float32" else 1e-12
    if gap > max(0.1 * tolerance, rounding * norm):
        raise ValueError(
            f"b is incompatible with the singular A: on its {A.singular.count} component(s) without "
            f"Dirichlet contact b must have zero mean, but no x brings the residual below {gap:.3e}. "
            "Use b = A.project(b), or pin a value with a Dirichlet cell or a shift."
        )
    return projected


def _square_operator(A: Any, name: str) -> Any:
    try:
        operator = as_operator(A)
    except TypeError as error:
        raise TypeError(str(error).replace("A is a", f"{name} is a", 1)) from None
    if operator.shape[0] != operator.shape[1]:
        raise ValueError(f"{name} has shape {operator.shape}; expected a square operator")
    # Residuals need one layout: a product of a grid-shaped and a flat operator is solved on flat vectors.
    return operator if operator.in_shape == operator.out_shape else flat(operator)


def _label(M: Any) -> str:
    wrapped = M.A if isinstance(M, ForeignOperator) else M
    return getattr(M, "label", None) or type(wrapped).__name__


def _working_dtype(xp: Any, A: Any, b: Array, x0: Array | None) -> Any:
    name = dtype_name(b)
    if not name.startswith(("float", "complex")):
        raise TypeError(f"b has dtype {name}; expected a floating or complex dtype (use b.astype(float))")
    names = [name, dtype_name(A.dtype)] + ([] if x0 is None else [dtype_name(x0)])
    if any(n in ("float16", "bfloat16", "longdouble", "float128") for n in names):
        raise TypeError(
            f"dtypes {names} are not supported; expected float32, float64, complex64 or complex128"
        )
    return getattr(xp, np.result_type(*names).name)


def _power_of_two_scale(b: Array, norm: float, dtype: Any) -> float:
    """An exact scaling that keeps squares of residuals within range (1 where they already are)."""
    single = dtype_name(dtype) in ("float32", "complex64")
    low, high = (2.0**-20, 2.0**40) if single else (2.0**-300, 2.0**300)
    if low < norm < high:
        return 1.0
    xp = array_namespace(b)
    largest = float(xp.max(xp.abs(b)))  # the norm itself may have over- or underflowed
    if not math.isfinite(largest) or largest == 0.0:
        return 1.0
    return 2.0 ** -round(math.log2(largest))


def check_settings(rtol: Any, atol: Any, maxiter: Any, callback: Any, on_failure: Any) -> None:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not isinstance(value, int | float | np.floating) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r}; expected a finite number >= 0")
    if maxiter is not None and (not isinstance(maxiter, int | np.integer) or maxiter < 0):
        raise ValueError(f"maxiter is {maxiter!r}; expected an integer >= 0 or None")
    if rtol == 0 and atol == 0 and maxiter is None:
        raise ValueError(
            "rtol = atol = 0 runs a fixed number of iterations; expected maxiter to say how many"
        )
    if callback is not None and not callable(callback):
        raise TypeError(f"callback is a {type(callback).__name__}; expected a callable or None")
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure is {on_failure!r}; expected one of {', '.join(ON_FAILURE)}")
