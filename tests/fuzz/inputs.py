"""The inputs by their numbers, and the verdict on what a reader made of one."""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from .command_line import run_command
from .mutations import PAYLOAD, mutate
from .readers import READERS, Reader

__all__ = ["COMMAND_LINE", "GOOD", "NAMES", "available", "memory", "outcome"]

GOOD = ("read", "refused")
COMMAND_LINE = "command line"
NAMES = (*READERS, COMMAND_LINE)
CPU_SECONDS = 10.0
"""Of one input, at most."""

RUNS_CODE = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect")
"""Audit events no reader has a reason to raise. (Unpickling is one that numba raises for its own cache.)"""

NO_MEMORY = re.compile("nable to allocate|an.t allocate memory|annot allocate memory|ut of memory|bad_alloc")

_events: list[str] = []
_listening = False


def available(name: str) -> bool:
    """Whether what the reader is made of is installed."""
    return name not in READERS or all(importlib.util.find_spec(part) for part in READERS[name].needs)


def outcome(
    name: str, number: int, seed: int, folder: Path, *, spare: int | None = None, audit: bool = False
) -> tuple[str, str]:
    """Make input `number` in the empty `folder`, give it to the reader `name`, and judge.

    Parameters
    ----------
    name, number, seed
        Which input.
    folder : Path
    spare : int, optional
        Bytes of address space the reader may add to what the process has.
    audit : bool
        Listen for code that runs; an audit hook stays in the process for good.

    Returns
    -------
    verdict : str
        ``"read"`` or ``"refused"``, otherwise what is wrong: ``"memory"``, ``"slow"``, ``"code run"``,
        ``"nameless"`` for an error that does not name the file, ``"traceback"`` for any other error.
    text : str
        The error.
    """
    rng = np.random.default_rng([seed, number, crc32(name.encode())])
    path = None if name == COMMAND_LINE else _make(READERS[name], number, rng, folder)
    with _watched(audit) as events, _limited(spare):
        verdict, text = _judged(
            (lambda: run_command(rng, folder)) if path is None else (lambda: READERS[name].read(path)), path
        )
    if path is None or name == "study journals":  # which ask git and nvidia-smi for their records
        events = [event for event in events if event != "subprocess.Popen"]
    if os.environ.pop(PAYLOAD, None) or events:
        return "code run", f"{events} {text}"
    return verdict, text


def _make(reader: Reader, number: int, rng: np.random.Generator, folder: Path) -> Path:
    """The first inputs are the valid files, the next ones no files at all; from there on, damaged ones."""
    samples = _samples(reader)
    names = list(samples)
    name = names[number if number < len(names) else rng.integers(len(names))]
    path = folder / name
    if number < len(names):
        path.write_bytes(samples[name])
    elif reader.special and number < len(names) + len(_SPECIAL):
        _SPECIAL[number - len(names)](path)
    else:
        path.write_bytes(mutate(name, samples[name], rng))
    return path


_SPECIAL: tuple[Callable[[Path], Any], ...] = (
    lambda path: None,
    lambda path: path.write_bytes(b""),
    lambda path: path.mkdir(),
    lambda path: path.symlink_to(path.with_name("nowhere")),
    lambda path: path.symlink_to(path),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("/dev/null"),
    lambda path: os.mkfifo(path),
)
"""No file, an empty one, a folder, links to nothing, to themselves, to endless zeros, to nothing; a pipe."""

_made: dict[int, dict[str, bytes]] = {}


def _samples(reader: Reader) -> dict[str, bytes]:
    if id(reader) not in _made:
        _made[id(reader)] = reader.samples()
    return _made[id(reader)]


def _heard(event: str, arguments: Any) -> None:
    if event.startswith(RUNS_CODE) or (
        event == "pickle.find_class" and arguments[1] in ("exec", "eval", "system")
    ):
        _events.append(event)


class SlowError(BaseException):
    """Not an Exception, so that no reader takes it for damage to its file."""


@contextmanager
def _watched(audit: bool) -> Iterator[list[str]]:
    """Collects signs of code that runs, and ends what takes too long."""
    global _listening
    if audit and not _listening:
        sys.addaudithook(_heard)
        _listening = True
    _events.clear()

    def late(number: int, frame: Any) -> None:
        raise SlowError

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield _events
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _limited(spare: int | None) -> Iterator[None]:
    """At most so many bytes of address space more than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if spare is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def memory(entry: str) -> int:
    """Bytes, as Linux counts them under names such as ``VmSize`` and ``VmHWM``."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(entry + ":"):
            return 1024 * int(line.split()[1])
    raise LookupError(entry)


def _judged(read: Callable[[], Any], path: Path | None) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings(
                "ignore", category=UserWarning, module="nibabel"
            )  # about what it reads on
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            read()
    except SlowError:
        return "slow", ""
    except MemoryError as error:
        return "memory", str(error)
    except (ValueError, OSError) as error:
        text = str(error)
        if NO_MEMORY.search(text):
            return "memory", text
        named = path is None or path.name in text or path.stem in text or str(path.parent) in text
        return ("refused" if named and "\n" not in text else "nameless"), f"{type(error).__name__}: {text}"
    except Exception as error:
        if NO_MEMORY.search(str(error)):
            return "memory", str(error)
        return "traceback", f"{type(error).__name__}: {error}"
    return "read", ""
