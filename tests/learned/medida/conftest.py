"""Snapshots the tests of the discovery share: small, generic, made once."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.learned.medida import Library, Snapshots
from sciml.problems import ETDRK4, forecast, kuramoto_sivashinsky, random_phases

DT, LENGTH = 5e-3, 50.0


def on_attractor(n: int, batch: int, seed: int) -> np.ndarray:
    equation = kuramoto_sivashinsky(n, LENGTH)
    u = random_phases(equation.grid, np.random.default_rng(seed), batch=(batch,))
    return forecast(ETDRK4(equation, 0.05), u, 1500)


@pytest.fixture(scope="session")
def library() -> Library:
    return Library.powers()


@pytest.fixture(scope="session")
def exact() -> Snapshots:
    """Triples one model step apart; the truth takes steps of 1e-3 on 256 nodes."""
    stepper = ETDRK4(kuramoto_sivashinsky(256, LENGTH), 1e-3)
    u = on_attractor(256, 8, 0)
    middle = forecast(stepper, u, 5)
    return Snapshots(np.stack([u, middle], axis=1), forecast(stepper, middle, 5), DT)


@pytest.fixture(scope="session")
def windows() -> Snapshots:
    """Exact pairs 50 model steps apart on 128 nodes."""
    u = on_attractor(128, 30, 1)
    return Snapshots(u, forecast(ETDRK4(kuramoto_sivashinsky(128, LENGTH), 0.01), u, 25), 0.25)
