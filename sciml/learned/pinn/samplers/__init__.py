"""Where the residual is looked at: samplers of collocation points behind one protocol."""

from __future__ import annotations

from typing import Any

from .base import Points, Residual, Sampler
from .uniform import Uniform

__all__ = ["SAMPLERS", "Points", "Residual", "Sampler", "Uniform"]

SAMPLERS: dict[str, Any] = {"uniform": Uniform}
"""Name -> class, constructed as ``SAMPLERS[name](domain, **settings)``."""
