"""What tests of cases share."""

import importlib
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "cases"


@pytest.fixture
def case(monkeypatch):
    """Imports a case by name, as running it from its folder does."""
    monkeypatch.syspath_prepend(str(CASES))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == CASES:
            del sys.modules[name]
