"""Files of scanners, written by the libraries of the field and read back; wavelets and image metrics."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from .report import at_most, same
from .run import Checks

__all__ = ["scanner_files"]


def scanner_files() -> Checks:
    """Files of the three kinds, written by the libraries of the field and read back; wavelets; metrics."""
    return {"fastMRI": _fastmri, "NIfTI": _nifti, "ISMRMRD": _ismrmrd, "wavelets": _wavelets, "SSIM": _ssim}


def _k_space() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 8, 8)) + 1j * rng.standard_normal((2, 8, 8))).astype(np.complex64)


def _fastmri() -> list[str]:
    import h5py

    from ..problems.mri import read_fastmri

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        with h5py.File(path, "w") as file:
            file["kspace"] = _k_space()[None]
        return same("k-space", read_fastmri(path).kspace[0], _k_space(), 1e-7)


def _nifti() -> list[str]:
    import nibabel

    from ..problems.mri import read_nifti, sampling_mask

    volume = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
        data = read_nifti(path, sampling_mask("gaussian2d", (8, 8), 2.0, seed=0), slices=[1], coils=2)
    return (
        []
        if data.kspace.shape == (1, 2, 8, 8)
        else [f"k-space of {data.kspace.shape}; expected (1, 2, 8, 8)"]
    )


def _ismrmrd() -> list[str]:
    import ismrmrd

    from ..problems.mri import read_ismrmrd

    header = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
      <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
      <encoding>
      <encodedSpace><matrixSize><x>8</x><y>8</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>300</x><y>300</y><z>6</z></fieldOfView_mm></encodedSpace>
      <reconSpace><matrixSize><x>8</x><y>8</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>300</x><y>300</y><z>6</z></fieldOfView_mm></reconSpace>
      <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>7</maximum><center>4</center>
      </kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        file = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        file.write_xml_header(header)
        for row in range(8):
            readout = ismrmrd.Acquisition.from_array(np.ascontiguousarray(_k_space()[:, row]))
            readout.idx.kspace_encode_step_1 = row
            file.append_acquisition(readout)
        file.close()
        return same(
            "the norm of k-space", np.linalg.norm(read_ismrmrd(path).kspace), np.linalg.norm(_k_space()), 1e-6
        )


def _wavelets() -> list[str]:
    from ..operators import Wavelet
    from ..testing import check_linear_operator

    return check_linear_operator(Wavelet((16, 16), "db4", dtype="complex128"), raise_on_failure=False)


def _ssim() -> list[str]:
    from ..problems.mri import load_slices, ssim

    head = load_slices("validation").images[5]
    return at_most("the distance of SSIM of equal images from 1", abs(ssim(head, head) - 1.0), 1e-12)
