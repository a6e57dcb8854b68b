"""`tuned`: a solver, one of whose parameters a policy chooses anew for every system."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..backends.namespace import Array, is_array
from ..solvers.iteration import ON_FAILURE, report
from ..solvers.result import SolveResult, Status
from .policy import Policy, check_number, is_number, label

__all__ = ["TunedSolver", "tuned"]

COSTS = ("iterations", "seconds", "matvecs")
HISTORY_BEFORE_CAP = 5
"""Rounds whose mean cost a relative cap may rely on."""


def tuned(
    solver: Callable[..., SolveResult],
    *,
    parameter: str = "omega",
    policy: Policy,
    cost: str = "iterations",
    preconditioner: Callable[..., Any] | None = None,
    cap: float | None = None,
    cap_factor: float | None = None,
    reuse: bool = False,
) -> TunedSolver:
    """Wrap a solver so that `policy` chooses one of its parameters for every system it is given.

    Parameters
    ----------
    solver : callable
        Any solver: ``sor``, ``cg``, ``multigrid``, ...
    parameter : str
        The keyword that is chosen: of `preconditioner` if there is one, else of `solver`. For ``"M"`` the
        arms are preconditioner classes (or other functions of `A`), operators, or None.
    policy : Policy
        Chooses and learns: `TsallisINF`, `ChebCB`, `GaussianProcessCB`, `Fixed`, ...
    cost : {"iterations", "seconds", "matvecs"}
        What is to be small. Seconds include the set-up of the preconditioner.
    preconditioner : callable, optional
        Built anew for every system as ``preconditioner(A, **{parameter: arm})`` and passed as ``M``.
    cap : float, optional
        A solve is stopped when it has cost this much, and finished, from the iterate it reached,
        with the arm that has been cheapest so far among the others.
    cap_factor : float, optional
        The same with a cap that is this multiple of the mean cost so far (from the sixth round on).
    reuse : bool
        Keep the preconditioner of every arm while `A` is the same object (do not change `A` in place then).

    Returns
    -------
    TunedSolver
        Called like the solver, plus ``context=``.

    Raises
    ------
    TypeError, ValueError
        For settings that do not fit, arms for ``omega`` outside (0, 2) among them.

    Notes
    -----
    A solve that fails counts as its cap (or as the seconds it took, if its set-up took longer). Without a
    cap it counts as `maxiter` iterations, or, for seconds, ten times the largest cost so far. Systems that
    need no iteration teach nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, sor
    >>> from sciml.tuning import TsallisINF, tuned
    >>> solve = tuned(sor, parameter="omega", policy=TsallisINF([1.0, 1.4, 1.8], seed=0))
    >>> A, rng = PoissonOperator((16, 16)), np.random.default_rng(0)
    >>> results = [solve(A, rng.standard_normal((16, 16))) for _ in range(100)]
    >>> all(result.converged for result in results), int(solve.policy.plays.argmax())
    (True, 2)
    """
    return TunedSolver(solver, parameter, policy, cost, preconditioner, cap, cap_factor, reuse)


class TunedSolver:
    """What `tuned` returns; a `Solver` with a memory.

    Attributes
    ----------
    policy : Policy
    failures : list of int
        How many solves of each arm failed or ran into the cap.
    """

    def __init__(
        self,
        solver: Callable[..., SolveResult],
        parameter: str,
        policy: Policy,
        cost: str,
        preconditioner: Callable[..., Any] | None,
        cap: float | None,
        cap_factor: float | None,
        reuse: bool,
    ):
        if not callable(solver):
            raise TypeError(f"solver is a {type(solver).__name__}; expected a callable like cg")
        if preconditioner is not None and not callable(preconditioner):
            raise TypeError(
                f"preconditioner is a {type(preconditioner).__name__}; expected a class like SSOR"
            )
        if not isinstance(parameter, str) or not parameter.isidentifier():
            raise ValueError(f"parameter is {parameter!r}; expected the name of a keyword")
        if not isinstance(policy, Policy):
            raise TypeError(
                f"policy is a {type(policy).__name__}; expected a Policy such as TsallisINF(arms)"
            )
        if cost not in COSTS:
            raise ValueError(f"cost is {cost!r}; expected one of {', '.join(COSTS)}")
        if cap is not None:
            check_number("cap", cap, 0.0)
        if cap_factor is not None:
            check_number("cap_factor", cap_factor, 1.0)
        if parameter == "omega":
            for arm in policy.arms:
                if is_number(arm) and not 0.0 < arm < 2.0:
                    raise ValueError(
                        f"arms of the policy contain omega = {arm!r}; expected numbers in (0, 2)"
                    )
        self.solver, self.parameter, self.policy, self.cost = solver, parameter, policy, cost
        self.preconditioner, self.cap, self.cap_factor, self.reuse = preconditioner, cap, cap_factor, reuse
        self.failures = [0] * len(policy.arms)
        self._largest = 0.0
        self._built: dict[int, tuple[Any, Any]] = {}

    def __call__(
        self,
        A: Any,
        b: Array,
        *,
        context: float | None = None,
        x0: Array | None = None,
        maxiter: int | None = None,
        callback: Callable[[Any], bool | None] | None = None,
        on_failure: str = "warn",
        **settings: Any,
    ) -> SolveResult:
        """Solve ``A x = b`` with the arm the policy proposes, and let it learn from the cost.

        Parameters
        ----------
        context : float, optional
            What is known about this system; contextual policies need it.
        A, b, x0, maxiter, callback, on_failure, **settings
            As for the solver that is tuned.

        Returns
        -------
        SolveResult
            Its ``info["tuned"]`` says which arm was played, what was learned from it (``cost``), whether it
            was ``capped``, and how many seconds the policy took. Iterations, products and seconds are
            those of everything that was run.
        """
        if on_failure not in ON_FAILURE:
            raise ValueError(f"on_failure is {on_failure!r}; expected one of {', '.join(ON_FAILURE)}")
        chosen = "M" if self.preconditioner is not None else self.parameter
        if settings.get(chosen) is not None:
            raise TypeError(
                f"{chosen} is given, but {chosen} is what this tuned solver chooses; expected none"
            )
        start = time.perf_counter()
        arm = self.policy.propose(context)
        index = self.policy._pending
        proposed = time.perf_counter()
        cap = self._current_cap()
        limit = _Limit(self.cost, cap, proposed, maxiter, callback)
        result = self._solve(arm, index, A, b, x0=x0, limit=limit, settings=settings)
        spent = {
            "iterations": result.iterations,
            "matvecs": result.matvecs,
            "seconds": time.perf_counter() - proposed,
        }
        paid = float(spent[self.cost])
        failed = not result.status.succeeded and (result.status is not Status.STOPPED or limit.reached)
        if failed:
            self.failures[index] += 1
            paid = self._price_of_failure(paid, cap, maxiter, math.prod(b.shape))
        learned = time.perf_counter()
        if self._informative(result, limit):
            self.policy.observe(paid, result)
            self._largest = max(self._largest, paid)
        overhead = time.perf_counter() - learned + proposed - start
        capped = failed and limit.ended(result)
        if capped:
            result = self._finish(result, arm, index, A, b, x0, maxiter, callback, settings)
        info = {
            "arm": label(arm),
            "cost": paid,
            "failed": failed,
            "capped": capped,
            "policy_seconds": overhead,
        }
        result = replace(
            result,
            seconds=time.perf_counter() - start,
            solver=f"tuned {result.solver} ({self.parameter} = {_short(arm)})",
            info={**result.info, "tuned": info},
        )
        return report(result, on_failure)

    def _solve(
        self,
        arm: Any,
        index: int,
        A: Any,
        b: Array,
        *,
        x0: Array | None,
        limit: _Limit,
        settings: dict[str, Any],
    ) -> SolveResult:
        keywords = dict(settings, x0=x0, maxiter=limit.maxiter, callback=limit.callback, on_failure="ignore")
        if self.preconditioner is not None or self.parameter == "M":
            keywords["M"] = self._preconditioner(arm, index, A)
        else:
            keywords[self.parameter] = arm
        return self.solver(A, b, **keywords)

    def _preconditioner(self, arm: Any, index: int, A: Any) -> Any:
        if self.reuse and index in self._built and self._built[index][0] is A:
            return self._built[index][1]
        if self.preconditioner is not None:
            M = self.preconditioner(A, **{self.parameter: arm})
        elif arm is None or is_array(arm) or (hasattr(arm, "matvec") and not isinstance(arm, type)):
            M = arm
        else:
            M = arm(A)
        if self.reuse:
            self._built[index] = (A, M)
        return M

    def _current_cap(self) -> float | None:
        policy = self.policy
        if self.cap_factor is None or policy.rounds < HISTORY_BEFORE_CAP:
            return self.cap
        relative = self.cap_factor * float(policy.totals.sum()) / policy.rounds
        return relative if self.cap is None else min(self.cap, relative)

    def _price_of_failure(self, paid: float, cap: float | None, maxiter: int | None, n: int) -> float:
        if cap is not None:
            return max(cap, paid)  # the clock cannot stop a set-up
        if self.cost == "seconds":
            return 10.0 * max(paid, self._largest)
        return max(paid, float(min(10 * n + 50, 10000) if maxiter is None else maxiter), 1.0)

    def _informative(self, result: SolveResult, limit: _Limit) -> bool:
        """Whether the cost says something about the arm: not for trivial or interrupted solves."""
        interrupted = result.status is Status.STOPPED and not limit.reached
        trivial = result.status.succeeded and result.iterations == 0
        return not (interrupted or trivial)

    def _finish(
        self,
        result: SolveResult,
        arm: Any,
        index: int,
        A: Any,
        b: Array,
        x0: Array | None,
        maxiter: int | None,
        callback: Callable[[Any], bool | None] | None,
        settings: dict[str, Any],
    ) -> SolveResult:
        """Bring a solve that was stopped at its cap to its end with the cheapest of the other arms so far."""
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(self.policy.plays > 0, self.policy.totals / self.policy.plays, np.inf)
        mean[index] = np.finfo(float).max  # the same arm goes on only where no other was ever played
        best = int(mean.argmin())
        if best != index:
            arm = self.policy.arms[best]
        reached = result.x if math.isfinite(result.residual_norm) else x0
        limit = _Limit(
            self.cost, None, 0.0, None if maxiter is None else maxiter - result.iterations, callback
        )
        last = self._solve(arm, best, A, b, x0=reached, limit=limit, settings=settings)
        return replace(
            last,
            iterations=result.iterations + last.iterations,
            matvecs=result.matvecs + last.matvecs,
            residual_history=result.residual_history + last.residual_history,
            solver=f"{result.solver}, then {_short(arm)}",
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save what the policy has learned."""
        self.policy.save(path)

    def load(self, path: str | os.PathLike[str]) -> TunedSolver:
        """Continue from a saved policy; returns ``self``."""
        self.policy.load(path)
        return self

    def __repr__(self) -> str:
        name = getattr(self.solver, "__name__", type(self.solver).__name__)
        return f"<tuned {name}, {self.parameter} by {self.policy!r}>"


class _Limit:
    """How far a solve may go: `maxiter` and a callback that watches the clock, on top of the user's own."""

    def __init__(self, cost: str, cap: float | None, start: float, maxiter: int | None, callback: Any):
        self.reached = False  # by the clock
        self.lowered = False
        self.maxiter, self.callback = maxiter, callback
        if cap is None:
            return
        if cost == "seconds":
            self._deadline, self._users = start + cap, callback
            self.callback = self._watch
        else:  # an iteration takes at least one product
            most = max(1, math.floor(cap))
            self.lowered = maxiter is None or most < maxiter
            self.maxiter = most if self.lowered else maxiter

    def ended(self, result: SolveResult) -> bool:
        """Whether it was the cap that ended the solve."""
        return self.reached or (self.lowered and result.status is Status.MAXITER)

    def _watch(self, state: Any) -> bool:
        if self._users is not None and self._users(state):
            return True
        self.reached = time.perf_counter() > self._deadline
        return self.reached


def _short(arm: Any) -> str:
    name = label(arm)
    return f"{name:g}" if isinstance(name, float) else str(name)
