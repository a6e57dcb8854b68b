"""Readers: real files of the public generator, files made here, and everything that can be wrong with one."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from sciml.operators import Sense
from sciml.problems.mri import (
    KSpaceData,
    load_kspace,
    load_slices,
    prewhitened,
    psnr,
    read_fastmri,
    read_ismrmrd,
    read_nifti,
    remove_oversampling,
    sampling_mask,
    zero_filled,
)

h5py = pytest.importorskip("h5py")
GENERATOR = "ismrmrd_generate_cartesian_shepp_logan"
needs_generator = pytest.mark.skipif(
    shutil.which(GENERATOR) is None, reason=f"the program {GENERATOR} is not installed"
)


def complex_normal(rng, shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def fastmri(path, kspace, **datasets):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, values in datasets.items():
            file[name] = values
    return path


# -- ISMRMRD ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def generate(tmp_path_factory):
    pytest.importorskip("ismrmrd")

    def run(*options):
        file = tmp_path_factory.mktemp("ismrmrd") / "scan.h5"
        command = [GENERATOR, "-m", "48", "-c", "4", *options, "-o", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        return file

    return run


def truth(file):
    """Coil maps and image that the generator keeps beside the data."""
    with h5py.File(file) as content:
        parts = [content["dataset"][name][0] for name in ("csm", "phantom")]
    return [(part["real"] + 1j * part["imag"]).astype(np.complex64) for part in parts]


@needs_generator
def test_encoding_is_that_of_the_public_generator(generate):
    file = generate("-n", "0")
    data = read_ismrmrd(file)
    maps, image = truth(file)
    assert data.kspace.shape == (1, 4, 48, 48)  # readout oversampling is gone
    expected = Sense(maps)(image)
    assert np.linalg.norm(data.kspace[0] - expected) < 1e-6 * np.linalg.norm(expected)


@needs_generator
def test_accelerated_files_know_their_mask(generate):
    file = generate("-n", "0", "-a", "2", "-w", "16")
    data = read_ismrmrd(file)
    rows = np.flatnonzero(data.mask[:, 0])
    assert (data.mask == data.mask[:, :1]).all()
    assert set(range(0, 48, 2)) | set(range(17, 31)) <= set(rows)
    assert not {1, 3, 5, 43, 45, 47} & set(rows)
    assert 1.3 < data.acceleration < 1.7
    maps, image = truth(file)
    expected = Sense(maps, data.mask)(image)
    assert np.linalg.norm(data.kspace[0] - expected) < 1e-6 * np.linalg.norm(expected)


@needs_generator
def test_noise_scan_gives_sigma(generate):
    """Its readouts and those of the object hold the same noise."""
    data, clean = read_ismrmrd(generate("-n", "0.05", "-C")), read_ismrmrd(generate("-n", "0"))
    noise = np.sqrt(np.mean(np.abs(data.kspace - clean.kspace) ** 2))
    assert data.sigma == pytest.approx(noise, rel=0.06)
    assert noise == pytest.approx(0.05 * np.sqrt(2), rel=0.06)


@needs_generator
def test_estimated_maps_reconstruct_the_phantom(generate):
    file = generate("-n", "0.001")
    data = read_ismrmrd(file)
    scan = data.scan(0)
    x = zero_filled(scan.A, scan.y)
    rss = np.sqrt((np.abs(truth(file)[0]) ** 2).sum(axis=0))
    assert psnr(x, rss * truth(file)[1]) > 20
    assert np.isnan(data.sigma)


@needs_generator
def test_what_is_no_such_acquisition_is_refused(generate, tmp_path):
    file = generate("-n", "0")
    with pytest.raises(ValueError, match="holds no ISMRMRD dataset 'other'"):
        read_ismrmrd(file, dataset="other")
    with pytest.raises(ValueError, match="holds no readout of repetition 3"):
        read_ismrmrd(file, repetition=3)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(ValueError, match="truncated, damaged or not an HDF5 file"):
        read_ismrmrd(cut)


@needs_generator
def test_whitened_noise_is_white(generate):
    file = generate("-n", "0.05", "-C")
    data = read_ismrmrd(file, whiten=True)
    assert data.sigma == 1.0
    plain = read_ismrmrd(file)
    ratio = np.linalg.norm(data.kspace) / np.linalg.norm(plain.kspace)
    assert ratio == pytest.approx(1 / plain.sigma, rel=0.1)
    with pytest.raises(ValueError, match="holds no noise measurement"):
        read_ismrmrd(generate("-n", "0"), whiten=True)


def test_prewhitening_makes_the_covariance_the_identity(rng):
    mixing = complex_normal(rng, (4, 4))
    noise = mixing @ complex_normal(rng, (4, 4000)) / np.sqrt(2)
    white = prewhitened(noise.reshape(4, 40, 100), noise).reshape(4, -1)
    np.testing.assert_allclose(white @ white.conj().T / 4000, np.eye(4), atol=1e-4)
    with pytest.raises(ValueError, match=r"noise has shape \(3, 9\); expected \(4, n\)"):
        prewhitened(np.ones((4, 2, 2), dtype=complex), np.ones((3, 9), dtype=complex))
    with pytest.raises(ValueError, match="zero or the same"):
        prewhitened(np.ones((2, 2, 2), dtype=complex), np.zeros((2, 9), dtype=complex))


@needs_generator
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<trajectory>cartesian", "<trajectory>spiral", "its trajectory is spiral; expected cartesian"),
        ("<z>1</z>", "<z>4</z>", "three-dimensional"),
        ("<encoding>", "<encoding", "its header cannot be understood"),
    ],
    ids=["spiral", "volume", "damaged"],
)
def test_headers_of_other_scans_are_refused(generate, old, new, message):
    file = generate("-n", "0")
    with h5py.File(file, "r+") as content:
        xml = content["dataset"]["xml"]
        xml[0] = xml[0].decode().replace(old, new)
    with pytest.raises(ValueError, match=message):
        read_ismrmrd(file)


# -- fastMRI ----------------------------------------------------------------------------------
def test_fastmri_training_file(tmp_path, rng):
    kspace = complex_normal(rng, (3, 4, 20, 16))
    data = read_fastmri(fastmri(tmp_path / "f.h5", kspace, reconstruction_rss=np.ones((3, 8, 8))))
    np.testing.assert_array_equal(data.kspace, kspace)
    assert data.acceleration == 1.0
    assert data.reference.shape == (3, 8, 8)
    assert "measured" in data.source
    assert len(read_fastmri(tmp_path / "f.h5", slices=slice(1, 3))) == 2


def test_fastmri_test_file_has_a_mask_of_columns(tmp_path, rng):
    mask = np.zeros(16)
    mask[[0, 4, 7, 8, 9, 12]] = 1
    data = read_fastmri(fastmri(tmp_path / "f.h5", complex_normal(rng, (1, 2, 20, 16)), mask=mask))
    assert (data.mask == mask.astype(bool)).all()
    assert not data.kspace[..., mask == 0].any()
    assert data.centre == (20, 3)


def test_mask_is_found_where_the_file_has_none(tmp_path, rng):
    kspace = complex_normal(rng, (2, 3, 8, 8))
    kspace[..., 1::2] = 0
    data = read_fastmri(fastmri(tmp_path / "f.h5", kspace))
    assert data.acceleration == 2.0
    assert data.mask[:, 0].all()


def test_readout_oversampling_of_fastmri_is_removed(tmp_path, rng):
    from sciml.operators.fourier import centred_fft

    small, wide = complex_normal(rng, (1, 2, 8, 8)), np.zeros((1, 2, 16, 8), dtype=np.complex64)
    wide[..., 4:12, :] = small
    mask = np.array([1, 0, 1, 1, 1, 1, 0, 1])
    file = fastmri(tmp_path / "f.h5", centred_fft(wide), mask=mask)
    data = read_fastmri(file, rows=8)
    np.testing.assert_allclose(data.kspace, centred_fft(small) * mask, atol=1e-5)
    assert data.mask.shape == (8, 8)
    assert data.acceleration == pytest.approx(8 / 6)
    scattered = centred_fft(wide) * (rng.random((16, 8)) < 0.5)
    with pytest.raises(ValueError, match="needs fully sampled readouts"):
        read_fastmri(fastmri(tmp_path / "g.h5", scattered), rows=8)


def test_single_coil_file(tmp_path, rng):
    assert read_fastmri(fastmri(tmp_path / "f.h5", complex_normal(rng, (2, 8, 8)))).kspace.shape == (
        2,
        1,
        8,
        8,
    )


K = np.ones((1, 2, 8, 8), dtype=np.complex64)
BROKEN = {
    "real": ({"kspace": K.real}, r"kspace has shape \(1, 2, 8, 8\) and dtype float32; expected complex"),
    "axes": ({"kspace": K[0, 0]}, "expected complex"),
    "empty": ({"kspace": K[:0]}, r"k-space has shape \(0, 2, 8, 8\)"),
    "nan": ({"kspace": K * np.nan}, "not finite"),
    "beyond single precision": ({"kspace": K.astype(complex) * 1e60}, "not finite in single precision"),
    "zero": ({"kspace": K * 0}, "nothing is sampled"),
    "mask": ({"kspace": K, "mask": np.ones(7)}, r"mask has shape \(7,\); expected \(8,\)"),
    "no mask": ({"kspace": K, "mask": np.zeros(8)}, "nothing is sampled"),
    "reference": ({"kspace": K, "reconstruction_rss": np.ones((2, 8, 8))}, "2 reference images for 1 slices"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_fastmri_files(tmp_path, name):
    datasets, message = BROKEN[name]
    with pytest.raises(ValueError, match=message):
        read_fastmri(fastmri(tmp_path / "f.h5", **datasets))


@pytest.mark.parametrize("read", [read_fastmri, read_ismrmrd, load_kspace], ids=["fastmri", "ismrmrd", "npz"])
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "no such file"),
        (b"", ValueError, "the file is empty"),
        (b"nonsense" * 100, ValueError, "truncated, damaged or not"),
    ],
    ids=["missing", "empty", "foreign"],
)
def test_unreadable_files(tmp_path, read, content, error, message):
    pytest.importorskip("ismrmrd")
    file = tmp_path / "f.h5"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message):
        read(file)


def test_hdf5_without_kspace(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["images"] = np.ones(3)
    with pytest.raises(ValueError, match=r"holds no dataset kspace \(found images\)"):
        read_fastmri(tmp_path / "f.h5")


# -- NIfTI ------------------------------------------------------------------------------------
def volume(path, values):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def test_slices_of_a_volume_are_scanned(tmp_path):
    head = np.rot90(load_slices("validation").images[5][::2, ::2], -1)
    file = volume(tmp_path / "v.nii.gz", np.stack([head] * 4, axis=2).astype(np.float32))
    mask = sampling_mask("gaussian2d", (64, 64), 4)
    data = read_nifti(file, mask, slices=[1, 2], coils=3)
    assert data.kspace.shape == data.maps.shape == (2, 3, 64, 64)
    assert "simulated" in data.source
    scan = data.scan(0)
    assert psnr(zero_filled(scan.A, scan.y), scan.image) > 15
    upright = np.abs(read_nifti(file, mask, slices=[1]).reference[0])
    straight = load_slices("validation").images[5][::4, ::4]
    assert np.corrcoef(upright.ravel(), straight.ravel())[0, 1] > 0.5
    assert len(read_nifti(file, mask, coils=1)) == 4


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((8, 8), dtype=np.float32), {}, "expected 3 axes"),
        (np.zeros((8, 8, 8), dtype=np.float32), {}, "nothing but zeros"),
        (np.full((8, 8, 8), np.nan, dtype=np.float32), {}, "not finite"),
        (np.ones((8, 8, 8), dtype=np.float32), {"slices": [9]}, "positions from 0 to 7"),
        (np.ones((8, 8, 8), dtype=np.float32), {"axis": 3}, "axis is 3"),
    ],
    ids=["plane", "zero", "nan", "slices", "axis"],
)
def test_bad_volumes(tmp_path, values, options, message):
    with pytest.raises(ValueError, match=message):
        read_nifti(volume(tmp_path / "v.nii", values), sampling_mask("gaussian2d", (16, 16), 2), **options)


def test_truncated_volume(tmp_path):
    file = volume(tmp_path / "v.nii.gz", np.ones((16, 16, 16), dtype=np.float32))
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match="not a NIfTI file"):
        read_nifti(file, sampling_mask("gaussian2d", (16, 16), 2))


# -- what everything becomes ------------------------------------------------------------------
def test_round_trip(tmp_path, rng):
    kspace = complex_normal(rng, (2, 3, 8, 6))
    data = KSpaceData(kspace, np.ones((8, 6), dtype=bool), kspace, np.ones((2, 8, 6)), 0.1, "made")
    data.save(tmp_path / "x.npz")
    again = load_kspace(tmp_path / "x.npz")
    for name, value in vars(data).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert repr(again) == "<KSpaceData 2 slices, 3 coils, 8 x 6, R = 1.00, made>"


def test_contradictions_are_found_on_loading(tmp_path, rng):
    kspace = complex_normal(rng, (2, 3, 8, 6))
    KSpaceData(kspace, np.ones((8, 7), dtype=bool)).save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"mask has shape \(8, 7\); expected \(8, 6\)"):
        load_kspace(tmp_path / "x.npz")
    KSpaceData(kspace, np.ones((8, 6), dtype=bool), kspace[:, :2]).save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="maps have shape"):
        load_kspace(tmp_path / "x.npz")


def test_no_pickle_is_loaded(tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.savez(file, kspace=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        load_kspace(tmp_path / "x.npz")


def test_oversampling_is_removed_without_a_trace(rng):
    """An object inside the field of view has the same k-space as on the small grid."""
    small = complex_normal(rng, (3, 8, 8))
    wide = np.zeros((3, 8, 16), dtype=np.complex64)
    wide[..., 4:12] = small
    from sciml.operators.fourier import centred_fft

    np.testing.assert_allclose(remove_oversampling(centred_fft(wide), 8), centred_fft(small), atol=1e-5)
    with pytest.raises(ValueError, match="size is 20"):
        remove_oversampling(wide, 20)


def test_unknown_way_to_estimate_maps(rng):
    data = KSpaceData(complex_normal(rng, (1, 3, 16, 16)), np.ones((16, 16), dtype=bool))
    assert data.scan(0, maps="low resolution").maps.shape == (3, 16, 16)
    with pytest.raises(ValueError, match="maps is 'guess'"):
        data.scan(0, maps="guess")
