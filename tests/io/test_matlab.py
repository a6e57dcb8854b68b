"""The reader of MATLAB files beside SciPy's, on everything SciPy writes and MATLAB writes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciml.io.guard import FileError
from sciml.io.matlab import read_mat

VALUES = {
    "double": np.linspace(-1.0, 1.0, 6).reshape(2, 3),
    "single": np.ones((2, 2), np.float32),
    "complex": np.array([[1 + 2j, -1j]]),
    "complex-single": np.array([[1 + 2j]], np.complex64),
    "logical": np.array([[True, False]]),
    **{kind: np.array([[1, 2], [3, 100]], kind) for kind in ("int8", "uint8", "int16", "uint16", "int32")},
    **{kind: np.array([[1, 2], [3, 100]], kind) for kind in ("uint32", "int64", "uint64")},
    "volume": np.arange(24.0).reshape(2, 3, 4),
    "empty": np.zeros((0, 3)),
    "small": np.array([[7.0]]),
    "sparse": sp.csc_array(np.diag([1.0, 0.0, 3.0])),
    "sparse-wide": sp.csc_array(np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 4.0]])),
    "sparse-complex": sp.csc_array(np.diag([1.0 + 1j, 2.0])),
    "sparse-empty": sp.csc_array((3, 3)),
}


def dense(value):
    return value.toarray() if sp.issparse(value) else value


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_scipy_reads(tmp_path, name, packed):
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"x": VALUES[name], "words": "text", "y": 1.5}, do_compression=packed)
    expected = scipy.io.loadmat(path, spmatrix=False)
    found = read_mat(path)
    assert set(found) == {"x", "y"}
    assert sp.issparse(found["x"]) == sp.issparse(VALUES[name])
    np.testing.assert_array_equal(dense(found["x"]), dense(expected["x"]))
    if not sp.issparse(VALUES[name]):
        assert found["x"].dtype == expected["x"].dtype


def test_a_struct_problem_gives_its_matrix_and_right_hand_side(tmp_path):
    A, b = sp.csc_array(np.eye(3)), np.ones((3, 1))
    record = {"title": "t", "b": b, "id": 3, "kind": {"A": 7}, "A": A}
    scipy.io.savemat(tmp_path / "x.mat", {"Problem": record})
    found = read_mat(tmp_path / "x.mat")
    assert set(found) == {"A", "b"}
    np.testing.assert_array_equal(found["A"].toarray(), np.eye(3))
    np.testing.assert_array_equal(found["b"], b)


def test_the_other_byte_order():
    """Written by hand: no program of today writes it."""

    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    flags = element(6, struct.pack(">II", 6, 0))
    shape = element(5, struct.pack(">ii", 1, 2))
    name = element(1, b"x")
    variable = element(14, flags + shape + name + element(4, struct.pack(">HH", 3, 258)))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    packed = zlib.compress(variable)
    for content in (variable, struct.pack(">II", 15, len(packed)) + packed):  # which is not padded
        np.testing.assert_array_equal(read_mat(Content(head + content))["x"], [[3.0, 258.0]])


class Content:
    """What `read_mat` needs of a path."""

    def __init__(self, content):
        self.content = content

    def read_bytes(self):
        return self.content


@pytest.fixture(scope="module")
def saved():
    stream = io.BytesIO()
    scipy.io.savemat(
        stream, {"A": VALUES["sparse"], "Problem": {"A": VALUES["sparse"], "b": np.ones((3, 1))}}
    )
    return stream.getvalue()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_python_knows(saved, data):
    content = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(124, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    try:
        found = read_mat(Content(bytes(content)))
    except (FileError, ValueError, TypeError, OverflowError, IndexError):
        return
    for value in found.values():
        if sp.issparse(value):
            value.tocsr()  # reads every index
