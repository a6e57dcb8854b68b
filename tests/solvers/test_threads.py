"""Two solves in two Python threads: the same bits as alone, with objects of their own or shared."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sciml import (
    PoissonOperator,
    constrained_qp,
    eag,
    extragradient,
    forward_backward,
    halpern,
    projected_multigrid,
    projected_sor,
    solve,
    sor,
    vr_extragradient,
)
from sciml.backends.threads import use_threads
from sciml.operators import AffineSum, Box, LeastSquares, NonNegative
from sciml.preconditioners import PRECONDITIONERS, LearnedMultigrid, make_preconditioner
from sciml.problems import poisson
from sciml.solvers.registry import SOLVERS, prepare
from sciml.tuning import ChebCB, GaussianProcessCB, TsallisINF, adaptive_sor, tuned

ROUNDS = 3
"""Of two threads at once, each with its own right-hand side."""


@pytest.fixture(autouse=True, params=[1, 2], ids=["1-kernel-thread", "2-kernel-threads"])
def kernels(request):
    """How many slabs each of the two solves is split into."""
    return request.param


@pytest.fixture(autouse=True)
def impatient():
    """Python changes threads every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def rhs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def both(kernels: int, first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """Results of two functions that run at once."""
    found: list[Any] = [None, None]
    start = threading.Barrier(2)

    def work(i: int, function: Callable[[], Any]) -> None:
        with use_threads(kernels):
            start.wait()
            try:
                found[i] = function()
            except BaseException as error:
                found[i] = error

    threads = [threading.Thread(target=work, args=(i, f)) for i, f in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


def check(kernels: int, run: Callable[[int], Any]) -> None:
    """``run(seed)`` gives the same in two threads as alone."""
    with use_threads(kernels):
        alone = [run(0), run(1)]
    for _ in range(ROUNDS):
        for expected, found in zip(alone, both(kernels, lambda: run(0), lambda: run(1)), strict=True):
            for a, b in zip(expected, found, strict=True):
                assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def parts(result: Any) -> tuple[Any, ...]:
    return result.x, result.iterations, result.residual_history


def quiet(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, ...]:
    return parts(function(*args, **{"on_failure": "ignore", **options}))


# -- linear systems ---------------------------------------------------------------------------
CAVE = np.zeros((24, 20), dtype=bool)
CAVE[8:14, 5:12] = True


def grid_operator(solver: str) -> PoissonOperator:
    return PoissonOperator((24, 20)) if solver == "fft" else PoissonOperator((24, 20), cells=CAVE)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(kernels, solver, shared):
    A = grid_operator(solver)
    M = prepare(solver, A, None)[0]

    def run(seed: int) -> tuple[Any, ...]:
        if shared:
            operator, inner = A, M
        else:
            operator = grid_operator(solver)
            inner = prepare(solver, operator, None)[0]
        return quiet(SOLVERS[solver], operator, rhs((24, 20), seed), M=inner, maxiter=40)

    check(kernels, run)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("name", PRECONDITIONERS)
def test_preconditioners(kernels, name, shared):
    A = grid_operator("fft")
    M = make_preconditioner(name, A)

    def run(seed: int) -> tuple[Any, ...]:
        operator = A if shared else grid_operator("fft")
        inner = M if shared else make_preconditioner(name, operator)
        return quiet(SOLVERS["fcg"], operator, rhs((24, 20), seed), M=inner, maxiter=30)

    check(kernels, run)


def test_multigrid_with_every_kind_of_level(kernels):
    problem = poisson((40, 32, 24), obstacles="porous", seed=1)
    M = LearnedMultigrid(problem.A)
    check(kernels, lambda seed: quiet(SOLVERS["cg"], problem.A, rhs((40, 32, 24), seed), M=M, maxiter=8))


def test_automatic_choice(kernels):
    problem = poisson((32, 32), obstacles="balls", seed=1)
    check(kernels, lambda seed: quiet(solve, problem.A, rhs((32, 32), seed)))


# -- tuned solvers ----------------------------------------------------------------------------
POLICIES = {
    "tsallis": lambda: TsallisINF([1.2, 1.5, 1.8], seed=3),
    "chebyshev": lambda: ChebCB([1.2, 1.5, 1.8], context_range=(0.0, 1.0), degree=2, seed=3),
    "gaussian": lambda: GaussianProcessCB([1.2, 1.5, 1.8], context_range=(0.0, 1.0), seed=3),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_tuned_solvers(kernels, policy):
    """A policy learns from one solve after the other, so each thread has its own."""
    A = PoissonOperator((16, 16))

    def run(seed: int) -> tuple[Any, ...]:
        tune = tuned(sor, parameter="omega", policy=POLICIES[policy]())
        results = [tune(A, rhs((16, 16), seed + i), context=0.1 * i) for i in range(6)]
        return (
            *(part for result in results for part in parts(result)),
            tune.policy.plays,
            tune.policy.totals,
        )

    check(kernels, run)


def test_adaptive_sor(kernels):
    A = PoissonOperator((16, 16))
    check(kernels, lambda seed: quiet(adaptive_sor, A, rhs((16, 16), seed)))


# -- inclusions -------------------------------------------------------------------------------
def least_squares(seed: int) -> Any:
    A = rhs((12, 5), seed)
    return LeastSquares(A, A @ np.arange(-2.0, 3.0), G=NonNegative())


def saddle(seed: int) -> Any:
    return constrained_qp(np.eye(5), np.ones(5), rhs((3, 5), seed), np.zeros(3))


def membrane(seed: int) -> Any:
    A = PoissonOperator((16, 16), spacing=1 / 16)
    return AffineSum(A, np.abs(rhs((16, 16), seed)) * 10.0, G=Box(upper=0.4))


INCLUSIONS: dict[str, tuple[Callable[..., Any], Callable[[int], Any], dict[str, Any]]] = {
    "halpern": (halpern, least_squares, {}),
    "halpern-primal-dual": (halpern, saddle, {}),
    "halpern-page": (halpern, least_squares, {"variance_reduction": "page"}),
    "halpern-forb": (halpern, saddle, {"variance_reduction": "forb", "inner_epochs": 1.0}),
    "extragradient": (extragradient, saddle, {}),
    "eag": (eag, saddle, {"restart": "adaptive"}),
    "vr-extragradient": (vr_extragradient, saddle, {}),
    "forward-backward": (forward_backward, least_squares, {"accelerated": True}),
    "projected-sor": (projected_sor, membrane, {"omega": 1.4}),
    "projected-multigrid": (projected_multigrid, membrane, {}),
}


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("name", INCLUSIONS)
def test_inclusions(kernels, name, shared):
    solver, make, settings = INCLUSIONS[name]
    first = make(0)
    problems = [first, first if shared else make(1)]

    def run(seed: int) -> tuple[Any, ...]:
        problem = problems[seed]
        start = np.full(problem.in_shape, 0.1 * (1 + seed))
        return quiet(solver, problem, start, maxiter=40, **settings)

    check(kernels, run)


# -- learned components -----------------------------------------------------------------------
def test_direction_networks(kernels):
    pytest.importorskip("torch")
    from sciml.learned.dcd import DCDNetwork, dcd

    A, network = PoissonOperator((16, 16)), DCDNetwork.untrained("small", (16, 16), seed=1)
    check(kernels, lambda seed: quiet(dcd, A, rhs((16, 16), seed), network, maxiter=8))


def test_recurrent_inference_machines(kernels):
    pytest.importorskip("torch")
    from sciml.learned.rim import RIM

    rim = RIM(channels=4, steps=3, components=1, seed=1)
    A = np.random.default_rng(5).standard_normal((64, 64)) / 16
    check(kernels, lambda seed: quiet(rim, A, rhs((64,), seed), image_shape=(8, 8)))
