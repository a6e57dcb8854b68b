r"""What all solvers for ``0 ∈ F(u) + G(u)`` share: checked input, one tolerance, an honest exit.

The counterpart of `iteration` for inclusions. A solver works on an `Inclusion`, which owns counting,
the history, the callback and the verdict:

* stop when ``‖F(u) + g‖₂ ≤ max(rtol ‖F(u₀) + g₀‖₂, atol)`` for the last iterate `u` and one ``g ∈ G(u)``;
* a *certificate* proves it: from a point `w` and a step, ``u = (I + step G)⁻¹ w`` and
  ``g = (w − u)/step`` lies in ``G(u)``, so the residual is computed, never estimated;
* ``g₀`` comes from one forward–backward step at `u0` (and is zero without `G`);
* ``rtol = atol = 0`` runs `maxiter` iterations, or until `max_epochs` are spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, device, dtype_name, is_array, norm2, vdot
from ..operators.sets import Product, WholeSpace
from .iteration import Callback, check_settings, report, verdict
from .result import IterationState, SolveResult, Status

__all__ = ["Inclusion", "InclusionState", "run_inclusion"]

CHECK_EVERY = 50
"""Most iterations between two computed residuals while the estimate says there is far to go."""


@dataclass(frozen=True)
class InclusionState(IterationState):
    """What a ``callback`` sees; `residual_norm` is the last computed one, `epochs` what was spent so far."""

    epochs: float


class Inclusion:
    """One inclusion being solved: the current point, counters, the verdict.

    Attributes
    ----------
    F, G : finite sum, resolvent
    u0 : array
        Start, in the working dtype.
    Fu0 : array
        ``F(u0)``, already counted.
    point : (array, step)
        Where the next certificate starts from; solvers set it after each iteration.
    evaluations : int
        Component evaluations so far; a full ``F`` costs ``F.n``.
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        F: Any,
        G: Any,
        u0: Array,
        maxiter: int,
        max_epochs: float,
        callback: Callback | None,
        fixed: bool,
        seed: int | None,
    ):
        self.F, self.G, self.u0 = F, G, u0
        self.xp = array_namespace(u0)
        self.constrained = not isinstance(G, WholeSpace)
        self.maxiter, self.max_epochs, self.callback, self.fixed = maxiter, max_epochs, callback, fixed
        self.rng = np.random.default_rng(seed)
        self.tolerance = 0.0
        self.evaluations = self.resolvents = self.iterations = 0
        self.history: list[float] = []
        self.history_epochs: list[float] = []
        self.info: dict[str, Any] = {}
        self.point: tuple[Array, Any] = (u0, 1.0)
        self._certified: Array | None = None
        self._last: tuple[Array, Array] | None = None
        self._ratio, self._next_check = 1.0, 0
        self.Fu0 = self.full(u0)

    # -- operations solvers use ---------------------------------------------------------------
    def full(self, u: Array) -> Array:
        """``F(u)``, counted as `n` component evaluations."""
        self.evaluations += self.F.n
        return self.F.full(u)

    def difference(self, batch: np.ndarray, u: Array, v: Array) -> Array:
        """Mean of ``F_i(u) − F_i(v)`` over `batch`, counted as two evaluations each."""
        self.evaluations += 2 * len(batch)
        return self.F.difference(batch, u, v)

    def resolvent(self, w: Array, step: Any) -> Array:
        """``(I + step G)⁻¹ w``."""
        self.resolvents += 1
        return self.G.resolvent(w, step)

    @property
    def epochs(self) -> float:
        return self.evaluations / self.F.n

    def advance(self, u: Array, count: int = 1) -> Status | None:
        """Note `count` finished iterations, the last of which gave `u`; a status ends the solve."""
        self.iterations += count
        if self.callback is not None:
            norm = self.history[-1] if self.history else math.nan
            if self.callback(InclusionState(self.iterations, u, norm, self.epochs)):
                return Status.STOPPED
        if self.iterations >= self.maxiter or self.epochs >= self.max_epochs:
            return Status.FIXED if self.fixed else Status.MAXITER
        return None

    def check(self, estimate: float) -> Status | None:
        """Compute the residual if `estimate` suggests convergence or the last check is long ago.

        `estimate` is any quantity that falls in proportion to the residual; their ratio is learned.
        """
        if not math.isfinite(estimate):
            return Status.NONFINITE
        if not self.due(estimate):
            return None
        status = self.certify()
        self.learn(estimate)
        return status

    def due(self, estimate: float) -> bool:
        """Whether the residual should be computed now; see `check`."""
        near = estimate * self._ratio <= self.tolerance
        return not self.fixed and (near or self.iterations >= self._next_check)

    def learn(self, estimate: float) -> None:
        """Relate the residual just computed to its estimate, and plan the next computation."""
        if estimate > 0:
            # Never trust a ratio blindly: shrinking it by more than a half per check would skip convergence.
            self._ratio = max(self.history[-1] / estimate, 0.5 * self._ratio)
        # A tenth of the iterations is the most that a late discovery can cost, and the most spent on looking.
        self._next_check = self.iterations + min(CHECK_EVERY, 5 + self.iterations // 10)

    def certify(self, F_u: Array | None = None) -> Status | None:
        """Compute ``‖F(u) + g‖`` at the resolvent of `point`; `F_u` may be passed where it is known."""
        w, step = self.point
        u = self.resolvent(w, step) if self.constrained else w
        F_u = self.full(u) if F_u is None else F_u
        norm = norm2(F_u + (w - u) / step) if self.constrained else norm2(F_u)
        self.history.append(norm)
        self.history_epochs.append(self.epochs)
        self._certified = u
        if not math.isfinite(norm):
            return Status.NONFINITE
        self._check_monotone(u, F_u)
        return Status.CONVERGED if not self.fixed and norm <= self.tolerance else None

    def _check_monotone(self, u: Array, F_u: Array) -> None:
        """Two points at which `F` was evaluated anyway can prove that it is not monotone."""
        if self._last is not None:
            du, dF = u - self._last[0], F_u - self._last[1]
            product, size = vdot(du, dF).real, norm2(du) * norm2(dF)
            rounding = 1e-3 if dtype_name(u) in ("float32", "complex64") else 1e-7
            values = norm2(F_u) * norm2(u)
            if product < -rounding * size - rounding * rounding * values:
                raise ValueError(
                    f"F is not monotone: ⟨F(u) − F(v), u − v⟩ = {product:.3e} < 0 at two iterates; "
                    "these methods need a monotone F"
                )
        self._last = (u, F_u)

    def start(self, step: float) -> float:
        """The initial residual, from one forward–backward step of length `step` (none without `G`)."""
        self.point = (self.u0 - step * self.Fu0, step) if self.constrained else (self.u0, step)
        self.certify(None if self.constrained else self.Fu0)
        return self.history[-1]


def run_inclusion(
    name: str,
    iterate: Callable[[Inclusion], Status | None],
    F: Any,
    u0: Array,
    *,
    G: Any,
    rtol: float,
    atol: float,
    maxiter: int | None,
    max_epochs: float | None,
    callback: Callback | None,
    on_failure: str,
    seed: int | None = None,
) -> SolveResult:
    """Check the arguments, run `iterate`, and judge the point it left behind.

    Parameters
    ----------
    name : str
        Name of the solver in the result.
    iterate : callable
        Works on an `Inclusion` and returns the status it stopped with.
    F, u0, G, rtol, atol, maxiter, max_epochs, callback, on_failure, seed
        As every solver for inclusions takes them; see `sciml.halpern`.
    """
    start = time.perf_counter()
    budget = maxiter if max_epochs is None else (100_000_000 if maxiter is None else maxiter)
    check_settings(rtol, atol, budget, callback, on_failure)
    if max_epochs is not None and not (isinstance(max_epochs, int | float) and max_epochs > 0):
        raise ValueError(f"max_epochs is {max_epochs!r}; expected a positive number or None")
    if seed is not None and not isinstance(seed, int | np.integer):
        raise ValueError(f"seed is {seed!r}; expected an integer or None")
    _check_finite_sum(F)
    G = _check_resolvent(F, G)
    u0, restore = _check_start(F, G, u0)
    fixed = rtol == 0 and atol == 0
    problem = Inclusion(
        F,
        G,
        u0,
        100_000 if budget is None else budget,
        math.inf if max_epochs is None else float(max_epochs),
        None if callback is None else (lambda s: callback(_restored(s, restore))),
        fixed,
        seed,
    )
    if not math.isfinite(norm2(problem.Fu0)):
        raise ValueError("F(u0) holds a value that is not finite (NaN or infinity)")
    status: Status | None = None
    if not fixed:
        initial = problem.start(1.0 / full_constant(F))
        problem.tolerance = max(rtol * initial, atol)
        if initial <= problem.tolerance:
            status = Status.CONVERGED
    if status is None and problem.maxiter > 0:
        status = iterate(problem)
    elif status is None:
        status = Status.MAXITER
    if status is not Status.CONVERGED or problem._certified is None:
        problem.certify()
    assert problem._certified is not None
    norm = problem.history[-1]
    result = SolveResult(
        x=restore(problem._certified),
        status=verdict(status, norm, problem.tolerance, fixed),
        iterations=problem.iterations,
        residual_norm=norm,
        tolerance=problem.tolerance,
        residual_history=tuple(problem.history),
        matvecs=math.ceil(problem.epochs),
        seconds=time.perf_counter() - start,
        solver=name,
        info={
            "epochs": problem.epochs,
            "evaluations": problem.evaluations,
            "resolvents": problem.resolvents,
            "history_epochs": tuple(problem.history_epochs),
            **problem.info,
        },
    )
    return report(result, on_failure)


def positive_step(step: Any, default: float, name: str = "step") -> float:
    """`step` where it is a positive number, `default` where it is None, else a `ValueError`."""
    if step is None:
        return default
    if not isinstance(step, int | float | np.floating) or not math.isfinite(step) or step <= 0:
        raise ValueError(f"{name} is {step!r}; expected a positive finite number or None")
    return float(step)


# -- argument checks --------------------------------------------------------------------------
def _check_finite_sum(F: Any) -> None:
    missing = [name for name in ("n", "lipschitz", "full", "difference", "sample") if not hasattr(F, name)]
    if missing:
        raise TypeError(
            f"F is a {type(F).__name__} without {', '.join(missing)}; expected a finite sum. "
            "Wrap a matrix or operator in AffineSum(A, b), functions in ComponentSum([f1, f2, ...], ...)"
        )
    for name in ("lipschitz", "lipschitz_full"):
        value = getattr(F, name, None)
        if value is None and name == "lipschitz_full":
            continue
        if not isinstance(value, int | float | np.floating) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"F.{name} is {value!r}; expected a positive finite number")


