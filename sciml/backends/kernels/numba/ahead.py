"""Kernels of a multigrid cycle, compiled by a second process while the first one is busy with the set-up.

The first solve on a machine compiles about a hundred functions, and the compiler holds a lock: threads cannot
share the work. Processes can, as they meet in numba's cache on disk. What is not found there when it is
needed, for whatever reason, is compiled by the process that needs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...threads import num_threads

__all__ = ["compiling_ahead", "signatures"]


def signatures() -> list[tuple[Any, tuple[Any, ...]]]:
    """Kernels in the order of their need, and the types they meet where `Multigrid` preconditions a system in
    double precision on a grid with obstacles."""
    from numba import types as t

    from . import grid_cg, paired, smoothers, stencil, transfer

    single, double, index, byte = (
        t.Array(dtype, 1, "C") for dtype in (t.float32, t.float64, t.int64, t.uint8)
    )
    part, three = (t.int64, t.int64), t.UniTuple(t.int64, 3)

    def finest(real: Any) -> Any:
        """The stencil of a grid of codes."""
        return t.Tuple((three, three, byte, real, real, t.uint8, t.UniTuple(real, 3), t.none))

    real = t.float32
    coarse = t.Tuple((three, three, single, real, real, real, t.UniTuple(real, 3), t.UniTuple(single, 3)))
    blocks = t.Tuple((three, three, index, index, index, index))
    extras = t.Tuple(
        (index, index, byte, index, index, single, index, byte, index, index, single, single, t.int64)
    )

    def relax(stencil: Any, extras: Any) -> tuple[Any, ...]:
        stages, flags = t.UniTuple(t.int64, 2), (t.boolean, t.int64, t.int64, t.int64)
        vectors = (single, single, double, t.float64)
        return (*part, stages, *flags, *vectors, stencil, real, blocks, single, extras, double)

    return [
        (smoothers.relax, relax(finest(real), t.none)),
        (transfer.restrict_residual, (*part, single, single, finest(real), blocks, single)),
        (smoothers.relax, relax(coarse, extras)),
        (paired.residual, (*part, single, single, single, coarse)),
        (
            grid_cg.direction,
            (*part, t.int64, single, t.boolean, t.float64, t.float64, double, finest(t.float64), double),
        ),
        (grid_cg.step, (*part, t.float64, double, double, double, finest(t.float64), double)),
        (stencil.residual, (*part, double, double, double, finest(t.float64))),
    ]


@contextmanager
def compiling_ahead() -> Iterator[None]:
    """Have `signatures` compiled by another process, if they never were and there is a core for it.

    The process ends with the block, wherever it is.
    """
    process = None
    if num_threads() > 1 and sys.executable and not _compiled_before():
        quiet = subprocess.DEVNULL
        with suppress(OSError):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__], stdin=quiet, stdout=quiet, stderr=quiet
            )
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _compiled_before() -> bool:
    kernel, _ = signatures()[0]
    name = f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}"
    return any(Path(kernel.stats.cache_path).glob(f"{name}-*.nbi"))


if __name__ == "__main__":
    for compiled, argument_types in signatures():
        compiled.compile(argument_types)
