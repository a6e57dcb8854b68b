"""Discovery of model errors (MEDIDA): which terms does a model lack, seen from noisy snapshots."""

from __future__ import annotations

from .correct import SplitModel
from .discovery import discover
from .evidence import evidence_path, stability_selection
from .filters import ETKF, LETKF, EnKF, assimilate, gaspari_cohn
from .kronecker import KroneckerSBL
from .library import Library, Term
from .model_error import ModelError
from .normal_equations import NormalEquations
from .rvm import RVM
from .shooting import Shooting
from .snapshots import DiscoveryWarning, Snapshots
from .sparse_fit import SparseFit
from .vorticity import vorticity_library

__all__ = [
    "ETKF",
    "LETKF",
    "RVM",
    "DiscoveryWarning",
    "EnKF",
    "KroneckerSBL",
    "Library",
    "ModelError",
    "NormalEquations",
    "Shooting",
    "Snapshots",
    "SparseFit",
    "SplitModel",
    "Term",
    "assimilate",
    "discover",
    "evidence_path",
    "gaspari_cohn",
    "stability_selection",
    "vorticity_library",
]
