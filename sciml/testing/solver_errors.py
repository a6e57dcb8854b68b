"""Contract checks of what solvers refuse: one clear error that names the argument, before any work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import array_namespace
from ..operators import CallableOperator
from .bench import Bench
from .report import Probes

__all__ = ["ERROR_CHECKS"]


def _bad_rhs(bench: Bench) -> Iterator[str]:
    """A ``b`` that does not fit is refused by name, before any work."""
    n = bench.A.shape[0]
    flat = bench.probes.normal((n,))
    xp = array_namespace(flat)
    nan = bench.probes.array(np.where(np.arange(n) == n // 2, np.nan, 1.0))
    infinite = bench.probes.array(np.where(np.arange(n) == n // 2, np.inf, 1.0))
    integers = bench.probes.array(np.ones(n, dtype=np.int64))
    short = bench.probes.normal((n - 1,))
    yield from _refused("NaN in b", ValueError, "b", lambda: bench.run(nan))
    yield from _refused("infinity in b", ValueError, "b", lambda: bench.run(infinite))
    yield from _refused("b of the wrong length", ValueError, "b", lambda: bench.run(short))
    yield from _refused("an empty b", ValueError, "", lambda: bench.run(flat[:0]))
    yield from _refused("b of integers", TypeError, "b", lambda: bench.run(integers))
    yield from _refused("a list as b", TypeError, "b", lambda: bench.run([1.0] * n))
    cube = xp.reshape(flat, (1, n, 1))
    yield from _refused("b with three axes", ValueError, "b", lambda: bench.run(cube))


def _bad_x0(bench: Bench) -> Iterator[str]:
    """An ``x0`` that does not fit is refused by name."""
    b = bench.rhs()
    n = bench.A.shape[0]
    short = bench.probes.normal((n - 1,))
    nan = bench.probes.array(np.full(bench.A.in_shape, np.nan))
    yield from _refused("x0 of the wrong shape", ValueError, "x0", lambda: bench.run(b, x0=short))
    yield from _refused("NaN in x0", ValueError, "x0", lambda: bench.run(b, x0=nan))


def _bad_settings(bench: Bench) -> Iterator[str]:
    """Settings out of range and unknown keywords are refused by name."""
    b = bench.rhs()
    for settings, error, name in (
        ({"rtol": -1.0}, ValueError, "rtol"),
        ({"rtol": math.nan}, ValueError, "rtol"),
        ({"atol": -1.0}, ValueError, "atol"),
        ({"maxiter": -1}, ValueError, "maxiter"),
        ({"maxiter": 1.5}, ValueError, "maxiter"),
        ({"on_failure": "shout"}, ValueError, "on_failure"),
        ({"callback": 3}, TypeError, "callback"),
        ({"no_such_option": 1}, TypeError, "no_such_option"),
    ):
        what = ", ".join(f"{key} = {value!r}" for key, value in settings.items())
        yield from _refused(what, error, name, partial(bench.run, b, **settings))
    positional = [
        p.name
        for p in inspect.signature(bench.solve).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("A", "b")
    ]
    if positional:
        yield f"takes {', '.join(positional)} by position; options are keyword-only"


def _bad_operator(bench: Bench) -> Iterator[str]:
    """An ``A`` that is not square or not an operator is refused by name."""
    wide = bench.probes.normal((4, 5))
    b = bench.probes.normal((4,))
    yield from _refused("a wide A", (ValueError, TypeError), "A", lambda: bench.run(b, wide))
    yield from _refused("an A that is a string", TypeError, "A", lambda: bench.run(b, "matrix"))
    small = CallableOperator(lambda r: r, 3, properties={"symmetric", "positive_definite"})
    if "M" in inspect.signature(bench.solve).parameters:
        rhs = bench.rhs()
        yield from _refused(
            "an M of another size", (ValueError, TypeError), "M", lambda: bench.run(rhs, M=small)
        )


def _mixed_libraries(bench: Bench) -> Iterator[str]:
    """Arrays of two libraries are refused: data never moves silently."""
    b = bench.rhs()
    if bench.probes.backend == "numpy":
        try:
            other = Probes(_strict_scalar(), bench.probes.dtype)
        except ImportError:
            return  # no second library at hand
    else:
        other = Probes(None, bench.probes.dtype)
    x0 = other.normal(bench.A.in_shape)
    yield from _refused("x0 of another library", TypeError, "x0", lambda: bench.run(b, x0=x0))
    yield from _refused("b of another library than A", TypeError, "", lambda: bench.run(x0))


def _refused(what: str, error: Any, name: str, call: Callable[[], Any]) -> Iterator[str]:
    expected = " or ".join(e.__name__ for e in (error if isinstance(error, tuple) else (error,)))
    try:
        result = call()
    except error as raised:
        if name not in str(raised):
            yield f"{what}: the {type(raised).__name__} does not name {name}: {raised}"
    except Exception as raised:
        yield f"{what} raises {type(raised).__name__} ({raised}); expected {expected}"
    else:
        status = getattr(getattr(result, "status", None), "name", "no error")
        yield f"{what} is accepted ({status}); expected {expected}"


def _strict_scalar() -> Any:
    import array_api_strict

    return array_api_strict.asarray(0.0)


ERROR_CHECKS = (_bad_rhs, _bad_x0, _bad_settings, _bad_operator, _mixed_libraries)
