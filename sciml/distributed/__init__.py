"""The same problems and solvers past one machine, on PETSc and MPI. Loading this package loads neither."""

from .krylov import solve
from .layout import Halo, Layout
from .matrices import DistributedSystem, from_csr, load_system, to_csr
from .multigrid import DistributedMultigrid
from .poisson import DistributedPoisson, DistributedProblem, poisson
from .shells import LocalPreconditioner, shell_matrix

__all__ = [
    "DistributedMultigrid",
    "DistributedPoisson",
    "DistributedProblem",
    "DistributedSystem",
    "Halo",
    "Layout",
    "LocalPreconditioner",
    "from_csr",
    "load_system",
    "poisson",
    "shell_matrix",
    "solve",
    "to_csr",
]
