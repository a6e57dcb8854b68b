"""The ``sciml`` command."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when converged, 1 when not, 2 on errors."""
    from .app import app

    app(args=None if argv is None else list(argv), prog_name="sciml")
