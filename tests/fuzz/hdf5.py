"""HDF5 files as fastMRI and ISMRMRD scanners write them, and such as nobody should."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["fastmri_files", "ismrmrd_files"]


def _file(write: Callable[[Any], Any]) -> bytes:
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.h5"
        with h5py.File(path, "w") as file:
            write(file)
        return path.read_bytes()


def fastmri_files(kspace: np.ndarray) -> dict[str, bytes]:
    """Valid ones first; then shapes no data stand behind, links to other files, types that do not belong."""
    import h5py

    shape = kspace.shape
    huge = (10**4, 10**3, 640, 640)

    def valid(file: Any) -> None:
        file["kspace"] = kspace
        file["mask"] = np.ones(shape[-1], np.float32)
        file["reconstruction_rss"] = np.ones((shape[0], 8, 8), np.float32)

    def packed(file: Any) -> None:
        file.create_dataset(
            "kspace", data=kspace, chunks=True, compression="gzip", shuffle=True, fletcher32=True
        )

    def external(file: Any) -> None:
        file.create_dataset("kspace", shape, np.complex64, external=[("/etc/passwd", 0, 10**6)])

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout(shape=shape, dtype=np.complex64)
        layout[:] = h5py.VirtualSource("/tmp/other.h5", "kspace", shape=shape)
        file.create_virtual_dataset("kspace", layout)

    def strings(file: Any) -> None:
        file.create_dataset("kspace", (2,), h5py.string_dtype())

    def masks(file: Any) -> None:
        file["kspace"] = kspace
        file.create_dataset("mask", (10**12,), np.float32, chunks=(10**6,))

    def references(file: Any) -> None:
        file["kspace"] = kspace
        file.create_dataset("reconstruction_rss", huge, np.float32, chunks=(1, 1, 640, 640))

    def links(file: Any) -> None:
        file["kspace"] = h5py.ExternalLink("/etc/passwd", "/kspace")

    def loops(file: Any) -> None:
        file["kspace"] = h5py.SoftLink("/kspace")

    writers: dict[str, Callable[[Any], Any]] = {
        "valid": valid,
        "packed": packed,
        "single": lambda file: file.create_dataset("kspace", data=kspace[:, 0]),
        "huge": lambda file: file.create_dataset("kspace", huge, np.complex64),
        "chunks": lambda file: file.create_dataset("kspace", huge, np.complex64, chunks=(1, 1, 640, 640)),
        "chunk": lambda file: file.create_dataset("kspace", huge, np.complex64, chunks=(1, 1000, 640, 640),
                                                  compression="gzip"),
        "external": external,
        "virtual": virtual,
        "links": links,
        "loops": loops,
        "strings": strings,
        "masks": masks,
        "references": references,
        "group": lambda file: file.create_group("kspace"),
        "scalar": lambda file: file.create_dataset("kspace", data=1j),
        "nothing": lambda file: file.create_dataset("kspace", data=h5py.Empty("c8")),
        "reals": lambda file: file.create_dataset("kspace", data=kspace.real),
        "wide": lambda file: file.create_dataset("kspace", data=kspace.astype(np.clongdouble)),
        "swapped": lambda file: file.create_dataset("kspace", data=kspace.astype(">c8")),
        "pairs": lambda file: file.create_dataset("kspace", data=np.zeros(shape, [("a", "f4"), ("b", "i4")])),
        "pointers": lambda file: file.create_dataset("kspace", shape, h5py.ref_dtype),
        "maskgroup": lambda file: (file.create_dataset("kspace", data=kspace), file.create_group("mask")),
        "maskwords": lambda file: (file.create_dataset("kspace", data=kspace),
                                   file.create_dataset("mask", data=[b"a", b"b"])),
    }  # fmt: skip
    return {f"{name}.h5": _file(write) for name, write in writers.items()}


# -- ISMRMRD ----------------------------------------------------------------------------------
HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>16</x><y>{height}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>600</x><y>300</y><z>6</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{width}</x><y>8</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>300</x><y>300</y><z>6</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>7</maximum><center>{centre}</center>
   </kspace_encoding_step_1></encodingLimits>
  <trajectory>{trajectory}</trajectory>
 </encoding>
</ismrmrdHeader>
"""
USUAL: dict[str, Any] = {"height": 8, "width": 8, "centre": 4, "trajectory": "cartesian"}
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    + "]><ismrmrdHeader>&a11;</ismrmrdHeader>"
)
OTHER_FILE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    "<ismrmrdHeader>&f;</ismrmrdHeader>"
)


def ismrmrd_files() -> dict[str, bytes]:
    """A valid acquisition; then headers that promise too much, steps and slices far out, hostile XML."""
    files = {"valid.h5": _acquisition(HEADER.format(**USUAL))}
    changes: dict[str, dict[str, Any]] = {
        "tall": {"height": 10**9}, "wide": {"width": 10**9}, "far": {"centre": 10**9},
        "minus": {"centre": -5}, "none": {"height": 0, "width": 0}, "spiral": {"trajectory": "spiral"},
        "odd": {"trajectory": "&x;"},
        "words": {"height": "eight"},
    }  # fmt: skip
    for name, change in changes.items():
        files[f"{name}.h5"] = _acquisition(HEADER.format(**{**USUAL, **change}))
    for name, xml in {
        "laughs": BILLION_LAUGHS,
        "entity": OTHER_FILE,
        "broken": "<",
        "empty": "",
        "nul": "<a>\x01</a>",
    }.items():
        files[f"{name}.h5"] = _acquisition(xml)
    files["slices.h5"] = _acquisition(HEADER.format(**USUAL), slices=65535)
    files["rows.h5"] = _acquisition(HEADER.format(**USUAL), step=65535)
    files["many.h5"] = _acquisition(HEADER.format(**USUAL), rows=10**9)
    return files


def _acquisition(xml: str, *, slices: int = 0, step: int = 0, rows: int | None = None) -> bytes:
    import h5py
    import ismrmrd

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        data = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        rng = np.random.default_rng(0)
        for row in range(-1, 8):
            values = (rng.standard_normal((2, 16)) + 1j * rng.standard_normal((2, 16))).astype(np.complex64)
            readout = ismrmrd.Acquisition.from_array(values)
            if row < 0:
                readout.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            readout.idx.kspace_encode_step_1 = max(0, row) + step * (row == 7)
            readout.idx.slice = slices * (row == 7)
            data.append_acquisition(readout)
        data.close()
        with h5py.File(path, "a") as file:
            if rows is not None:
                file["dataset/data"].resize(rows, axis=0)
            file["dataset"].create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))[0] = xml.encode()
        return path.read_bytes()
