"""Which cells of a grid are connected to given ones."""

from __future__ import annotations

from .common import jit

__all__ = ["reach"]


@jit
def reach(fluid, reached):
    """Spread `reached` among the cells of `fluid`, forward and backward once; returns how many it leaves.

    Both are bytes in three axes. A sweep goes along rows in both directions, so that it fills whatever can be
    reached without turning back in the other two.
    """
    n0, n1, n2 = fluid.shape
    left = 0
    for backward in (False, True):
        for first in range(n0):
            i = n0 - 1 - first if backward else first
            for second in range(n1):
                j = n1 - 1 - second if backward else second
                row, inside = reached[i, j], fluid[i, j]
                if first > 0:
                    before = reached[i + 1 if backward else i - 1, j]
                    for k in range(n2):
                        row[k] |= before[k] & inside[k]
                if second > 0:
                    before = reached[i, j + 1 if backward else j - 1]
                    for k in range(n2):
                        row[k] |= before[k] & inside[k]
                run = row[0]
                for k in range(1, n2):
                    run = (run | row[k]) & inside[k]
                    row[k] = run
                for k in range(n2 - 2, -1, -1):
                    run = (run | row[k]) & inside[k]
                    row[k] = run
                if backward:
                    for k in range(n2):
                        left += inside[k] - row[k]
    return left
