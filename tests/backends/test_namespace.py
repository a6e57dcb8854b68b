"""Names, inner products and refusals of the array namespace."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciml.backends import namespace as ns

COMPLEX_VECTORS = hnp.arrays(
    "complex128", st.integers(1, 20), elements=st.complex_numbers(max_magnitude=1e6, allow_nan=False)
)


def test_round_trip_copies(namespace):
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = namespace.array(values)
    assert ns.backend_name(x) == namespace.library
    assert ns.is_array(x)
    assert ns.is_numpy(x) is (namespace.library == "numpy")
    values[0, 0] = 9.0
    np.testing.assert_array_equal(ns.to_numpy(x), [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int64", "bool"])
def test_dtype_names(namespace, dtype):
    x = namespace.array(np.ones(2), dtype)
    assert ns.dtype_name(x) == ns.dtype_name(x.dtype) == dtype
    assert ns.is_complex(x) is dtype.startswith("complex")


def test_dtype_name_of_types_and_words():
    assert (
        ns.dtype_name(np.float32)
        == ns.dtype_name(np.dtype("float32"))
        == ns.dtype_name("float32")
        == "float32"
    )


@pytest.mark.parametrize(
    ("dtype", "real", "wide"),
    [
        ("float32", "float32", "float64"),
        ("float64", "float64", "float64"),
        ("complex64", "float32", "complex128"),
        ("complex128", "float64", "complex128"),
    ],
)
def test_related_dtypes(dtype, real, wide):
    x = np.ones(1, dtype)
    assert ns.real_dtype(x) == real
    assert ns.compute_dtype(x) == wide


def test_inner_product_conjugates_the_first_argument(namespace):
    x = namespace.array(np.array([1.0 + 1.0j, 2.0]))
    y = namespace.array(np.array([1.0j, 1.0]))
    assert ns.vdot(x, y) == (1 - 1j) * 1j + 2
    assert ns.norm2(x) == pytest.approx(math.sqrt(6.0))


@given(COMPLEX_VECTORS)
def test_norm_and_inner_product_agree(x):
    assert ns.vdot(x, x).real == pytest.approx(ns.norm2(x) ** 2, rel=1e-12, abs=1e-300)
    assert ns.vdot(x, 1j * x) == pytest.approx(1j * ns.norm2(x) ** 2, rel=1e-12, abs=1e-300)


def test_grids_are_summed_over_all_entries(namespace):
    x = namespace.array(np.full((3, 4), 2.0))
    assert ns.norm2(x) == pytest.approx(math.sqrt(48.0))
    assert ns.vdot(x, x) == pytest.approx(48.0)


def test_norm_of_a_lazy_conjugate():
    torch = pytest.importorskip("torch")
    assert ns.norm2(torch.tensor([3 + 4j, 0j]).conj()) == pytest.approx(5.0)


def test_norm_of_transposed_numpy_arrays():
    x = np.arange(6.0).reshape(2, 3).T
    assert ns.norm2(x) == pytest.approx(math.sqrt(55.0))


def test_mixed_libraries_are_refused():
    strict = ns.from_numpy(np.ones(2), "array-api-strict")
    with pytest.raises(
        TypeError, match=r"different array libraries \(numpy, array-api-strict\); expected one"
    ):
        ns.array_namespace(np.ones(2), strict)
    with pytest.raises(TypeError, match="x0 is a array-api-strict array but b is a numpy array"):
        ns.require_same_backend(np.ones(2), x0=strict)
    ns.require_same_backend(np.ones(2), x0=np.zeros(2))


def test_mixed_devices_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x0 lives on device meta but b lives on cpu"):
        ns.require_same_backend(torch.ones(2), x0=torch.ones(2, device="meta"))


def test_unknown_and_missing_libraries(monkeypatch):
    with pytest.raises(
        ValueError, match="backend is 'jax'; expected one of numpy, torch, cupy, array-api-strict"
    ):
        ns.namespace_named("jax")
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    with pytest.raises(ImportError, match="backend 'array-api-strict' is not installed"):
        ns.namespace_named("array-api-strict")


@pytest.mark.parametrize("x", [1.0, [1.0], "x", None], ids=repr)
def test_what_is_not_an_array(x):
    assert not ns.is_array(x)
