"""Small sentences about numbers, for checks that know the answer."""

from __future__ import annotations

from typing import Any

from ..testing.report import relative_difference

__all__ = ["at_least", "at_most", "same"]


def same(what: str, found: Any, expected: Any, rtol: float = 1e-8) -> list[str]:
    """A sentence unless two arrays agree to `rtol`, relative to the larger norm."""
    gap = relative_difference(found, expected)
    return (
        [] if gap <= rtol else [f"{what} differs from the known answer by {gap:.2e}; expected <= {rtol:.0e}"]
    )


def at_most(what: str, value: float, bound: float) -> list[str]:
    """A sentence unless ``value <= bound`` (NaN is above everything)."""
    return [] if value <= bound else [f"{what} is {value:.6g}; expected <= {bound:.6g}"]


def at_least(what: str, value: float, bound: float) -> list[str]:
    """A sentence unless ``value >= bound``."""
    return [] if value >= bound else [f"{what} is {value:.6g}; expected >= {bound:.6g}"]
