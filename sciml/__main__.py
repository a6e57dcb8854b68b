"""``python -m sciml``: the ``sciml`` command, for launchers that take a module."""

from .cli import main

main()
