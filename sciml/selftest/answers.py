"""Answers known beforehand: closed forms, orders of convergence, and two methods that must agree."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..backends.capabilities import supports
from ..backends.namespace import to_numpy
from ..backends.threads import use_threads
from ..problems import poisson
from ..solvers import cg, fast_poisson, solve, sor, splu
from .report import at_least, at_most, same
from .run import Checks

__all__ = ["beyond_linear_systems", "known_answers", "same_everywhere"]

SHAPE = (40, 36)


def known_answers() -> Checks:
    """Poisson problems on NumPy."""
    return {
        "second order of the discretisation": partial(_order, "numpy", None),
        "fast transforms: an eigenvector": _eigenvector,
        "conjugate gradients with multigrid: direct solution": _direct,
        "multigrid: iterations do not grow": _iterations,
        "SOR: the rate of Young": _rate_of_young,
        "automatic choice": _automatic,
        "threads: the same solution": _threads,
    }


def same_everywhere(library: str, device: str | None) -> Checks:
    """What holds on every array library."""
    checks: dict[str, Any] = {"second order of the discretisation": partial(_order, library, device)}
    methods = [None] + (["multigrid"] if supports("M:multigrid", library) else [])
    for precond in methods:
        name = "cg" if precond is None else f"cg+{precond}"
        checks[f"{name}: the solution of NumPy"] = partial(_as_numpy, library, device, precond)
    return checks


def _order(library: str, device: str | None) -> list[str]:
    errors = []
    for n in (16, 32):
        problem = poisson((n, n), rhs="manufactured", backend=library, device=device)
        errors.append(problem.error(cg(problem.A, problem.b, rtol=1e-10, on_failure="raise").x))
    return at_least("the order of convergence of the error", math.log2(errors[0] / errors[1]), 1.9)


def _eigenvector() -> list[str]:
    """``sin((i + 1/2) k π / n)`` with the eigenvalue ``4/h² sin²(k π / 2n)`` per axis."""
    A = poisson(SHAPE).A
    modes, eigenvalue = [], 0.0
    for n, h, k in zip(SHAPE, A.spacing, (3, 2), strict=True):
        modes.append(np.sin((np.arange(n) + 0.5) * k * np.pi / n))
        eigenvalue += 4 / h**2 * np.sin(k * np.pi / (2 * n)) ** 2
    v = np.outer(*modes)
    return [
        *same("A times the eigenvector", A @ v, eigenvalue * v, 1e-10),
        *same("the solution by fast transforms", fast_poisson(A, v).x, v / eigenvalue, 1e-10),
    ]


def _direct() -> list[str]:
    problem = poisson(SHAPE, obstacles="balls", seed=1)
    direct = splu(problem.A, problem.b, rtol=1e-10, on_failure="raise").x
    result = cg(problem.A, problem.b, M=_multigrid(problem.A), rtol=1e-11, on_failure="raise")
    return same("the solution", result.x, direct, 1e-8)


def _iterations() -> list[str]:
    counts = []
    for n in (16, 32):
        problem = poisson((n, n, n), obstacles="balls", seed=2)
        M = _multigrid(problem.A)
        counts.append(cg(problem.A, problem.b, M=M, rtol=1e-8, on_failure="raise").iterations)
    return at_most("iterations on 32³ cells", counts[1], counts[0] + 3)


def _rate_of_young() -> list[str]:
    """With the best omega the residual falls by omega − 1 per sweep in the long run (up to a factor k)."""
    A = poisson((24, 24)).A
    omega = 2 / (1 + math.sin(math.pi / 24))
    b = A @ np.random.default_rng(0).standard_normal(A.in_shape)
    bound = 2 * math.log(1e-8) / math.log(omega - 1)
    return at_most("sweeps", sor(A, b, omega=omega, rtol=1e-8, on_failure="raise").iterations, bound)


def _automatic() -> list[str]:
    problem = poisson((32, 32), obstacles="porous")
    result = solve(problem.A, problem.b, rtol=1e-8, on_failure="raise")
    residual = float(np.linalg.norm(problem.b - problem.A @ result.x))
    return at_most("the recomputed residual", residual, 1e-8 * float(np.linalg.norm(problem.b)))


def _threads() -> list[str]:
    problem = poisson((24, 24, 24), obstacles="boxes")
    found = []
    for n in (1, 2):
        with use_threads(n):
            found.append(cg(problem.A, problem.b, M=_multigrid(problem.A), rtol=1e-10).x)
    return same("the solution on two threads", found[1], found[0])


def _as_numpy(library: str, device: str | None, precond: str | None) -> list[str]:
    found = []
    for place in ({"backend": "numpy"}, {"backend": library, "device": device}):
        problem = poisson((24, 20), obstacles="boxes", **place)
        M = None if precond is None else _multigrid(problem.A)
        found.append(cg(problem.A, problem.b, M=M, rtol=1e-10, on_failure="raise").x)
    return same("the solution", to_numpy(found[1]), found[0])


def _multigrid(A: Any) -> Any:
    from ..preconditioners import Multigrid  # loads compiled kernels

    return Multigrid(A)


# -- what is more than one linear system ------------------------------------------------------
def beyond_linear_systems() -> Checks:
    """Online tuning, constraints, time steps, and the discovery of a missing term; no extra is needed."""
    return {
        "omega learned online": _tuned,
        "non-negative least squares: SciPy's": _constrained,
        "heat: the decay of a mode": _heat,
        "discovery: the term that was left out": _discovery,
    }


def _tuned() -> list[str]:
    from ..tuning import TsallisINF, tuned

    learner = tuned(sor, parameter="omega", policy=TsallisINF([1.0, 1.4, 1.8], seed=0))
    A, rng = poisson((16, 16)).A, np.random.default_rng(0)
    for _ in range(100):
        learner(A, rng.standard_normal((16, 16)), on_failure="raise")
    best = int(np.argmax(learner.policy.plays))
    return [] if best == 2 else [f"arm {best} was played most; expected 2, the one with fewest iterations"]


def _constrained() -> list[str]:
    from scipy.optimize import nnls

    from ..operators import LeastSquares, NonNegative
    from ..solvers import halpern

    rng = np.random.default_rng(0)
    matrix, b = rng.standard_normal((12, 6)), rng.standard_normal(12)
    F = LeastSquares(matrix, b, G=NonNegative())
    found = halpern(F, np.ones(6), rtol=1e-9, on_failure="raise").x
    return same("the solution by Halpern iterations", found, nnls(matrix, b)[0], 1e-6)


def _heat() -> list[str]:
    """Crank–Nicolson multiplies a mode by ``(1 − λ dt/2) / (1 + λ dt/2)`` per step."""
    from ..problems import CrankNicolson, forecast

    A, dt, steps = poisson((16, 12)).A, 1e-3, 5
    mode = np.outer(*(np.sin((np.arange(n) + 0.5) * np.pi / n) for n in A.in_shape))
    eigenvalue = float(np.vdot(mode, A @ mode) / np.vdot(mode, mode))
    factor = (1 - eigenvalue * dt / 2) / (1 + eigenvalue * dt / 2)
    return same(
        "the mode",
        forecast(CrankNicolson(A, dt, solver=partial(cg, rtol=1e-11)), mode, steps),
        factor**steps * mode,
    )


def _discovery() -> list[str]:
    from ..learned.medida import Library, Snapshots, discover
    from ..problems import lorenz63, trajectory

    truth = trajectory(lorenz63(0.001), np.array([1.0, 3.0, 20.0]), 20_000, 10)
    data = Snapshots(truth[:-1:20], truth[1::20], window=0.01)
    found = discover(lorenz63(0.01, beta=0.0), data, Library.polynomials("xyz"), noise=0.0).as_dict()
    if set(found) != {"z': z"}:
        return [f"found the terms {sorted(found)}; expected only z': z"]
    return at_most("the relative error of the coefficient -8/3", abs(found["z': z"] * 3 / 8 + 1), 1e-2)
