"""Loading PETSc and MPI, and ending all ranks when one of them fails."""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
import time
import traceback
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["INSTALL", "clean_up", "end_all_ranks", "load_mpi", "load_petsc", "python_matrix", "world"]

INSTALL = (
    "the engine 'petsc' needs petsc4py and mpi4py, and one of them cannot be imported. Either install the "
    "packages of the system, `apt-get install python3-petsc4py python3-mpi4py` on Debian and Ubuntu, and use "
    "them from a virtual environment made with `python3 -m venv --system-site-packages`; or build PETSc from "
    "source with `pip install 'sciml[petsc]'`, which needs an MPI compiler. See docs/distributed.md"
)

_AGREEMENT_SECONDS = 2.0
"""How long a failing rank waits for the others to fail in the same way before it ends them."""


def load_petsc() -> Any:
    """The module `petsc4py.PETSc`; MPI is initialised, and from now on an error that nobody catches ends all
    ranks.

    Raises
    ------
    ImportError
        Saying what to install.
    """
    load_mpi()
    sys.path += [folder for folder in _debian_folders() if folder not in sys.path]
    try:
        from petsc4py import PETSc
    except ImportError as error:
        raise ImportError(f"{INSTALL} ({error})") from None
    if not issubclass(PETSc.ScalarType, float):
        raise ImportError(
            f"petsc4py was built for {PETSc.ScalarType.__name__} numbers; expected a build for real ones"
        )
    return PETSc


def _debian_folders() -> list[str]:
    """Where Debian and Ubuntu put petsc4py, which Python finds by itself only with PETSc's compiler files."""
    if importlib.util.find_spec("petsc4py") is not None:
        return []
    return [str(path.parent) for path in Path("/usr/lib/petscdir").glob("*/*-real/lib/python3/*/petsc4py")]


def load_mpi() -> Any:
    """The module `mpi4py.MPI`."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(f"{INSTALL} ({error})") from None
    if MPI.COMM_WORLD.size > 1:
        # One thread a rank, unless the user says otherwise: ranks are what is parallel here.
        os.environ.setdefault("SCIML_NUM_THREADS", "1")
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _excepthook
    return MPI


def world(comm: Any = None) -> Any:
    """An mpi4py communicator: `comm` itself, one given as PETSc's, or that of all ranks."""
    mpi = load_mpi()
    if comm is None:
        return mpi.COMM_WORLD
    if isinstance(comm, mpi.Comm):
        return comm
    if hasattr(comm, "tompi4py"):
        return comm.tompi4py()
    raise TypeError(f"comm is a {type(comm).__name__}; expected an mpi4py or PETSc communicator, or None")


def clean_up(comm: Any) -> None:
    """Free the PETSc objects Python has dropped; to be called by all ranks.

    petsc4py only marks them, since ranks drop them at different times and freeing is done together.
    """
    petsc = load_petsc()
    cleanup = getattr(petsc, "garbage_cleanup", None)  # older versions free at once
    if cleanup is not None:
        cleanup(comm)
        cleanup(petsc.COMM_SELF)


_matrices: dict[int, weakref.ref[Any]] = {}


def python_matrix(rows: tuple[int, int], columns: tuple[int, int], context: Any, comm: Any) -> Any:
    """A PETSc matrix without entries whose products are methods of `context`.

    `rows` and `columns` hold the number on this rank and on all. `context` must not hold the matrix: Python's
    garbage collector does not see through PETSc.
    """
    mat = load_petsc().Mat().createPython((rows, columns), context=context, comm=comm)
    mat.setUp()
    # Such a matrix still alive when PETSc has been finalised crashes the interpreter on its way out.
    key = id(mat)
    _matrices[key] = weakref.ref(mat, lambda _: _matrices.pop(key, None))
    return mat


@atexit.register
def _destroy_matrices() -> None:
    for reference in list(_matrices.values()):
        mat = reference()
        if mat is not None:
            mat.destroy()


def end_all_ranks(message: str, code: int) -> None:
    """End every rank with exit code `code` and one message on standard error.

    Where all ranks fail alike, as they do on a wrong argument, rank 0 speaks for all and each returns from
    here, to exit by itself. Where some fail alone, the others wait for them in some communication and always
    would: after a moment they are ended from here, and this does not return.
    """
    comm = load_mpi().COMM_WORLD
    if comm.size == 1:
        print(message, file=sys.stderr, flush=True)
        return
    everyone = comm.Ibarrier()
    deadline = time.monotonic() + _AGREEMENT_SECONDS
    while time.monotonic() < deadline:
        if everyone.Test():
            if comm.rank == 0:
                print(message, file=sys.stderr, flush=True)
            return
        time.sleep(0.01)
    print(f"{message} (rank {comm.rank} of {comm.size})", file=sys.stderr, flush=True)
    comm.Abort(code)


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
    if not os.environ.get("SCIML_TRACEBACK") and isinstance(error, ValueError | TypeError | ImportError):
        text = f"{kind.__name__}: {error}"
    end_all_ranks(text, 1)
    # All ranks failed alike. MPI's own clean-up at exit would wait for communication that never ends.
    sys.stderr.flush()
    os._exit(1)
