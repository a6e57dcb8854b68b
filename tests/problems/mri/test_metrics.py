"""Metrics against their definitions, the residual check, the bootstrap, lesions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.problems.mri import (
    bootstrap_median,
    cg_sense,
    chi_squared,
    foreground,
    load_slices,
    nmse,
    paint_lesions,
    psnr,
    sampling_mask,
    simulate,
    ssim,
)


@pytest.fixture(scope="module")
def scan():
    return simulate(
        load_slices("validation").images[5], sampling_mask("gaussian2d", (128, 128), 4), noise=0.02
    )


@given(scale=st.floats(0.5, 1.5), shift=st.floats(-0.2, 0.2))
def test_no_image_is_rescaled(scale, shift):
    reference = np.linspace(0.3, 1.0, 64).reshape(8, 8)
    x = scale * reference + shift
    error = np.mean((np.abs(x) - reference) ** 2)
    if error > 1e-12:
        assert psnr(x, reference) == pytest.approx(10 * np.log10(1.0 / error))
        assert nmse(x, reference) == pytest.approx(error * 64 / np.sum(reference**2))


def test_perfect_images(scan):
    x = np.asarray(scan.image)
    assert psnr(x, x) == np.inf
    assert ssim(x, x) == pytest.approx(1.0)
    assert nmse(x, x) == 0.0


def test_masks_restrict_the_comparison(scan):
    reference = np.abs(scan.image)
    noisy = reference + 0.1 * ~scan.foreground
    assert psnr(noisy, reference, mask=scan.foreground) == np.inf
    assert psnr(noisy, reference) < 40
    assert ssim(noisy, reference, mask=scan.foreground) > ssim(noisy, reference)


def test_ssim_is_that_of_scikit_image(scan):
    from skimage.metrics import structural_similarity

    a, b = np.abs(scan.zero_filled).astype(float), np.abs(scan.image).astype(float)
    assert ssim(scan.zero_filled, scan.image) == structural_similarity(a, b, data_range=b.max())


def test_foreground_is_one_filled_region():
    y, x = np.mgrid[-32:32, -32:32]
    ring = ((np.hypot(y, x) < 24) & (np.hypot(y, x) > 12)).astype(float)
    ring[0, 0] = 1.0
    head = foreground(ring)
    assert head[32, 32]
    assert not head[0, 0]
    assert head.sum() == pytest.approx(np.pi * 24**2, rel=0.03)
    assert foreground(np.stack([ring, ring])).shape == (2, 64, 64)


def test_chi_squared_is_one_for_the_truth_on_every_library(namespace, scan):
    moved = scan if namespace.library == "numpy" else scan.to(namespace.library, device=namespace.device)
    assert chi_squared(moved.A, moved.image, moved.y, moved.sigma) == pytest.approx(1.0, abs=0.05)


def test_chi_squared_tells_a_wrong_reconstruction(scan):
    wrong = scan.image.copy()
    wrong[60:70, 60:70] = 0
    assert chi_squared(scan.A, wrong, scan.y, scan.sigma) > 1.2
    fitted = cg_sense(scan.A, scan.y, mu=0.0, rtol=1e-2).x
    assert chi_squared(scan.A, fitted, scan.y, scan.sigma) < 0.9


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), None], ids=str)
def test_chi_squared_needs_a_noise_level(scan, sigma):
    with pytest.raises(ValueError, match="sigma is"):
        chi_squared(scan.A, scan.image, scan.y, sigma)


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
def test_metrics_refuse_what_cannot_be_compared(metric):
    with pytest.raises(ValueError, match="expected that of the reference"):
        metric(np.ones((8, 8)), np.ones((8, 9)))
    with pytest.raises(ValueError, match="zero everywhere"):
        metric(np.ones((8, 8)), np.zeros((8, 8)))


def test_bootstrap_covers_the_median():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        median, low, high = bootstrap_median(rng.normal(3.0, 1.0, 60), draws=400)
        assert low <= median <= high
        hits += low <= 3.0 <= high
    assert hits >= 51
    with pytest.raises(ValueError, match="empty"):
        bootstrap_median([])


# -- lesions ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("split", "factor", "sign"), [("test-T1", (0.6, 0.85), -1), ("test-T2", (1.3, 1.7), 1)], ids=["T1", "T2"]
)
def test_lesions_lie_in_white_matter_and_show(split, factor, sign):
    heads = load_slices(split)
    lesions = paint_lesions(heads.images[7], heads.white_matter[7], count=12, factor=factor, seed=1)
    assert len(lesions) == 12
    assert heads.white_matter[7][lesions.labels > 0].mean() > 0.85
    assert set(np.unique(lesions.labels)) == set(range(13))
    assert np.all(sign * lesions.contrast(lesions.image) > 0.02)
    coarse = lesions.contrast(lesions.image[::2, ::2])
    assert np.nanmax(np.abs(coarse - lesions.contrast(lesions.image))) < 0.1
    away = np.abs(lesions.image - heads.images[7]) > 1e-3
    assert not (away & ~heads.white_matter[7]).sum() > 0.2 * away.sum()


def test_contrast_of_a_known_lesion():
    white = np.ones((32, 32), dtype=bool)
    lesions = paint_lesions(np.ones((32, 32)), white, count=1, radius=(5, 5), factor=(0.5, 0.5), blur=1e-6)
    assert lesions.contrast(lesions.image)[0] == pytest.approx((0.5 - 1) / 1.5)
    assert lesions.contrast(np.ones((32, 32)))[0] == pytest.approx(0.0)
    assert lesions.contrast(7 * lesions.image)[0] == pytest.approx(-1 / 3)


def test_lesions_without_room_are_left_out():
    white = np.zeros((32, 32), dtype=bool)
    white[10:20, 10:20] = True
    assert len(paint_lesions(np.ones((32, 32)), white, count=9)) < 4
    white[:] = False
    assert len(paint_lesions(np.ones((32, 32)), white, count=9)) == 0


def test_bad_lesions():
    with pytest.raises(ValueError, match="white_matter"):
        paint_lesions(np.ones((8, 8)), np.ones((8, 9), dtype=bool))
    with pytest.raises(ValueError, match="radius is"):
        paint_lesions(np.ones((8, 8)), np.ones((8, 8), dtype=bool), radius=(3, 1))
    lesions = paint_lesions(np.ones((32, 32)), np.ones((32, 32), dtype=bool), count=1)
    with pytest.raises(ValueError, match="reconstruction has shape"):
        lesions.contrast(np.ones((20, 20)))
