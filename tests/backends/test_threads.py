"""The slab pool: order of results, errors, concurrency, fork."""

from __future__ import annotations

import os
import threading

import pytest

from sciml.backends.threads import num_threads, parallel, slabs, use_threads


def total(start, stop, offset):
    return sum(range(start, stop)) + offset


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_slabs_cover_the_range(n):
    for parts in (1, 2, 3, 8):
        pieces = slabs(n, parts)
        assert [i for start, stop in pieces for i in range(start, stop)] == list(range(n))


def test_results_in_order_and_grain():
    with use_threads(4):
        assert parallel(total, 8, 10) == [11, 15, 19, 23]
        assert len(parallel(total, 8, 0, grain=4)) == 2
        assert len(parallel(total, 8, 0, grain=100)) == 1
        assert parallel(total, 0, 0) == []


def test_errors_reach_the_caller():
    def fails(start, stop):
        raise KeyError(start)

    with use_threads(3), pytest.raises(KeyError):
        parallel(fails, 9)
    with use_threads(3):
        assert sum(parallel(total, 9, 0)) == 36  # the pool lives on


def test_environment_variable(monkeypatch):
    monkeypatch.setenv("SCIML_NUM_THREADS", "3")
    assert num_threads() == 3
    monkeypatch.setenv("SCIML_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="SCIML_NUM_THREADS"):
        num_threads()
    with pytest.raises(ValueError, match="n=0"), use_threads(0):
        pass


def test_many_callers_at_once():
    wrong = []

    def call():
        with use_threads(3):
            for n in range(1, 200):
                if sum(parallel(total, n, 0)) != n * (n - 1) // 2:
                    wrong.append(n)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_fork():
    with use_threads(2):
        parallel(total, 4, 0)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if sum(parallel(total, 10, 0)) == 45 else 1)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
