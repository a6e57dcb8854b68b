"""What the tests of the pages share: the modules that build them, and the records they show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from outside import modules_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def docs_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a module of ``docs/`` by name, as the build does."""
    yield from modules_of(DOCS, monkeypatch)


@pytest.fixture(scope="session")
def records() -> dict[str, dict[str, Any]]:
    """Everything in ``docs/records/``, by the stem of the file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((DOCS / "records").glob("*.json"))}