def _check_resolvent(F: Any, G: Any) -> Any:
    G = getattr(F, "G", None) if G is None else G
    if G is None:
        return WholeSpace()
    if not hasattr(G, "resolvent"):
        raise TypeError(
            f"G is a {type(G).__name__} without resolvent(u, step); expected a set or a proximal map"
        )
    if isinstance(G, Product) and all(type(part) is WholeSpace for part in G.sets):
        return WholeSpace()
    return G


def _check_start(F: Any, G: Any, u0: Any) -> tuple[Array, Callable[[Array], Array]]:
    if not is_array(u0):
        raise TypeError(f"u0 is a {type(u0).__name__}; expected an array (NumPy, CuPy, torch)")
    name = dtype_name(u0)
    if name not in ("float32", "float64", "complex64", "complex128"):
        raise TypeError(f"u0 has dtype {name}; expected float32, float64, complex64 or complex128")
    xp = array_namespace(u0)
    layout, natural = tuple(u0.shape), tuple(getattr(F, "in_shape", u0.shape))
    if layout not in (natural, (math.prod(natural),)):
        raise ValueError(f"u0 has shape {layout}; expected {natural} or ({math.prod(natural)},)")
    if math.prod(layout) == 0:
        raise ValueError("u0 is empty; expected at least one unknown")
    if not math.isfinite(norm2(u0)):
        raise ValueError("u0 holds a value that is not finite (NaN or infinity); expected finite numbers")
    kind = np.result_type(name, getattr(F, "dtype", name)).name
    u = xp.astype(xp.reshape(u0, natural), getattr(xp, kind), copy=True)
    if hasattr(G, "check"):
        G.check(u)
    return u, lambda v: xp.reshape(v, layout)


def _restored(state: Any, restore: Callable[[Array], Array]) -> InclusionState:
    return InclusionState(state.iteration, restore(state.x), state.residual_norm, state.epochs)


def full_constant(F: Any) -> float:
    """The Lipschitz constant of the whole `F`; the average one bounds it."""
    return float(getattr(F, "lipschitz_full", F.lipschitz))


def ones_like(u: Array, value: float) -> Array:
    """An array like `u` filled with `value`."""
    return array_namespace(u).full(tuple(u.shape), value, dtype=u.dtype, device=device(u))
