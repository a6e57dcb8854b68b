"""A solve leaves nothing behind: what it held is freed with its result, not at some later collection."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from sciml import PoissonOperator, bicgstab, cg, fcg, gmres, minres, multigrid, sor, ssor
from sciml.preconditioners import SSOR, Jacobi, Multigrid

SOLVERS = {
    "cg": (cg, None),
    "cg+multigrid": (cg, Multigrid),
    "cg+jacobi": (cg, Jacobi),
    "cg, sparse": (cg, SSOR),
    "fcg": (fcg, Multigrid),
    "sor": (sor, None),
    "ssor": (ssor, None),
    "multigrid": (multigrid, None),
    "gmres": (gmres, Jacobi),
    "minres": (minres, Jacobi),
    "bicgstab": (bicgstab, None),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_is_kept(name):
    method, preconditioner = SOLVERS[name]
    gc.collect()
    gc.disable()
    try:
        A = PoissonOperator((24, 20), bc="dirichlet")
        if "sparse" in name:
            A = A.tocsr()
        M = None if preconditioner is None else preconditioner(A)
        settings = {} if M is None else {"M": M}
        result = method(A, np.ones(A.shape[0]), rtol=1e-4, maxiter=400, on_failure="ignore", **settings)
        held = [weakref.ref(thing) for thing in (A, M, result) if thing is not None]
        del A, M, settings, result
        assert [reference() for reference in held] == [None] * len(held)
    finally:
        gc.enable()
