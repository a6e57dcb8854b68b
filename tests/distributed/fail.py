"""Run by all ranks: fails in one of several ways, or solves under a limit of memory. See test_failures.py."""

from __future__ import annotations

import os
import resource
import signal
import sys

import sciml
from sciml import distributed
from sciml.distributed.engine import world
from sciml.measure.memory import PeakMemory
from sciml.problems import poisson

COMM = world()
LAST = COMM.rank == COMM.size - 1


def limited() -> None:
    """A whole grid of 128³ cells takes one process about 170 MB with our serial solver."""
    small = distributed.poisson((32, 32, 32), obstacles="balls")
    distributed.solve(small.A, small.b)
    serial = poisson((32, 32, 32), obstacles="balls")
    sciml.solve(serial.A, serial.b)
    with PeakMemory() as memory:  # what MPI maps on its first large messages counts towards the limit, once
        parts = distributed.poisson((64, 64, 64), obstacles="balls")
        distributed.solve(parts.A, parts.b)
    assert memory.growth < 64 * 2**20
    del parts
    distributed.engine.clean_up(COMM)
    with open("/proc/self/status") as status:  # noqa: PTH123
        size = next(int(line.split()[1]) for line in status if line.startswith("VmSize:")) * 1024
    room = 110 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
    parts = distributed.poisson((128, 128, 128), obstacles="balls")
    result = distributed.solve(parts.A, parts.b, rtol=1e-6)
    assert result.converged
    print("solved within the limit", flush=True)
    del parts, result
    distributed.engine.clean_up(COMM)
    try:
        whole = poisson((128, 128, 128), obstacles="balls")
        sciml.solve(whole.A, whole.b)
    except MemoryError:
        print("the serial solve is out of memory", flush=True)


def enough(state: object = None) -> None:
    if LAST:
        raise RuntimeError("this rank has had enough")


def main(how: str) -> None:
    parts = distributed.poisson((24, 24, 24), obstacles="balls")
    if how == "alone":
        enough()
        distributed.solve(parts.A, parts.b)
    elif how == "callback":
        distributed.solve(parts.A, parts.b, callback=enough)
    elif how == "local":
        distributed.solve(parts.A, parts.b, M=_Failing())
    elif how == "killed":
        if LAST:
            os.kill(os.getpid(), signal.SIGKILL)
        distributed.solve(parts.A, parts.b)
    elif how == "together":
        distributed.solve(parts.A, parts.b, rtol=-1)
    elif how == "limited":
        limited()


class _Failing:
    """A preconditioner that fails inside PETSc, on one rank."""

    label = "failing"

    def matrix(self, A: object) -> None:
        return None

    def configure(self, pc: object, A: object) -> None:
        pc.setType("python")  # type: ignore[attr-defined]
        pc.setPythonContext(self)  # type: ignore[attr-defined]

    def apply(self, pc: object, x: object, y: object) -> None:
        enough()
        x.copy(y)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
