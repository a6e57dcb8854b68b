"""Training of the multigrid parameters that `sciml.preconditioners.LearnedMultigrid` applies.

No torch: what is trained are a few dozen numbers, by grid search, an evolution strategy and a linear fit, on
seconds that a cost model predicts from counted operations.
"""

from .cost import Rates, calibrate
from .families import FAMILIES, sample
from .search import grid
from .train import MultigridTraining, train_multigrid, training_problems
from .validation import validate

__all__ = [
    "FAMILIES",
    "MultigridTraining",
    "Rates",
    "calibrate",
    "grid",
    "sample",
    "train_multigrid",
    "training_problems",
    "validate",
]
