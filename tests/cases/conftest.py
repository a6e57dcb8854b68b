"""What the tests of the cases share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from outside import modules_of

CASES = Path(__file__).resolve().parents[2] / "cases"


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a case by name, as running it from its folder does."""
    yield from modules_of(CASES, monkeypatch)
