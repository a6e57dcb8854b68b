"""The soak runs; ``cd tests && python -m soak --minutes 30`` says whether memory stays flat."""

from __future__ import annotations

import sys

import pytest
from soak.__main__ import growth, soak, solvers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux tells it")


def test_a_short_soak():
    rows = soak(2.0, say=lambda line: None)
    assert rows[-1]["solves"] >= len(solvers())
    assert rows[-1]["failed"] <= 0.1 * rows[-1]["solves"]


def test_growth_is_that_of_the_second_half():
    settling = [{"seconds": i, "MiB": 100.0 - 50.0 * (i < 5)} for i in range(10)]
    leaking = [{"seconds": i, "MiB": 100.0 + i} for i in range(10)]
    assert growth(settling) == pytest.approx(0.0)
    assert growth(leaking) == pytest.approx(4 / 105)
