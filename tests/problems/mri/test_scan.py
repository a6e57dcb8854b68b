"""Simulated scans: the model behind them, streams, slices, coils, augmentation."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sciml.backends.namespace import backend_name, to_numpy
from sciml.problems.mri import (
    SPLITS,
    CoilArray,
    ScanStream,
    augmented,
    band_limited,
    foreground,
    load_slices,
    psnr,
    random_window,
    sampling_mask,
    simulate,
    smooth_phase,
    stack_scans,
)
from sciml.problems.mri.build_slices import SOURCES
from sciml.problems.mri.slices import DATA


@pytest.fixture(scope="module")
def heads():
    return load_slices("validation")


# -- slices -----------------------------------------------------------------------------------
def test_splits_share_no_subject_with_training():
    sets = {split: load_slices(split) for split in SPLITS}
    training = set(sets["train"].subjects)
    assert len(sets["train"]) > 90
    for split in SPLITS[1:]:
        assert not training & set(sets[split].subjects)
    assert sets["test-T1"].subjects != sets["validation"].subjects
    for split, content in sets.items():
        assert content.images.shape == (len(content.names), 256, 256)
        assert content.images.min() >= 0
        assert content.images.max() <= 1
        assert (content.white_matter is not None) == split.startswith("test")
        assert all((image > 0.1).mean() > 0.02 for image in content.images), "an empty slice"


def test_shipped_file_is_the_one_described():
    content = DATA.read_bytes()
    assert len(content) <= 3_000_000
    provenance = (DATA.parent / "PROVENANCE.md").read_text()
    assert hashlib.sha256(content).hexdigest() in provenance
    for source in SOURCES.values():
        assert source.sha256 in provenance
        assert source.member.rpartition("/")[2] in provenance
        assert source.licence in provenance


def test_white_matter_is_bright_in_t1_and_dark_in_t2():
    for split, brighter in (("test-T1", True), ("test-T2", False)):
        content = load_slices(split)
        for image, white in zip(content.images, content.white_matter, strict=True):
            brain = foreground(image)
            assert white.sum() > 50
            if white.sum() > 1000:
                assert (np.median(image[white]) > np.median(image[brain])) == brighter


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f.write_bytes(b""), "the file is empty"),
        (lambda f: f.write_bytes(b"PK\x03\x04 truncated"), "not a file of slices"),
        (lambda f: np.savez(f, other=np.ones(3)), "not a file of slices"),
    ],
    ids=["empty", "truncated", "foreign"],
)
def test_bad_files_of_slices(tmp_path, make, message):
    file = tmp_path / "slices.npz"
    make(file)
    with pytest.raises(ValueError, match=message):
        load_slices("train", path=file)


def test_unknown_split_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match="split is 'test'; expected one of train"):
        load_slices("test")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_slices("train", path=tmp_path / "none.npz")


# -- coils and phase --------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(16, 16), (15, 18)])
def test_maps_are_normalised_and_smooth(shape):
    maps = CoilArray.random(6, seed=4).maps(shape)
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(axis=0), 1.0, rtol=1e-5)
    assert np.abs(np.diff(maps, axis=1)).max() < 0.5
    assert maps.dtype == np.complex64


def test_every_second_point_of_a_fine_grid_is_the_coarse_grid():
    coils = CoilArray.random(3, seed=1)
    np.testing.assert_allclose(coils.maps((32, 32))[:, ::2, ::2], coils.maps((16, 16)), atol=1e-6)


def test_a_coil_is_loudest_beside_itself():
    coils = CoilArray.birdcage(4, radius=1.3)
    maps = np.abs(coils.maps((33, 33)))
    for c, (u, v) in enumerate(coils.positions):
        y, x = np.unravel_index(maps[c].argmax(), (33, 33))
        assert np.sign(x - 16) == np.sign(round(u, 6))
        assert np.sign(y - 16) == np.sign(round(v, 6))


def test_phase_has_its_amplitude_and_is_smooth():
    phase = smooth_phase((40, 50), seed=3, amplitude=1.2)
    assert np.abs(phase - phase.mean()).max() < 2.4
    assert np.abs(np.diff(phase, axis=0)).max() < 0.5
    np.testing.assert_array_equal(phase, smooth_phase((40, 50), seed=3, amplitude=1.2))


# -- simulation -------------------------------------------------------------------------------
def test_data_follow_the_model_but_not_exactly(heads):
    """No inverse crime: without noise the model explains the data to a fraction of a per cent only."""
    scan = simulate(heads.images[4], sampling_mask("gaussian2d", (128, 128), 4), noise=0.0)
    gap = np.linalg.norm(scan.A(scan.image) - scan.y) / np.linalg.norm(scan.y)
    assert 1e-5 < gap < 5e-3
    assert scan.y.dtype == scan.maps.dtype == scan.image.dtype == np.complex64
    assert not scan.y[:, ~scan.mask].any()


def test_noise_has_the_deviation_it_says(heads):
    mask = np.ones((128, 128), dtype=bool)
    quiet, loud = (simulate(heads.images[4], mask, noise=noise, seed=5) for noise in (0.0, 0.03))
    noise = loud.y - quiet.y
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(loud.sigma, rel=0.01)
    assert loud.sigma == pytest.approx(0.03 * np.abs(loud.image).max(), rel=1e-6)
    assert noise.real.std() == pytest.approx(noise.imag.std(), rel=0.02)


def test_band_limit_keeps_values_and_positions():
    y, x = np.mgrid[-32:32, -32:32]
    fine = np.exp(-(((y - 4) / 8.0) ** 2) - ((x + 6) / 8.0) ** 2).astype(np.complex64)
    coarse = band_limited(fine, (32, 32))
    np.testing.assert_allclose(coarse, fine[::2, ::2], atol=1e-4)


def test_reference_with_estimated_maps_is_what_they_would_give(heads):
    scan = simulate(heads.images[4], sampling_mask("gaussian2d", (128, 128), 4), noise=0.0)
    turned = scan.with_maps(scan.maps * np.exp(0.7j).astype(np.complex64))
    np.testing.assert_allclose(turned.image, scan.image * np.exp(-0.7j), atol=1e-5)
    assert psnr(turned.image, scan.image) > 100


@pytest.mark.parametrize("backend", ["torch", "array-api-strict"])
def test_scans_move_only_explicitly(heads, backend):
    pytest.importorskip(backend.replace("-", "_"))
    scan = simulate(heads.images[4], sampling_mask("gaussian2d", (64, 64), 4), coils=3)
    moved = scan.to(backend)
    assert backend_name(moved.y) == backend_name(moved.A.maps) == backend
    np.testing.assert_allclose(to_numpy(moved.zero_filled), scan.zero_filled, atol=1e-5)
    np.testing.assert_array_equal(moved.foreground, scan.foreground)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: simulate(np.ones((64, 64), dtype=int), np.ones((32, 32), dtype=bool)), TypeError, "int64"),
        (
            lambda: simulate(np.ones((16, 16)), np.ones((32, 32), dtype=bool)),
            ValueError,
            "larger than the mask",
        ),
        (lambda: simulate(np.zeros((64, 64)), np.ones((32, 32), dtype=bool)), ValueError, "zero everywhere"),
        (
            lambda: simulate(np.full((64, 64), np.nan), np.ones((32, 32), dtype=bool)),
            ValueError,
            "not finite",
        ),
        (
            lambda: simulate(np.ones((64, 64)), np.ones((32, 32), dtype=bool), noise=-1),
            ValueError,
            "noise is -1",
        ),
        (
            lambda: simulate(np.ones((64, 64)), np.ones((32, 32), dtype=bool), coils=0),
            ValueError,
            "coils is 0",
        ),
    ],
    ids=["integers", "small", "zero", "nan", "noise", "coils"],
)
def test_bad_simulations(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- streams ----------------------------------------------------------------------------------
def test_stream_is_the_same_in_any_order(heads):
    a, b = (ScanStream(heads.images, shape=(32, 32), coils=2, seed=3) for _ in range(2))
    last = a[5]
    for i in range(5):
        assert b[i].y.shape == (2, 32, 32)
    np.testing.assert_array_equal(last.y, b[5].y)
    assert (a[5].y != a[6].y).any()
    assert (a[5].y != ScanStream(heads.images, shape=(32, 32), coils=2, seed=4)[5].y).any()


def test_stream_draws_within_its_ranges(heads):
    stream = ScanStream(
        heads.images, shape=(64, 64), coils=(2, 5), masks={"gaussian2d": 1, "equispaced1d": 1},
        acceleration=(3, 5), noise=(0.01, 0.02),
    )  # fmt: skip
    scans = [stream[i] for i in range(24)]
    assert {scan.y.shape[0] for scan in scans} == {2, 3, 4, 5}
    assert {scan.name.split(": ")[1] for scan in scans} == {"gaussian2d", "equispaced1d"}
    ratio = [scan.sigma / np.abs(scan.image).max() for scan in scans]
    assert 0.0099 < min(ratio) < max(ratio) < 0.0201
    assert all(2.5 < scan.mask.size / scan.mask.sum() < 6 for scan in scans)


def test_batches_are_stacks_of_scans(heads):
    stream = ScanStream(heads.images, shape=(32, 32), coils=(2, 6), seed=1)
    batch = stream.batch([3, 8])
    assert batch.y.shape == (2, *stream[3].y.shape)
    np.testing.assert_array_equal(batch.y[0], stream[3].y)
    np.testing.assert_allclose(batch.zero_filled[0], stream[3].zero_filled, atol=1e-5)
    assert batch.A.batch == (2,)
    assert batch.sigma.shape == (2,)
    assert batch.foreground.shape == (2, 32, 32)
    with pytest.raises(ValueError, match="expected one shape"):
        stack_scans([stream._scan(0, 2), stream._scan(0, 3)])


@pytest.mark.parametrize(
    "options",
    [
        {"coils": (4, 2)},
        {"acceleration": (5, 3)},
        {"noise": (1,)},
        {"masks": {}},
        {"window": (64, 64)},
        {"window": (512, 512)},
        {"window": (129, 128)},
    ],
    ids=["coils", "acceleration", "noise", "masks", "below the scans", "above the images", "odd"],
)
def test_bad_streams(heads, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        ScanStream(heads.images, **options)


def test_augmentation_keeps_the_range_and_inverts_inside_the_head():
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for seed in range(10):
        out = augmented(image, seed=seed, invert=0.5)
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1
    inverted = augmented(image, seed=1, gamma=(1, 1), invert=1.0)
    assert np.sort(inverted.ravel())[0] == 0.0  # air stays dark
    assert inverted[np.unravel_index(inverted.argmax(), inverted.shape)] < 0.95


def test_windows_show_a_part_of_the_head_at_full_resolution(heads):
    def images(**options):
        stream = ScanStream(heads.images, coils=2, augment=False, noise=(0, 0), **options)
        return np.abs(np.stack([stream[i].image for i in range(20)]))

    def roughness(x):
        """Mean step between neighbours over the mean: what a lower resolution makes larger."""
        return np.abs(np.diff(x, axis=-1)).mean() / x.mean()

    whole, parts = images(), images(shape=(32, 32), window=(64, 64))
    shrunk = images(shape=(32, 32))
    assert parts.shape == (20, 32, 32)
    assert (parts > 0.1).mean() > 1.5 * (whole > 0.1).mean()
    assert roughness(parts) < 1.3 * roughness(whole) < 0.7 * roughness(shrunk)


def test_a_window_is_the_best_of_its_tries():
    image = np.zeros((32, 32), dtype=np.float32)
    image[10, 20] = 1.0
    part = random_window(image, (30, 30), seed=3)
    assert part.shape == (30, 30)
    assert part.max() == 1.0
    assert random_window(np.zeros((4, 4)), (2, 2)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"shape is \(5, 2\); expected a part"):
        random_window(image[:4], (5, 2))
