"""The structural protocols every part of `sciml` meets at.

No base class is required: anything with these members passes, so SciPy, PyAMG, PyLops and PETSc
objects are taken unchanged. The page ``docs/operator_protocol.md`` explains them with examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..backends.namespace import Array

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PROPERTIES", "FiniteSum", "LinearOperator", "Operator", "Solver", "TimeStepper"]

PROPERTIES = frozenset({"linear", "symmetric", "positive_definite", "positive_semidefinite"})
"""Properties an operator may declare. ``symmetric`` means Hermitian where entries are complex."""


@runtime_checkable
class Operator(Protocol):
    """A map between vectors, possibly non-linear: PDE residuals, tendencies, monotone maps, networks."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> Any: ...

    def __call__(self, x: Array) -> Array: ...


@runtime_checkable
class LinearOperator(Protocol):
    """A linear map: stencils, matrices, encodings, multigrid cycles.

    ``rmatvec`` applies the adjoint (conjugate transpose). ``diagonal()``, ``properties``,
    ``in_shape`` and ``out_shape`` are optional; `sciml.as_operator` fills them in.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> Any: ...

    def matvec(self, x: Array) -> Array: ...

    def rmatvec(self, x: Array) -> Array: ...


@runtime_checkable
class FiniteSum(Protocol):
    """A mean of `n` component maps ``F_i`` under a sampling law; stochastic methods read a few at a time.

    ``sample`` draws component numbers, ``difference`` is the mean of ``F_i(u) − F_i(v)`` over a batch,
    weighted so that its expectation is ``F(u) − F(v)``, and ``lipschitz`` is the constant on average over
    the law. Optional: ``lipschitz_full`` of `F` itself, ``cocoercive``, ``G`` (an object with ``resolvent``),
    ``draws`` for independent numbers, ``solve(w, step)`` for the resolvent of `F`. `FiniteSumBase` has all.
    """

    n: int
    lipschitz: float

    def full(self, u: Array) -> Array: ...

    def difference(self, batch: Array, u: Array, v: Array) -> Array: ...

    def sample(self, rng: np.random.Generator, size: int) -> Array: ...

    def resolvent(self, u: Array, step: float) -> Array: ...


@runtime_checkable
class TimeStepper(Protocol):
    """A model that advances a state: heat, Kuramoto–Sivashinsky, corrected models."""

    dt: float
    state_shape: tuple[int, ...]

    def step(self, u: Array, t: float, dt: float) -> Array: ...


@runtime_checkable
class Solver(Protocol):
    """Anything called like ``cg(A, b)`` that returns a `sciml.SolveResult`."""

    def __call__(
        self,
        A: Any,
        b: Array,
        *,
        x0: Array | None = None,
        M: Any = None,
        rtol: float = ...,
        atol: float = ...,
        maxiter: int | None = None,
        callback: Callable[[Any], bool | None] | None = None,
        on_failure: str = ...,
    ) -> Any: ...
