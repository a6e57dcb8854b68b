"""How much memory a piece of work took at its peak."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

__all__ = ["PeakMemory", "peak_rss"]


class PeakMemory:
    """Growth of the process's peak resident memory inside a ``with`` block.

    On Linux the kernel's peak counter is reset first, so that every block is measured by itself. Elsewhere
    the counter only ever grows, and a block smaller than an earlier one shows zero.

    Attributes
    ----------
    growth : int
        Bytes above what was resident at the start; known after the block.
    exact : bool
        Whether the counter could be reset.
    """

    METHOD = "growth of peak resident memory"

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self.exact = _reset_peak()
        self.growth = 0
        self._start = _status("VmRSS") or peak_rss()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.growth = max(0, peak_rss() - self._start)


def peak_rss() -> int:
    """Largest resident memory of this process in bytes, since the last reset or the start."""
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None
