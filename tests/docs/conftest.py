"""What the tests of the pages share: the modules that build them, and the records they show."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def docs_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a module of ``docs/`` by name, as the build does."""
    monkeypatch.syspath_prepend(str(DOCS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == DOCS:
            del sys.modules[name]


@pytest.fixture(scope="session")
def records() -> dict[str, dict[str, Any]]:
    """Everything in ``docs/records/``, by the stem of the file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((DOCS / "records").glob("*.json"))}
