"""HDF5 data sets that are not what they claim."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.io.hdf5 import dataset, read_hdf5

h5py = pytest.importorskip("h5py")


def external(file):
    file.create_dataset("x", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file.create_virtual_dataset("x", layout)


def link(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "x")


def loop(file):
    file["x"] = h5py.SoftLink("/x")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: f.create_dataset("x", (10**6, 10**6), "f4"), "more than the file can hold"),
        (
            lambda f: f.create_dataset("x", (9,), "f4", chunks=(10**8,), maxshape=(None,)),
            "more than the file can hold",
        ),
        (external, "are in another file"),
        (virtual, "are in another file"),
        (link, "x is a link to somewhere else"),
        (loop, "x is a link to somewhere else"),
        (lambda f: f.create_group("x"), r"holds no dataset x \(found x\)"),
        (lambda f: f.create_dataset("y", data=1.0), r"holds no dataset x \(found y\)"),
        (lambda f: f.create_dataset("x", data=h5py.Empty("f4")), "x has shape None"),
        (lambda f: f.create_dataset("x", data=1j), "x has shape .* and dtype complex128; expected numbers"),
    ],
    ids=["huge", "chunk", "external", "virtual", "link", "loop", "group", "missing", "nothing", "complex"],
)
def test_refusals(tmp_path, write, message):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(ValueError, match=message) as caught:
        read_hdf5(path, lambda file: dataset(file, "x", "f", "numbers")[()])
    assert str(path) in str(caught.value)


def test_what_fits_is_read(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros((300, 300)), compression="gzip")
        file["text"] = "ragged"
    path.chmod(0o400)
    assert read_hdf5(path, lambda file: dataset(file, "x", "f", "numbers").shape) == (300, 300)
    with pytest.raises(ValueError, match="more than the file can hold"):
        read_hdf5(path, lambda file: dataset(file, "x", "f", "numbers", compressed=False))


def test_a_heap_that_the_library_would_walk_for_ever_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=["a text", "another"], dtype=h5py.string_dtype())
    content = bytearray(path.read_bytes())
    heap = content.find(b"GCOL")
    at = heap + 16
    while int.from_bytes(content[at : at + 2], "little"):  # objects; the free space behind them is number 0
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        at += 16 + size + -size % 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="a global heap whose objects overlap"):
        read_hdf5(path, lambda file: file["x"][()])
