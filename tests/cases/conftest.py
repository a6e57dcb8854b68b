"""What the tests of the cases share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[2] / "cases"


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a case by name, as running it from its folder does."""
    monkeypatch.syspath_prepend(str(CASES))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == CASES:
            del sys.modules[name]
