"""Deep conjugate directions: a network proposes search directions, conjugation makes a solver of it."""

from .data import BoxModes
from .network import ARCHITECTURES, DirectionNet, architecture
from .operator import DCDNetwork
from .replay import direction_loss
from .ritz import RitzModes, ritz_vectors
from .solver import dcd
from .train import train_dcd

__all__ = [
    "ARCHITECTURES",
    "BoxModes",
    "DCDNetwork",
    "DirectionNet",
    "RitzModes",
    "architecture",
    "dcd",
    "direction_loss",
    "ritz_vectors",
    "train_dcd",
]
