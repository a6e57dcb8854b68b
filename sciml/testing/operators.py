"""Contract checks for operators: shapes, layouts, linearity, the adjoint, declared properties."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ..backends.namespace import (
    Array,
    array_namespace,
    backend_name,
    device,
    dtype_name,
    is_array,
    norm2,
    to_numpy,
    vdot,
)
from ..operators import as_operator
from .report import Probes, finish, relative_difference, rounding

__all__ = ["check_linear_operator", "check_operator"]

SMALL = 256
"""Up to this many unknowns declared properties are checked on the whole matrix, not only on probes."""


def check_operator(
    A: Any, *, like: Array | None = None, seed: int = 0, raise_on_failure: bool = True
) -> list[str]:
    """Check what every operator promises, a non-linear one too.

    ``shape`` and ``dtype`` are there; flat and natural layouts work and agree; a wrong shape is a
    `ValueError`; the result has the library, the device and the dtype of the input and is finite; the input
    is not modified; the same input gives the same result, and an earlier result is not overwritten.

    Parameters
    ----------
    A : operator
        Anything `sciml.as_operator` takes.
    like : array, optional
        Probes are made in the library and on the device of this array; NumPy by default.
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
    >>> from sciml.testing import check_operator
    >>> check_operator(np.eye(3))
    []
    """
    sentences = _missing_members(A)
    if not sentences:
        operator = as_operator(A)
        sentences = guarded(_application, operator, Probes(like, operator.dtype, seed))
    return finish(repr(A), sentences, raise_on_failure)


def check_linear_operator(
    A: Any,
    *,
    like: Array | None = None,
    rtol: float | None = None,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> list[str]:
    """Check what a linear operator promises: all of `check_operator`, and

    ``A(αx + βy) = αAx + βAy``; columns ``(n, k)`` agree with single vectors; ``⟨Ax, y⟩ = ⟨x, Aᴴy⟩`` where
    there is an adjoint; ``diagonal()`` agrees where there is one; declared symmetry and definiteness hold;
    ``astype`` gives the same map. Properties are checked on the whole matrix up to 256
    unknowns and on random, constant and unit probes above, which may miss a violation.

    Parameters
    ----------
    A : operator
        Anything `sciml.as_operator` takes.
    like : array, optional
        Probes are made in the library and on the device of this array; NumPy by default.
    rtol : float, optional
        Relative difference that counts as rounding; 1e-9, or 2e-4 for single precision.
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
    >>> from sciml import CallableOperator
    >>> from sciml.testing import check_linear_operator
    >>> def shift(x):
    ...     return np.roll(x, 1)
    >>> shift = CallableOperator(shift, 3, adjoint=shift, properties={"linear"})
    >>> for sentence in check_linear_operator(shift, raise_on_failure=False):
    ...     print(sentence)
    the adjoint is wrong: ⟨A x, y⟩ = 1.193 but ⟨x, Aᴴ y⟩ = 0.04244
    """
    sentences = _missing_members(A)
    if not sentences:
        operator = as_operator(A)
        probes, tol = Probes(like, operator.dtype, seed), rounding(operator.dtype, rtol)
        if "linear" not in operator.properties:
            sentences.append(f"properties {sorted(operator.properties)} do not declare 'linear'")
        sentences += guarded(_application, operator, probes)
        for check in (_linearity, _columns, _adjoint, _diagonal, _declared_properties, _other_precision):
            sentences += guarded(check, operator, probes, tol)
    return finish(repr(A), sentences, raise_on_failure)


# -- the single checks: generators of sentences -----------------------------------------------
def _application(A: Any, probes: Probes) -> Iterator[str]:
    n_out, n_in = A.shape
    if n_in == 0 or n_out == 0:
        yield f"shape is {A.shape}; expected at least one row and one column"
        return
    flat, x = probes.normal((n_in,)), probes.normal(A.in_shape)
    before = np.array(to_numpy(x), copy=True)
    y = A(x)
    if not is_array(y):
        yield f"A(x) returned a {type(y).__name__}; expected an array"
        return
    if tuple(y.shape) != A.out_shape:
        yield f"A(x) has shape {tuple(y.shape)}; expected out_shape {A.out_shape}"
        return
    if backend_name(y) != backend_name(x):
        yield f"A(x) is a {backend_name(y)} array but x is a {backend_name(x)} array; data must not move"
        return
    if device(y) != device(x):
        yield f"A(x) lives on {device(y)} but x on {device(x)}; data must not move"
    if dtype_name(y) != dtype_name(x):
        yield f"A(x) has dtype {dtype_name(y)} for x of the operator's own dtype {dtype_name(x)}"
    if not np.array_equal(before, to_numpy(x)):
        yield "the operator modifies its input x"
    first = np.array(to_numpy(y), copy=True)
    if not np.all(np.isfinite(first)):
        yield "A(x) is not finite for a finite x"
    x = probes.array(before)
    A(probes.normal(A.in_shape))
    tol = rounding(probes.dtype, None)
    if not np.array_equal(first, to_numpy(y), equal_nan=True):
        yield "a second application overwrites the result of the first one: A returns its work array"
    if relative_difference(first, A(x)) > tol:
        yield "two applications to the same x give different results"
    y_flat = A(flat)
    if tuple(y_flat.shape) != (n_out,):
        yield f"a flat x gives shape {tuple(y_flat.shape)}; expected ({n_out},)"
    elif A.in_shape != (n_in,):
        xp = array_namespace(flat)
        natural = xp.reshape(A(xp.reshape(flat, A.in_shape)), (n_out,))
        if relative_difference(natural, y_flat) > tol:
            yield "flat and grid-shaped x give different results"
    yield from _wrong_shape(A, probes, n_in + 1)


def _wrong_shape(A: Any, probes: Probes, n: int) -> Iterator[str]:
    try:
        A(probes.normal((n,)))
    except ValueError:
        return
    except Exception as error:
        yield f"x of length {n} raises {type(error).__name__} ({error}); expected a ValueError"
        return
    yield f"x of length {n} is accepted by an operator of shape {A.shape}; expected a ValueError"


def _linearity(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    x, y = probes.normal(A.in_shape), probes.normal(A.in_shape)
    alpha, beta = (1.25 - 0.5j, -0.75j) if probes.dtype.kind == "c" else (1.25, -0.75)
    gap = relative_difference(A(alpha * x + beta * y), alpha * A(x) + beta * A(y))
    if gap > tol:
        yield f"A is not linear: A(αx + βy) and αAx + βAy differ by {gap:.1e} (relative)"
    zero = norm2(to_numpy(A(x * 0)))
    if zero != 0:
        yield f"A is not linear: A(0) has norm {zero:.1e}; expected 0"


def _columns(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    n_out, n_in = A.shape
    if A.in_shape == (n_in, 2):
        return  # (n, 2) is then the natural layout
    X = probes.normal((n_in, 2))
    Y = A(X)
    if tuple(Y.shape) != (n_out, 2):
        yield f"columns ({n_in}, 2) give shape {tuple(Y.shape)}; expected ({n_out}, 2)"
        return
    for j in range(2):
        gap = relative_difference(Y[:, j], A(X[:, j]))
        if gap > tol:
            yield f"column {j} of A @ X differs from A @ X[:, {j}] by {gap:.1e} (relative)"


def _adjoint(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    x, y = probes.normal(A.in_shape), probes.normal(A.out_shape)
    try:
        x_back = A.rmatvec(y)
    except NotImplementedError:
        if "symmetric" in A.properties:
            yield "A declares 'symmetric' but rmatvec is not implemented"
        return
    if tuple(x_back.shape) != A.in_shape:
        yield f"rmatvec gives shape {tuple(x_back.shape)}; expected in_shape {A.in_shape}"
        return
    Ax = A(x)
    left, right = vdot(y, Ax), vdot(x_back, x)
    size = max(norm2(Ax) * norm2(y), norm2(x) * norm2(x_back))
    if abs(left - right) <= tol * size:
        return
    yield f"the adjoint is wrong: ⟨A x, y⟩ = {left:.4g} but ⟨x, Aᴴ y⟩ = {right:.4g}" + _adjoint_hint(
        A, probes, tol
    )


def _adjoint_hint(A: Any, probes: Probes, tol: float) -> str:
    """Name the two usual mistakes, a forgotten conjugation and a constant factor, where they explain it."""
    pairs = []
    for _ in range(3):
        x, y = probes.normal(A.in_shape), probes.normal(A.out_shape)
        pairs.append((x, y, vdot(y, A(x)), vdot(A.rmatvec(y), x)))
    if probes.dtype.kind == "c":
        xp = array_namespace(pairs[0][0])
        transposed = [xp.conj(A.rmatvec(xp.conj(y))) for _, y, _, _ in pairs]
        if all(
            abs(vdot(z, x) - left) <= 10 * tol * norm2(z) * norm2(x)
            for z, (x, _, left, _) in zip(transposed, pairs, strict=True)
        ):
            return "; rmatvec applies the transpose: conjugate it"
    ratios = np.array([right / left for _, _, left, right in pairs if left != 0])
    # The scale of the products decides what rounding is, so a generous bound on their ratio is enough.
    if ratios.size and np.all(np.abs(ratios - ratios[0]) <= 1e3 * tol * np.abs(ratios[0])):
        return f"; rmatvec is the adjoint times {ratios[0]:.4g}"
    return ""


def _diagonal(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    try:
        diagonal = A.diagonal()
    except NotImplementedError:
        return
    n = min(A.shape)
    if tuple(diagonal.shape) != (n,):
        yield f"diagonal() has shape {tuple(diagonal.shape)}; expected ({n},)"
        return
    if backend_name(diagonal) != probes.backend:
        yield f"diagonal() is a {backend_name(diagonal)} array; expected {probes.backend} as for the products"
        return
    for i in np.unique(np.linspace(0, n - 1, min(n, 16)).astype(int)).tolist():
        entry = _entry(A(probes.unit(A.shape[1], i)), i)
        given = _entry(diagonal, i)
        if abs(entry - given) > tol * max(abs(entry), abs(given)):
            yield f"diagonal()[{i}] is {given:.6g} but ⟨e, A e⟩ is {entry:.6g} for the unit vector {i}"
            return


def _declared_properties(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    names = [p for p in ("symmetric", "positive_definite", "positive_semidefinite") if p in A.properties]
    if not names:
        return
    n = A.shape[1]
    if A.shape[0] != n:
        yield f"A declares {', '.join(names)} but is not square: shape {A.shape}"
        return
    if "positive_definite" in names:
        names.remove("positive_semidefinite")
    if n <= SMALL:
        yield from _properties_of_matrix(A, probes, tol, names)
    else:
        yield from _properties_on_probes(A, probes, tol, names)


def _properties_of_matrix(A: Any, probes: Probes, tol: float, names: list[str]) -> Iterator[str]:
    n = A.shape[0]
    matrix = np.stack([to_numpy(A(probes.unit(n, j))) for j in range(n)], axis=1)
    size = np.linalg.norm(matrix, 2)
    hermitian = matrix.conj().T
    skew = np.linalg.norm(matrix - hermitian, 2)
    if "symmetric" in names and skew > tol * size:
        yield f"A declares 'symmetric' but ‖A − Aᴴ‖ = {skew / size:.1e} ‖A‖"
    smallest = np.linalg.eigvalsh((matrix + hermitian) / 2)[0]
    # A definite matrix may be as ill-conditioned as its precision allows, so only the sign counts.
    if "positive_definite" in names and smallest <= -tol * size:
        yield f"A declares 'positive_definite' but its smallest eigenvalue is {smallest:.3g}"
    elif "positive_definite" in names and smallest <= 4 * n * np.finfo(matrix.dtype).eps * size:
        yield f"A declares 'positive_definite' but is singular: its smallest eigenvalue is {smallest:.3g}"
    if "positive_semidefinite" in names and smallest < -tol * size:
        yield f"A declares 'positive_semidefinite' but its smallest eigenvalue is {smallest:.3g}"


def _properties_on_probes(A: Any, probes: Probes, tol: float, names: list[str]) -> Iterator[str]:
    n = A.shape[0]
    vectors = [probes.normal((n,)) for _ in range(4)]
    vectors += [probes.array(np.ones(n)), *(probes.unit(n, i) for i in (0, n // 2, n - 1))]
    images = [A(v) for v in vectors]
    for (x, Ax), (y, A_y) in pairwise(zip(vectors, images, strict=True)):
        gap = abs(vdot(y, Ax) - vdot(A_y, x))
        size = max(norm2(Ax) * norm2(y), norm2(A_y) * norm2(x))
        if "symmetric" in names and gap > tol * size:
            yield f"A declares 'symmetric' but ⟨A x, y⟩ and ⟨x, A y⟩ differ by {gap / size:.1e} (relative)"
            break
    for x, Ax in zip(vectors, images, strict=True):
        form = vdot(x, Ax).real
        if "positive_definite" in names and form <= 0:
            yield f"A declares 'positive_definite' but ⟨x, A x⟩ = {form:.3g} for some x"
            return
        if "positive_semidefinite" in names and form < -tol * norm2(x) * norm2(Ax):
            yield f"A declares 'positive_semidefinite' but ⟨x, A x⟩ = {form:.3g} for some x"
            return


def _other_precision(A: Any, probes: Probes, tol: float) -> Iterator[str]:
    kind = "complex" if probes.dtype.kind == "c" else "float"
    for name in ("complex64", "complex128") if kind == "complex" else ("float32", "float64"):
        try:
            B = A.astype(name)
        except NotImplementedError:
            return
        if B.shape != A.shape or B.properties != A.properties:
            yield f"astype({name!r}) changes the shape or the declared properties"
            continue
        x = probes.normal(A.in_shape)
        expected = A(x)
        xp = array_namespace(x)
        y = B(xp.astype(x, getattr(xp, name)))
        if dtype_name(y) != name:
            yield f"astype({name!r}) gives results of dtype {dtype_name(y)}"
        gap = relative_difference(y, expected)
        if gap > max(tol, 1e-4):
            yield f"astype({name!r}) is another map: results differ by {gap:.1e} (relative)"


# -- helpers ----------------------------------------------------------------------------------
def _missing_members(A: Any) -> list[str]:
    try:
        operator = as_operator(A)
    except (TypeError, ValueError) as error:
        return [str(error)]
    shape = getattr(A, "shape", None)
    if shape is None or tuple(shape) != tuple(operator.shape):
        return [f"shape is {shape}; expected {operator.shape}"]
    return []


def guarded(check: Callable[..., Iterator[str]], *args: Any) -> list[str]:
    """Run a check; an exception nobody expected is a broken promise too."""
    sentences: list[str] = []
    try:
        for sentence in check(*args):
            sentences.append(sentence)
    except Exception as error:
        sentences.append(f"{check.__name__.strip('_')} raised {type(error).__name__}: {error}")
    return sentences


def _entry(x: Array, i: int) -> Any:
    return to_numpy(x[i : i + 1])[0]
