"""What all checks share: random probes in any namespace, tolerances, and the final report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.namespace import Array, backend_name, device, dtype_name, from_numpy, norm2, to_numpy

__all__ = ["Probes", "finish", "relative_difference", "rounding"]


class Probes:
    """Random arrays in the library and on the device of `like` (NumPy where `like` is None)."""

    def __init__(self, like: Array | None, dtype: Any, seed: int = 0):
        self.backend = "numpy" if like is None else backend_name(like)
        self.device = None if like is None else device(like)
        self.dtype = np.dtype(dtype_name(dtype))
        self._rng = np.random.default_rng(seed)

    def array(self, values: np.ndarray) -> Array:
        """A NumPy array as an array of the probes' library and dtype."""
        kind = self.dtype if values.dtype.kind in "fc" else values.dtype
        return from_numpy(values, self.backend, dtype=kind.name, device=self.device)

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Standard normal entries, complex ones for a complex dtype."""
        values = self._rng.standard_normal(shape)
        if self.dtype.kind == "c":
            values = values + 1j * self._rng.standard_normal(shape)
        return self.array(values)

    def unit(self, n: int, i: int) -> Array:
        """The unit vector `i` of length `n`."""
        values = np.zeros(n)
        values[i] = 1.0
        return self.array(values)


def rounding(dtype: Any, rtol: float | None) -> float:
    """The relative difference that counts as rounding: `rtol`, or a value that fits the precision."""
    if rtol is not None:
        return rtol
    return 2e-4 if np.dtype(dtype).name in ("float32", "complex64") else 1e-9


def relative_difference(x: Array, y: Array) -> float:
    """``‖x − y‖ / max(‖x‖, ‖y‖)`` : 0 where both are zero, infinite where one is not finite."""
    a, b = to_numpy(x).astype(complex), to_numpy(y).astype(complex)
    with np.errstate(invalid="ignore", over="ignore"):
        gap, size = norm2(a - b), max(norm2(a), norm2(b))
    if gap == 0.0:
        return 0.0
    ratio = gap / size
    return ratio if math.isfinite(ratio) else math.inf  # NaN would be below every tolerance


def finish(what: str, sentences: list[str], raise_on_failure: bool) -> list[str]:
    """Return `sentences`, or raise them together."""
    if sentences and raise_on_failure:
        raise AssertionError(f"{what} breaks its contract:\n- " + "\n- ".join(sentences))
    return sentences
