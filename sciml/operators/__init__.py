"""Operators: protocol, algebra, adapters for matrices and foreign objects, stencils, MRI encoding."""

from .adapt import CallableOperator, ForeignOperator, MatrixOperator, as_operator
from .algebra import Adjoint, Block, Identity, Product, Scaled, Sum
from .base import BaseOperator
from .finite_sum import AffineSum, ComponentSum, FiniteSumBase
from .least_squares import LeastSquares, NormalEquations
from .protocol import PROPERTIES, FiniteSum, LinearOperator, Operator, Solver, TimeStepper
from .saddle import SaddlePoint, constrained_qp, matrix_game
from .sense import Sense, SenseNormal
from .sets import Affine, Box, L1Ball, L1Norm, L2Ball, NonNegative, Resolvent, Simplex, WholeSpace
from .stencil import DIRICHLET, FLUID, SOLID, PoissonOperator
from .wavelet import Wavelet, WaveletL1

__all__ = [
    "DIRICHLET",
    "FLUID",
    "PROPERTIES",
    "SOLID",
    "Adjoint",
    "Affine",
    "AffineSum",
    "BaseOperator",
    "Block",
    "Box",
    "CallableOperator",
    "ComponentSum",
    "FiniteSum",
    "FiniteSumBase",
    "ForeignOperator",
    "Identity",
    "L1Ball",
    "L1Norm",
    "L2Ball",
    "LeastSquares",
    "LinearOperator",
    "MatrixOperator",
    "NonNegative",
    "NormalEquations",
    "Operator",
    "PoissonOperator",
    "Product",
    "Resolvent",
    "SaddlePoint",
    "Scaled",
    "Sense",
    "SenseNormal",
    "Simplex",
    "Solver",
    "Sum",
    "TimeStepper",
    "Wavelet",
    "WaveletL1",
    "WholeSpace",
    "as_operator",
    "constrained_qp",
    "matrix_game",
]
