"""Poisson discs on grids by dart throwing."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["poisson_disc"]


@njit(nogil=True, cache=True)
def poisson_disc(order: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Visit the cells of a grid in `order`; keep one if no kept cell is nearer than its `spacing`.

    Every cell is visited, so the result is maximal: nothing can be added. Cells of negative spacing stay
    empty.
    """
    h, w = spacing.shape
    kept = np.zeros((h, w), dtype=np.bool_)
    for cell in order:
        y, x = cell // w, cell % w
        distance = spacing[y, x]
        if distance < 0.0:
            continue
        reach = int(np.ceil(distance))
        free = True
        for j in range(max(0, y - reach), min(h, y + reach + 1)):
            for i in range(max(0, x - reach), min(w, x + reach + 1)):
                if kept[j, i] and (j - y) ** 2 + (i - x) ** 2 < distance * distance:
                    free = False
                    break
            if not free:
                break
        kept[y, x] = free
    return kept
