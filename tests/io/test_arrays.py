"""NumPy files whose headers lie."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from sciml.io import load_array, load_arrays


def npy(shape, dtype="<f8", data=b"", version=(1, 0)):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return np.lib.format.MAGIC_PREFIX + bytes(version) + struct.pack("<H", len(text)) + text + data


def test_what_numpy_writes_is_read(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", values)
    np.testing.assert_array_equal(load_array(tmp_path / "x.npy"), values)
    mapped = load_array(tmp_path / "x.npy", mapped=True)
    assert isinstance(mapped, np.memmap)
    np.savez(tmp_path / "x.npz", a=values, b=1.0)
    found = load_arrays(tmp_path / "x.npz")
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["a"], values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((10**12,)), "announces 8000000000000 bytes"),
        (npy((-5,), data=b"\0" * 80), "not negative"),
        (npy((3,), "|S0"), "not negative"),
        (npy((1,), "|O", b"\x80\x04."), "Python objects, which are never loaded"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 4, "announces 4294967295 bytes of its own"),
        (npy((3,))[:30], "truncated, damaged or not a .npy file"),
        (b"no array", "truncated, damaged or not a .npy file"),
        (b"", "the file is empty"),
    ],
    ids=["huge", "negative", "no bytes", "objects", "header", "cut", "foreign", "empty"],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path, content, message):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            load_array(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


def test_members_that_share_their_bytes_are_a_bomb(tmp_path):
    """Two directory entries for one compressed member: each is honest, together they are too large."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy((5 * 10**5,), data=b"\0" * 4 * 10**6))
        entry = archive.filelist[0]
        archive.filelist += [entry] * 40
    (tmp_path / "x.npz").write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match=r"larger than a file of this size can hold|[Oo]verlapped"):
        load_arrays(tmp_path / "x.npz")
