"""Public contract checks: run them over your own operators, preconditioners and solvers.

Every ``check_*`` returns a list of sentences, one per broken promise, and raises `AssertionError` with all of
them unless ``raise_on_failure=False``. An empty list means that the object keeps the contract of
``docs/operator_protocol.md``.

Examples
--------
>>> import numpy as np
>>> import sciml
>>> from sciml.testing import check_linear_operator
>>> twice = sciml.CallableOperator(lambda x: 2 * x, 3, properties={"symmetric", "positive_definite"})
>>> check_linear_operator(twice)
[]
"""

from .finite_sums import check_finite_sum
from .operators import check_linear_operator, check_operator
from .preconditioners import check_preconditioner
from .samplers import check_density, check_sampler
from .solvers import SOLVER_CHECKS, check_solver

__all__ = [
    "SOLVER_CHECKS",
    "check_density",
    "check_finite_sum",
    "check_linear_operator",
    "check_operator",
    "check_preconditioner",
    "check_sampler",
    "check_solver",
]
