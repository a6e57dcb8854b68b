"""Prints the lowest versions that pyproject.toml allows, as requirements that pin them.

Left out is what no index has for a machine without a GPU at its lowest version, and what is compiled.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
EXTRAS = ("amg", "plot", "weights", "mri")
NOT_TRIED = {"torch": "its lowest version exists for CUDA only on common indexes"}
"""Packages of these extras that are not pinned, and why."""


def lowest() -> dict[str, str]:
    """Package -> lowest version, of the dependencies and of `EXTRAS`."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    lines = project["dependencies"] + [r for e in EXTRAS for r in project["optional-dependencies"][e]]
    lines += [r for r in project["optional-dependencies"]["test"] if r.startswith("array-api-strict")]
    found = (re.match(r"([\w.-]+)>=([\w.]+)", line) for line in lines)
    return {m[1]: m[2] for m in found if m is not None and m[1] not in NOT_TRIED}


if __name__ == "__main__":
    print(" ".join(f"{name}=={version}" for name, version in lowest().items()))
