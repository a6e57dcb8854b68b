"""Fixtures shared by all tests: array libraries, and reproducible random numbers."""

from __future__ import annotations

import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: libraries that start a thread per core would wait for one another. Before the
    # first import of NumPy and torch, which read these once.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest
from libraries import Namespace, namespace_params


def pytest_collection_finish() -> None:
    """What has been imported and collected lives to the end: no later garbage collection walks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=namespace_params())
def namespace(request: pytest.FixtureRequest) -> Namespace:
    """NumPy, torch, array-api-strict; CuPy and torch on CUDA where there is a device."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)
