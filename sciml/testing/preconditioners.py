"""Contract checks for preconditioners: an operator that approximates the inverse of another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace, norm2, to_numpy, vdot
from ..operators import as_operator
from ..solvers import cg
from .operators import check_linear_operator, check_operator, guarded
from .report import Probes, finish, relative_difference, rounding

__all__ = ["check_preconditioner"]


def check_preconditioner(
    M: Any,
    A: Any,
    *,
    like: Array | None = None,
    rtol: float | None = 2e-4,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> list[str]:
    """Check that `M` can precondition `A`.

    All of `check_linear_operator` if `M` declares itself linear (else of `check_operator`); the shape of `A`;
    zero goes to zero and ``M(s r) = s M(r)`` for ``s = 1e±12``, although `M` may work in single
    precision; the fused ``apply_dot`` agrees; and if `A` and `M` are declared (semi)definite,
    ``⟨r, M r⟩ > 0`` and conjugate gradients converge.

    Parameters
    ----------
    M : operator
        The preconditioner, applied as ``M @ r``.
    A : operator or matrix
        What it was made for.
    like : array, optional
        Probes are made in the library and on the device of this array; NumPy by default.
    rtol : float, optional
        Relative difference that counts as rounding. The default allows single precision inside `M`.
    seed : int
        Of the random probes.
    raise_on_failure : bool
        Raise `AssertionError` if a promise is broken.

    Returns
    -------
    list of str
        One sentence per broken promise.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.testing import check_preconditioner
    >>> A = np.array([[4.0, 1.0], [1.0, 3.0]])
    >>> check_preconditioner(np.diag(1 / np.diag(A)), A)
    []
    """
    operator, system = as_operator(M), as_operator(A)
    if operator.shape != system.shape:
        mismatch = f"M has shape {operator.shape}; expected the shape of A, {system.shape}"
        return finish(repr(M), [mismatch], raise_on_failure)
    if "linear" in operator.properties:
        sentences = check_linear_operator(M, like=like, rtol=rtol, seed=seed, raise_on_failure=False)
    else:
        sentences = check_operator(M, like=like, seed=seed, raise_on_failure=False)
    # Solvers hand residuals to M in the precision of A, which may be wider than M's own.
    probes = Probes(like, np.result_type(operator.dtype, system.dtype), seed)
    tol = rounding(operator.dtype, rtol)
    for check in (_residuals, _fused, _conjugate_gradients):
        sentences += guarded(check, operator, system, probes, tol)
    return finish(repr(M), sentences, raise_on_failure)


def _residuals(M: Any, A: Any, probes: Probes, tol: float) -> Iterator[str]:
    r = A(probes.normal(A.in_shape))  # in the range of A, also where A is singular
    z = _apply(M, r)
    if tuple(z.shape) != tuple(r.shape):
        yield f"M @ r has shape {tuple(z.shape)} for a residual of shape {tuple(r.shape)}"
        return
    if z.dtype != r.dtype:
        yield f"M @ r has dtype {z.dtype} for a residual of dtype {r.dtype}"
    if not np.all(np.isfinite(to_numpy(z))):
        yield "M @ r is not finite for a finite residual"
        return
    if norm2(_apply(M, r * 0)) != 0:
        yield "M @ 0 is not zero"
    if "linear" in M.properties:
        exponent = 6 if probes.dtype.name in ("float32", "complex64") else 12
        for factor in (10.0**exponent, 10.0**-exponent):
            gap = relative_difference(_apply(M, r * factor) / factor, z)
            if not gap <= tol:
                yield f"M @ ({factor:.0e} r) and {factor:.0e} M @ r differ by {gap:.1e} (relative)"
    definite = all("positive_semidefinite" in P.properties for P in (M, A))
    if definite and not vdot(r, z).real > 0:
        yield f"⟨r, M r⟩ = {vdot(r, z).real:.3g} for a residual of A; expected a positive number"


def _fused(M: Any, A: Any, probes: Probes, tol: float) -> Iterator[str]:
    if not hasattr(M, "apply_dot"):
        return
    r = A(probes.normal(A.in_shape))
    z, product = M.apply_dot(r)
    expected = _apply(M, r)
    if relative_difference(z, expected) > tol:
        yield "apply_dot(r) and M @ r give different vectors"
    dot = vdot(r, expected).real
    if abs(product - dot) > tol * abs(dot):
        yield f"apply_dot(r) gives ⟨r, M r⟩ = {product:.6g}; expected {dot:.6g}"


def _conjugate_gradients(M: Any, A: Any, probes: Probes, tol: float) -> Iterator[str]:
    if not all("positive_semidefinite" in P.properties for P in (M, A)):
        return
    b = A(probes.normal(A.in_shape))
    target = 1e-4 if probes.dtype.name in ("float32", "complex64") else 1e-8
    result = cg(A, b, M=M, rtol=target, on_failure="ignore")
    if not result.converged:
        yield f"conjugate gradients preconditioned with M do not converge: {result.summary()}"


def _apply(M: Any, r: Array) -> Array:
    """``M r`` as solvers apply it: natural layouts of `A` and `M` may differ."""
    if tuple(r.shape) == M.in_shape:
        return M(r)
    xp = array_namespace(r)
    return xp.reshape(M(xp.reshape(r, (M.shape[1],))), tuple(r.shape))
