"""Kernels compiled ahead are those that a solve needs; a second process is started only to compile them."""

from __future__ import annotations

import pytest

import sciml
from sciml.backends.kernels.numba import ahead
from sciml.backends.threads import use_threads
from sciml.preconditioners import Multigrid
from sciml.problems import poisson


@pytest.mark.parametrize("shape", [(64, 64, 64), (192, 192)])
def test_a_solve_needs_what_is_compiled_ahead(shape):
    problem = poisson(shape, obstacles="balls")
    assert sciml.cg(problem.A, problem.b, M=Multigrid(problem.A)).converged
    for kernel, types in ahead.signatures():
        assert types in kernel.signatures, kernel.py_func.__name__


@pytest.fixture
def started(monkeypatch):
    """What is done with the second process, which is none here."""
    told = []

    class Process:
        def __init__(self, command, **_):
            told.append(command[-1])

        def kill(self):
            told.append("killed")

        def wait(self):
            told.append("waited for")

    monkeypatch.setattr(ahead.subprocess, "Popen", Process)
    return told


def inside():
    with use_threads(2), ahead.compiling_ahead():
        pass


def test_an_empty_cache_starts_a_process_that_ends_with_the_block(started, monkeypatch):
    monkeypatch.setattr(ahead, "_compiled_before", lambda: False)
    inside()
    assert started == [ahead.__name__, "killed", "waited for"]


def test_it_ends_with_an_error_too(started, monkeypatch):
    monkeypatch.setattr(ahead, "_compiled_before", lambda: False)
    with pytest.raises(ZeroDivisionError), use_threads(2), ahead.compiling_ahead():
        raise ZeroDivisionError
    assert started[1:] == ["killed", "waited for"]


def test_no_process_for_one_thread_or_a_full_cache(started, monkeypatch):
    monkeypatch.setattr(ahead, "_compiled_before", lambda: True)
    inside()
    monkeypatch.setattr(ahead, "_compiled_before", lambda: False)
    with use_threads(1), ahead.compiling_ahead():
        pass
    assert started == []


def test_the_cache_is_known_by_its_files():
    problem = poisson((64, 64, 64), obstacles="balls")
    Multigrid(problem.A)(problem.b)
    assert ahead._compiled_before()


def test_where_no_process_can_be_started_all_goes_on(monkeypatch):
    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(ahead, "_compiled_before", lambda: False)
    monkeypatch.setattr(ahead.subprocess, "Popen", refused)
    inside()
