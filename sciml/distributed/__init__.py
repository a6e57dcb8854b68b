"""The same problems and solvers past one machine, on PETSc and MPI. Loading this package loads neither."""

from .layout import Layout
from .poisson import DistributedPoisson, DistributedProblem, poisson

__all__ = ["DistributedPoisson", "DistributedProblem", "Layout", "poisson"]
