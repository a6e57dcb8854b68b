"""Readers of scans and images, and small valid files of each of their formats."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.files import npz, written

__all__ = [
    "cfl_files", "hdf5_files", "ismrmrd_files", "kspace_files", "load_kspace", "load_slices", "nifti_files",
    "read_cfl", "read_fastmri", "read_ismrmrd", "read_nifti", "slice_files",
]  # fmt: skip


def read_fastmri(path: Path) -> Any:
    from sciml.problems.mri import read_fastmri

    return read_fastmri(path)


def read_ismrmrd(path: Path) -> Any:
    from sciml.problems.mri import read_ismrmrd

    return read_ismrmrd(path)


def read_nifti(path: Path) -> Any:
    from sciml.problems.mri import read_nifti, sampling_mask

    return read_nifti(path, sampling_mask("gaussian2d", (8, 8), 2.0, seed=0), slices=[2], coils=2)


def load_kspace(path: Path) -> Any:
    from sciml.problems.mri import load_kspace

    return load_kspace(path)


def load_slices(path: Path) -> Any:
    from sciml.problems.mri import load_slices

    return load_slices("test-T1", path=path)


def read_cfl(path: Path) -> Any:
    from sciml.problems.mri.bart import read_cfl

    for name, content in cfl_files().items():
        if name != path.name:
            path.with_name(name).write_bytes(content)
    return read_cfl(path.with_suffix(""))


def _kspace() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 3, 8, 8)) + 1j * rng.standard_normal((2, 3, 8, 8))).astype(np.complex64)


def kspace_files() -> dict[str, bytes]:
    from sciml.problems.mri import KSpaceData

    data = KSpaceData(
        _kspace(), np.ones((8, 8), bool), None, np.ones((2, 8, 8), np.complex64), 0.1, "made here"
    )
    return written(lambda folder: data.save(folder / "scan.npz"), "scan.npz")


def slice_files() -> dict[str, bytes]:
    images = np.arange(2 * 256 * 256, dtype=np.uint8).reshape(2, 256, 256) % 128
    white = np.packbits(np.ones((2, 256, 256), bool), axis=-1)
    parts = {"test-T1": images, "test-T1/names": np.array(["a/z1", "a/z2"]), "test-T1/white matter": white}
    return {"slices.npz": npz(**parts)}


def nifti_files() -> dict[str, bytes]:
    import nibabel

    volume = np.random.default_rng(0).random((12, 10, 8)).astype(np.float32)
    one = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    two = nibabel.Nifti2Image((volume * 100).astype(np.int16), np.diag([-1, 1, 1, 1])).to_bytes()
    return {"one.nii": one, "two.nii": two, "packed.nii.gz": gzip.compress(one, mtime=0)}


@lru_cache(maxsize=1)
def cfl_files() -> dict[str, bytes]:
    from sciml.problems.mri.bart import write_cfl

    return written(lambda folder: write_cfl(folder / "y", _kspace()), "y.hdr", "y.cfl")


def hdf5_files() -> dict[str, bytes]:
    from fuzz.hdf5 import fastmri_files

    return fastmri_files(_kspace())


def ismrmrd_files() -> dict[str, bytes]:
    from fuzz.hdf5 import ismrmrd_files

    return ismrmrd_files()
