"""Slab parallelism for compiled kernels: a persistent pool of Python threads.

A kernel is a serial function compiled with ``nogil=True`` whose first two arguments are a range of
planes or rows, ``kernel(start, stop, *args)``. `parallel` cuts ``range(n)`` into contiguous slabs, one
per thread. This replaces numba's own ``prange``: its default threading layer aborts when two Python
threads launch kernels at once, none of its layers survives a fork, and it doubles compile times.

The environment variable ``SCIML_NUM_THREADS`` sets the number of threads; the default is every core
this process may use.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

__all__ = ["num_threads", "parallel", "slabs", "use_threads"]

_local = threading.local()


def _default_threads() -> int:
    setting = os.environ.get("SCIML_NUM_THREADS", "").strip()
    if setting:
        if not setting.isdigit() or int(setting) < 1:
            raise ValueError(f"SCIML_NUM_THREADS={setting!r}; expected a positive integer")
        return int(setting)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def num_threads() -> int:
    """Number of threads kernels called from this Python thread are split over."""
    return getattr(_local, "threads", None) or _default_threads()


@contextmanager
def use_threads(n: int):
    """Split kernels over `n` threads inside the block (in the calling Python thread only).

    Examples
    --------
    >>> from sciml.backends.threads import num_threads, use_threads
    >>> with use_threads(1):
    ...     num_threads()
    1
    """
    if n < 1:
        raise ValueError(f"n={n}; expected at least 1 thread")
    before = getattr(_local, "threads", None)
    _local.threads = int(n)
    try:
        yield
    finally:
        _local.threads = before


class _Job:
    """One slab. Whoever takes `claim` first runs it: a pool thread, or the caller when it is idle."""

    __slots__ = ("args", "claim", "done", "error", "kernel", "result")

    def __init__(self, kernel: Callable[..., Any], args: tuple[Any, ...]):
        self.kernel, self.args = kernel, args
        self.claim = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None

    def try_run(self) -> bool:
        if not self.claim.acquire(blocking=False):
            return False
        try:
            self.result = self.kernel(*self.args)
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()
        return True


class _Pool:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.size = 0
        self.lock = threading.Lock()

    def grow(self, size: int) -> None:
        with self.lock:
            while self.size < size:
                threading.Thread(target=self._work, name=f"sciml-{self.size}", daemon=True).start()
                self.size += 1

    def _work(self) -> None:
        while True:
            self.jobs.get().try_run()


_pool: _Pool | None = None


def _get_pool(size: int) -> _Pool:
    global _pool
    # Threads do not survive a fork: a child builds its own pool.
    if _pool is None or _pool.pid != os.getpid():
        _pool = _Pool()
    if _pool.size < size:
        _pool.grow(size)
    return _pool


def slabs(n: int, parts: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into at most `parts` contiguous, nearly equal, non-empty ranges.

    Examples
    --------
    >>> from sciml.backends.threads import slabs
    >>> slabs(5, 2)
    [(0, 2), (2, 5)]
    """
    parts = max(1, min(parts, n))
    return [(n * p // parts, n * (p + 1) // parts) for p in range(parts)]


def parallel(kernel: Callable[..., Any], n: int, *args: Any, grain: int = 1) -> list[Any]:
    """Run ``kernel(start, stop, *args)`` over slabs of ``range(n)`` and wait for all of them.

    Parameters
    ----------
    kernel : callable
        Compiled with ``nogil=True``; slabs must not write to the same memory.
    n : int
        Number of planes or rows.
    *args
        Passed on to `kernel`.
    grain : int
        Smallest number of planes or rows worth a thread of its own.

    Returns
    -------
    list
        The kernel's return values, in the order of the slabs, so that sums over them are reproducible.
    """
    if n <= 0:
        return []
    threads = num_threads()
    if threads > 1 and grain > 1:
        threads = min(threads, n // grain)
    if threads <= 1 or n == 1:
        return [kernel(0, n, *args)]
    first, *others = slabs(n, threads)
    pool = _get_pool(threads - 1)
    jobs = [_Job(kernel, (start, stop, *args)) for start, stop in others]
    for job in jobs:
        pool.jobs.put(job)
    try:
        results = [kernel(*first, *args)]
    finally:
        # Take over slabs no pool thread has started: pool threads may be busy with another solve.
        for job in reversed(jobs):
            if not job.try_run():
                with job.done:
                    pass
    for job in jobs:
        if job.error is not None:
            raise job.error
        results.append(job.result)
    return results
