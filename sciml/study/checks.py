"""Checks of the values in a study's file; errors name the file, the place in it and what was expected."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["check_keys", "check_unique", "file_digest", "keywords_of", "named", "text"]


def check_keys(table: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
    """Raise `ValueError` for the first key that is not `allowed`."""
    for key in table:
        if key not in allowed:
            raise ValueError(f"{where}: unknown key {key!r}; expected any of {', '.join(sorted(allowed))}")


def check_unique(names: list[str], where: str) -> None:
    """Raise `ValueError` for the first name that stands there twice."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"{where}: {name!r} stands there twice; expected different names")


def text(table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    """The text under `key`."""
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: {key} is {value!r}; expected a text")
    return value


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors about values gain the place in the file they come from."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: {error}") from None
    except (ValueError, TypeError, ImportError) as error:
        raise ValueError(f"{where}: {error}") from None


def keywords_of(function: Callable[..., Any]) -> set[str]:
    """Names of the parameters of a function or class."""
    return set(inspect.signature(function).parameters)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, by which a resumed study knows that it is the same file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
