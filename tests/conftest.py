"""Fixtures shared by all tests: array libraries, and reproducible random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import Namespace, namespace_params


@pytest.fixture(params=namespace_params())
def namespace(request: pytest.FixtureRequest) -> Namespace:
    """NumPy, torch, array-api-strict; CuPy and torch on CUDA where there is a device."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)
