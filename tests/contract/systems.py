"""Named small systems the grid of problem × solver × namespace × dtype is built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from libraries import Namespace

from sciml.operators import PoissonOperator, as_operator


def _poisson(shape: tuple[int, ...], **geometry: Any) -> Callable[[Namespace, str], tuple[Any, Any]]:
    def build(namespace: Namespace, dtype: str) -> tuple[Any, Any]:
        settings = {key: value(shape) if callable(value) else value for key, value in geometry.items()}
        A = PoissonOperator(shape, dtype=dtype, **settings, **namespace.operator_settings)
        x = np.random.default_rng(1).standard_normal(shape)
        return A, A @ namespace.array(np.where(A.fluid, x, 0.0), dtype)

    return build


def _balls(shape: tuple[int, ...]) -> np.ndarray:
    distance = sum(
        (g - 0.45 * n) ** 2 for g, n in zip(np.ogrid[tuple(map(slice, shape))], shape, strict=True)
    )
    return distance < 4.0


def _jump(shape: tuple[int, ...]) -> np.ndarray:
    return 10.0 ** (3.0 * (np.indices(shape).sum(axis=0) // 3 % 2))


def _dense(dtype_kind: str) -> Callable[[Namespace, str], tuple[Any, Any]]:
    def build(namespace: Namespace, dtype: str) -> tuple[Any, Any]:
        rng = np.random.default_rng(2)
        half = rng.standard_normal((30, 30))
        if dtype_kind == "c":
            half = half + 1j * rng.standard_normal((30, 30))
        matrix = half @ half.conj().T / 30 + np.eye(30)
        A = as_operator(namespace.array(matrix, dtype), {"symmetric", "positive_definite"})
        return A, A @ namespace.array(rng.standard_normal(30).astype(matrix.dtype), dtype)

    return build


def _sparse(namespace: Namespace, dtype: str) -> tuple[Any, Any]:
    """The CSR matrix of a grid with obstacles, in the sparse format of the library."""
    csr = PoissonOperator((9, 8), cells=_balls((9, 8))).tocsr(unknowns_only=True).astype(dtype)
    matrix: Any = csr
    if namespace.library == "torch":
        import torch

        parts = (csr.indptr, csr.indices, csr.data)
        matrix = torch.sparse_csr_tensor(
            *(torch.tensor(p, device=namespace.device) for p in parts), csr.shape, check_invariants=True
        )
    elif namespace.library == "cupy":
        import cupyx.scipy.sparse

        matrix = cupyx.scipy.sparse.csr_matrix(csr)
    elif namespace.library == "array-api-strict":
        matrix = namespace.array(csr.toarray())  # the standard knows no sparse matrices
    A = as_operator(matrix, {"symmetric", "positive_definite"})
    return A, A @ namespace.array(np.random.default_rng(3).standard_normal(csr.shape[0]), dtype)


SYSTEMS: dict[str, Callable[[Namespace, str], tuple[Any, Any]]] = {
    "poisson2d": _poisson((8, 8), spacing=0.125),
    "poisson3d": _poisson((6, 5, 4), bc=["dirichlet", "neumann", "periodic"]),
    "balls3d": _poisson((6, 6, 6), cells=_balls, bc=["neumann", "neumann", ("neumann", "dirichlet")]),
    "heat2d": _poisson((9, 7), bc="neumann", shift=0.5),
    "neumann2d": _poisson((8, 6), bc="neumann"),
    "jump2d": _poisson((9, 6), coefficient=_jump),
    "sparse": _sparse,
    "dense": _dense("f"),
    "hermitian": _dense("c"),
}
"""Name to a function that returns an operator and a compatible right-hand side."""

GRID_SYSTEMS = {name for name in SYSTEMS if name[-2:] in ("2d", "3d")}
BOXES = {"poisson2d", "poisson3d", "heat2d", "neumann2d"}
"""Boxes with constant coefficients, which fast transforms diagonalise."""

PRECISIONS = {"float64": 1e-8, "float32": 1e-4, "complex128": 1e-8}
"""Dtypes of the grid and the relative tolerance asked for."""


def dtypes_of(system: str) -> tuple[str, ...]:
    return ("complex128",) if system == "hermitian" else ("float64", "float32")
