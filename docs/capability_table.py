"""Writes ``generated/capabilities.md``: the table of what runs where, from `sciml.backends.capabilities`."""

from __future__ import annotations

from pathlib import Path

from sciml.backends.capabilities import BACKENDS, CAPABILITIES


def build(docs: Path) -> None:
    """Write the page below `docs`."""
    lines = [f"| | {' | '.join(BACKENDS)} | note |", "|---|" + ":-:|" * len(BACKENDS) + "---|"]
    for kind in ("solver", "preconditioner"):
        lines.append(f"| **{kind}s** |" + " |" * (len(BACKENDS) + 1))
        for name, capability in CAPABILITIES.items():
            if capability.kind == kind:
                marks = ["✓" if backend in capability.backends else "–" for backend in BACKENDS]
                lines.append(f"| `{name.removeprefix('M:')}` | {' | '.join(marks)} | {capability.note} |")
    target = docs / "generated" / "capabilities.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
