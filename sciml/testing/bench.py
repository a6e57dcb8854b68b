"""The small systems solvers are checked on, and the recomputation every result is held to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, dtype_name, norm2, to_numpy
from ..solvers import SolveResult
from .report import Probes

__all__ = ["Bench", "lies", "norm", "similar_to", "true_residual"]

ENOUGH = 5000
"""Iterations in which every solver finishes the small systems used here, a plain Gauss–Seidel too."""


@dataclass(frozen=True)
class Bench:
    """The solver under test and the systems it is tested on, in one library and precision."""

    solve: Callable[..., Any]
    A: Any
    """A small symmetric positive definite operator with a grid-shaped layout."""
    probes: Probes

    @property
    def rtol(self) -> float:
        return 1e-4 if self.probes.dtype.itemsize <= 4 * (1 + (self.probes.dtype.kind == "c")) else 1e-8

    def rhs(self) -> Array:
        return self.A(self.probes.normal(self.A.in_shape))

    def run(self, b: Array, A: Any = None, **settings: Any) -> SolveResult:
        settings = {"rtol": self.rtol, "maxiter": ENOUGH, "on_failure": "ignore", **settings}
        return self.solve(self.A if A is None else A, b, **settings)


def lies(result: SolveResult, A: Any, b: Array) -> Iterator[str]:
    """What every result is held to: its residual, tolerance and status against a recomputation."""
    true = true_residual(A, b, result.x)
    if result.converged and not true <= result.tolerance * (1 + 1e-6):
        yield f"says CONVERGED but ‖b − A x‖ = {true:.3e} is above its tolerance {result.tolerance:.3e}"
    elif not math.isfinite(true) and not math.isfinite(result.residual_norm):
        return  # it says itself that it diverged
    elif not math.isclose(true, result.residual_norm, rel_tol=1e-3, abs_tol=1e-12 * norm(b)):
        yield f"reports a residual of {result.residual_norm:.3e}, but ‖b − A x‖ = {true:.3e}"


def similar_to(probes: Probes, spectrum: np.ndarray) -> Array:
    """A dense symmetric (Hermitian) matrix with the given eigenvalues, in the library of the probes."""
    n = spectrum.size
    rng = np.random.default_rng(7)
    values = rng.standard_normal((n, n))
    if probes.dtype.kind == "c":
        values = values + 1j * rng.standard_normal((n, n))
    Q, _ = np.linalg.qr(values)
    matrix = (Q * spectrum) @ Q.conj().T
    return probes.array((matrix + matrix.conj().T) / 2)


def true_residual(A: Any, b: Array, x: Array) -> float:
    """``‖b − A x‖`` in double precision where the operator allows it."""
    wide = "complex128" if dtype_name(b).startswith("complex") else "float64"
    xp = array_namespace(b)
    try:
        A = A.astype(wide)
        b, x = xp.astype(b, getattr(xp, wide)), xp.astype(x, getattr(xp, wide))
    except NotImplementedError:
        pass
    return norm(b - A.matvec(x))


def norm(x: Array) -> float:
    """Euclidean norm in double precision (single precision overflows at 1e19)."""
    return norm2(to_numpy(x).astype(complex))
