"""Operators: the protocol, the algebra, adapters for matrices and foreign objects, and stencils."""

from .adapt import CallableOperator, ForeignOperator, MatrixOperator, as_operator
from .algebra import Adjoint, Block, Identity, Product, Scaled, Sum
from .base import BaseOperator
from .protocol import PROPERTIES, FiniteSum, LinearOperator, Operator, Solver, TimeStepper
from .stencil import DIRICHLET, FLUID, SOLID, PoissonOperator

__all__ = [
    "DIRICHLET",
    "FLUID",
    "PROPERTIES",
    "SOLID",
    "Adjoint",
    "BaseOperator",
    "Block",
    "CallableOperator",
    "FiniteSum",
    "ForeignOperator",
    "Identity",
    "LinearOperator",
    "MatrixOperator",
    "Operator",
    "PoissonOperator",
    "Product",
    "Scaled",
    "Solver",
    "Sum",
    "TimeStepper",
    "as_operator",
]
