"""Where the residual is looked at: samplers of collocation points behind one protocol."""

from __future__ import annotations

from typing import Any

from .aas import AAS
from .adaptive import RAD, RAR, RARD
from .base import BaseSampler, Points, Residual, Sampler
from .das import DASG, DASR
from .quasi import Halton, Sobol
from .r3 import R3
from .uniform import Uniform

__all__ = [
    "AAS",
    "DASG",
    "DASR",
    "R3",
    "RAD",
    "RAR",
    "RARD",
    "SAMPLERS",
    "BaseSampler",
    "Halton",
    "Points",
    "Residual",
    "Sampler",
    "Sobol",
    "Uniform",
]

SAMPLERS: dict[str, Any] = {
    "uniform": Uniform,
    "sobol": Sobol,
    "halton": Halton,
    "rar": RAR,
    "rar-d": RARD,
    "rad": RAD,
    "r3": R3,
    "das-g": DASG,
    "das-r": DASR,
    "aas": AAS,
}
"""Name -> class, constructed as ``SAMPLERS[name](domain, **settings)``."""
