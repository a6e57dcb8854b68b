"""Options that take several numbers."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["VariadicShape"]


class VariadicShape(TyperCommand):
    """Lets ``--shape 128 128 128`` stand as it is written: one option, several numbers."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        expanded: list[str] = []
        inside = False
        for arg in args:
            if arg == "--shape" or arg.startswith("--shape="):
                inside, first = True, arg == "--shape"
                expanded.append(arg)
            elif inside and arg.isdigit():
                expanded += [arg] if first else ["--shape", arg]
                first = False
            else:
                inside = False
                expanded.append(arg)
        return super().parse_args(ctx, expanded)
