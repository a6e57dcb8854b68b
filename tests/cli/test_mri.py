"""``sciml mri import`` through typer's runner."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from sciml.cli.app import app
from sciml.problems.mri import load_kspace, load_slices


def sciml(*arguments):
    return CliRunner().invoke(app, ["mri", "import", *map(str, arguments)])


def error_of(result):
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("sciml: error: ")


@pytest.fixture
def fastmri(tmp_path, rng):
    h5py = pytest.importorskip("h5py")
    values = (rng.standard_normal((3, 2, 32, 32)) + 1j * rng.standard_normal((3, 2, 32, 32))).astype(
        np.complex64
    )
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = values
    return tmp_path / "f.h5"


def test_fastmri_gets_maps(fastmri, tmp_path):
    result = sciml(fastmri, "-o", tmp_path / "o.npz", "--acs", 16, "--slices", "0:2")
    assert result.exit_code == 0, result.output
    assert "2 slices of 2 coils, 32 x 32: measured, f.h5 (fastMRI)" in result.output
    assert "true acceleration 1.00, fully sampled centre 32 x 32" in result.output
    assert load_kspace(tmp_path / "o.npz").maps.shape == (2, 2, 32, 32)


def test_rows_along_the_readout(fastmri, tmp_path):
    result = sciml(fastmri, "-o", tmp_path / "o.npz", "--no-maps", "--rows", 16)
    assert "2 coils, 16 x 32" in result.output
    (tmp_path / "v.nii").write_bytes(b"x")
    assert "--rows removes" in error_of(sciml(tmp_path / "v.nii", "-o", tmp_path / "p.npz", "--rows", 16))


def test_maps_can_wait(fastmri, tmp_path):
    assert "coil maps: none" in sciml(fastmri, "-o", tmp_path / "o.npz", "--no-maps").output
    assert load_kspace(tmp_path / "o.npz").maps is None


def test_nifti_is_simulated_and_says_so(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    head = load_slices("validation").images[5][::2, ::2]
    nibabel.save(nibabel.Nifti1Image(np.stack([head] * 3, axis=2), np.eye(4)), tmp_path / "v.nii.gz")
    result = sciml(
        tmp_path / "v.nii.gz", "-o", tmp_path / "o.npz", "--matrix", 64, "--coils", 3, "--slices", "1:3",
        "--mask", "equispaced1d", "--acceleration", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2 slices of 3 coils, 64 x 64: simulated" in result.output
    assert "those of the simulation" in result.output
    assert load_kspace(tmp_path / "o.npz").acceleration == pytest.approx(3, rel=0.1)


def test_errors_are_one_line(fastmri, tmp_path):
    out = tmp_path / "o.npz"
    assert "no such file" in error_of(sciml(tmp_path / "none.h5", "-o", out))
    assert "--coils belongs to a simulation" in error_of(sciml(fastmri, "-o", out, "--coils", 3))
    assert "expected a name ending in .npz" in error_of(sciml(fastmri, "-o", tmp_path / "o.h5"))
    assert "no such folder" in error_of(sciml(fastmri, "-o", tmp_path / "none" / "o.npz"))
    assert "--slices is '3'" in error_of(sciml(fastmri, "-o", out, "--slices", "3"))
    (tmp_path / "f.txt").write_text("x")
    assert "unknown kind of file" in error_of(sciml(tmp_path / "f.txt", "-o", out))
    (tmp_path / "e.h5").write_bytes(b"")
    assert "is empty" in error_of(sciml(tmp_path / "e.h5", "-o", out))
    assert "acs is 40; expected 4 to 32" in error_of(sciml(fastmri, "-o", out, "--acs", 40))
    assert not out.exists()
