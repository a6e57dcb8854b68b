"""Algebraic multigrid, set up by PyAMG."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse

from .unknowns import EntryPreconditioner, entries, is_hermitian, square_operator

__all__ = ["AMG"]

METHODS = ("smoothed_aggregation", "ruge_stuben")


class AMG(EntryPreconditioner):
    """One cycle of algebraic multigrid, for any CSR matrix.

    Parameters
    ----------
    A : PoissonOperator or matrix
        NumPy arrays. On a grid the hierarchy is built for the unknowns only.
    method : {"smoothed_aggregation", "ruge_stuben"}
        Ruge–Stüben is for real matrices.
    cycle : {"V", "W", "F"}
    **settings
        Passed on to ``pyamg.smoothed_aggregation_solver`` or ``pyamg.ruge_stuben_solver``.

    Attributes
    ----------
    hierarchy : pyamg.multilevel.MultilevelSolver

    Raises
    ------
    ImportError
        Without PyAMG.
    TypeError, ValueError
        For an unknown method or setting, or an `A` without entries.

    References
    ----------
    Bell, Olson and Schroder, PyAMG: algebraic multigrid solvers in Python, JOSS 7 (2022) 4142.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator, cg
    >>> from sciml.preconditioners import AMG
    >>> A, b = PoissonOperator((64, 64)), np.ones((64, 64))
    >>> cg(A, b, M=AMG(A)).iterations < 15
    True
    """

    capability = "M:amg"

    def __init__(self, A: Any, method: str = "smoothed_aggregation", *, cycle: str = "V", **settings: Any):
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
        if cycle not in ("V", "W", "F"):
            raise ValueError(f"cycle is {cycle!r}; expected one of V, W, F")
        try:
            import pyamg
        except ImportError:
            raise ImportError('AMG needs PyAMG; install it with: pip install "sciml[amg]"') from None
        A = square_operator(self.capability, A)
        csr = entries("AMG", A)
        if method == "ruge_stuben" and csr.dtype.kind == "c":
            raise TypeError(f"A has dtype {csr.dtype}; Ruge–Stüben AMG expects a real matrix")
        properties = {"linear"}
        if is_hermitian(A, csr):
            properties |= {"symmetric", *(A.properties & {"positive_definite", "positive_semidefinite"})}
        super().__init__(A, properties)
        self.method, self.cycle = method, cycle
        self.label = "AMG(SA)" if method == "smoothed_aggregation" else "AMG(RS)"
        build = getattr(pyamg, f"{method}_solver")
        if getattr(A, "singular", None) is not None:
            # The coarsest matrix is singular too, or zero up to rounding, which is no eigenvalue.
            rounding = 100.0 * float(np.finfo(csr.dtype).eps * np.max(np.abs(csr.data), initial=0.0))
            settings.setdefault("coarse_solver", ("pinv", {"atol": rounding}))
        with _fixed_seed():
            self.hierarchy = build(_with_int32_indices(csr), **settings)
        self._cycle = self.hierarchy.aspreconditioner(cycle=cycle)

    def _solve(self, r: np.ndarray) -> np.ndarray:
        if not r.any():  # PyAMG would divide by its norm
            return np.zeros_like(r)
        dtype = self.dtype if r.dtype.kind != "c" else np.result_type(self.dtype, r.dtype)
        if dtype.kind == "c" and self.dtype.kind != "c":
            return self._solve(r.real) + 1j * self._solve(r.imag)
        return self._cycle.matvec(r.astype(dtype, copy=False))

    def __repr__(self) -> str:
        sizes = " -> ".join(str(level.A.shape[0]) for level in self.hierarchy.levels)
        complexity = self.hierarchy.operator_complexity()
        facts = f"{self.cycle}-cycle, unknowns {sizes}, operator complexity {complexity:.2f}"
        return f"<{self.label} {facts}, for {self.A!r}>"


_SEEDING = threading.Lock()


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """PyAMG estimates spectral radii from NumPy's global random state: the same hierarchy every time."""
    with _SEEDING:  # of all threads: two set-ups at once would draw from one another
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _with_int32_indices(csr: scipy.sparse.csr_array) -> scipy.sparse.csr_matrix:
    """The form PyAMG's compiled parts take."""
    if csr.nnz >= 2**31:
        raise ValueError(f"A has {csr.nnz} entries; PyAMG expects fewer than 2**31")
    parts = (csr.data, csr.indices.astype(np.int32, copy=False), csr.indptr.astype(np.int32, copy=False))
    return scipy.sparse.csr_matrix(parts, shape=csr.shape)
