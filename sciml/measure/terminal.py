"""What commands and cases share on the terminal: a wide console, and a line about the work at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["console", "progress"]


def console(stderr: bool = False, width: int = 120) -> Any:
    """A rich console; `width` columns where it is no terminal: tables in logs are not folded at 80."""
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=width)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done and since when, on standard error while it takes time."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    error = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # Two frames a second: the spinner must not take the cores it reports on.
    with Progress(
        *columns, console=error, transient=True, refresh_per_second=2, disable=not error.is_terminal
    ) as bar:
        task: Any = None

        def tell(text: str) -> None:
            nonlocal task
            if task is not None:
                bar.remove_task(task)
            task = bar.add_task(text, total=None)

        yield tell
