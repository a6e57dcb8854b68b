"""Every operator class the package exports, against the public contract, in every library."""

from __future__ import annotations

import numpy as np
import pytest

from sciml import operators
from sciml.operators import (
    BaseOperator,
    Block,
    CallableOperator,
    ForeignOperator,
    Identity,
    PoissonOperator,
    Sense,
    Wavelet,
    as_operator,
)
from sciml.testing import check_linear_operator


def _matrix(namespace, kind="float64", shape=(6, 6)):
    rng = np.random.default_rng(8)
    values = rng.standard_normal(shape)
    if kind.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return as_operator(namespace.array(values, kind))


def _sense(namespace):
    rng = np.random.default_rng(9)
    maps = rng.standard_normal((3, 4, 5)) + 1j * rng.standard_normal((3, 4, 5))
    return Sense(namespace.array(maps), namespace.array(rng.random((4, 5)) < 0.6))


def _gram(A):
    return 2.0 * (A.H @ A) + A.H @ A @ A.H @ A


class _Doubling:
    shape, dtype = (6, 6), np.dtype("float64")

    def matvec(self, x):
        return 2 * x

    rmatvec = matvec


OPERATORS = {
    "MatrixOperator": lambda ns: _matrix(ns),
    "MatrixOperator-complex": lambda ns: _matrix(ns, "complex128"),
    "MatrixOperator-tall": lambda ns: _matrix(ns, shape=(9, 6)),
    "ForeignOperator": lambda ns: as_operator(_Doubling()),
    "CallableOperator": lambda ns: CallableOperator(lambda x: 3 * x, (2, 3), properties={"symmetric"}),
    "Identity": lambda ns: Identity(6, "float64"),
    "PoissonOperator": lambda ns: PoissonOperator((3, 4), bc="periodic", **ns.operator_settings),
    "Scaled": lambda ns: -2.5 * _matrix(ns),
    "Scaled-complex": lambda ns: 2.5j * _matrix(ns, "complex128"),
    "Sum": lambda ns: _matrix(ns) + 3.0,
    "Sum-of-layouts": lambda ns: PoissonOperator((3, 2), **ns.operator_settings) + _matrix(ns),
    "Product": lambda ns: _matrix(ns, shape=(4, 6)) @ _matrix(ns, shape=(6, 5)),
    "Product-of-layouts": lambda ns: _matrix(ns) @ PoissonOperator((3, 2), **ns.operator_settings),
    "Gram": lambda ns: _matrix(ns, "complex128", (8, 5)).H @ _matrix(ns, "complex128", (8, 5)),
    "Gram-of-one": lambda ns: _gram(_matrix(ns, "complex128", (8, 5))),
    "Adjoint": lambda ns: _matrix(ns, "complex128", (8, 5)).H,
    "Transpose": lambda ns: _matrix(ns, "complex128", (8, 5)).T,
    "Sense": _sense,
    "SenseNormal": lambda ns: _sense(ns).normal(),
    "Wavelet": lambda ns: Wavelet((16, 16), "haar", dtype="complex128"),
    "Block": lambda ns: Block(
        [[_matrix(ns), None], [PoissonOperator((3, 2), **ns.operator_settings), _matrix(ns)]]
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_keeps_the_contract(name, namespace):
    assert check_linear_operator(OPERATORS[name](namespace), like=namespace.array([0.0])) == []


def test_every_exported_operator_is_in_the_list():
    exported = {
        name
        for name in operators.__all__
        if isinstance(getattr(operators, name), type)
        and issubclass(getattr(operators, name), BaseOperator)
        and name != "BaseOperator"
    }
    assert exported <= {name.split("-")[0] for name in OPERATORS}
    assert isinstance(OPERATORS["ForeignOperator"](None), ForeignOperator)
