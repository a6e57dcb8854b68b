"""Masks: the acceleration they report is the one they have, recipes, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.problems.mri import (
    MASKS,
    Mask,
    equispaced1d,
    gaussian2d,
    partial_fourier,
    poisson2d,
    sampling_mask,
)

KINDS = list(MASKS)


@given(
    kind=st.sampled_from([k for k in KINDS if k != "poisson2d"]),
    h=st.integers(48, 80),  # a few lines even at the highest acceleration
    w=st.integers(48, 80),
    R=st.floats(1.0, 10.0),
    seed=st.integers(0, 50),
)
@settings(max_examples=80, deadline=None)
def test_reported_acceleration_is_the_true_one(kind, h, w, R, seed):
    mask = sampling_mask(kind, (h, w), R, seed=seed)
    assert mask.array.shape == (h, w)
    assert mask.array.dtype == np.bool_
    assert mask.acceleration == pytest.approx(h * w / mask.array.sum())
    assert mask.acceleration <= 2.5 * R + 2
    assert mask.array[h // 2, w // 2]
    np.testing.assert_array_equal(mask.array, sampling_mask(kind, (h, w), R, seed=seed).array)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_differ_and_the_centre_is_sampled(kind):
    one, two = (sampling_mask(kind, (64, 64), 4, seed=seed, acs=12) for seed in (0, 3))
    assert (one.array != two.array).any()
    assert min(one.centre) >= 12
    assert one.array[26:38, 26:38].all()


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("gaussian2d", 0.1), ("equispaced1d", 0.1), ("poisson2d", 0.1)]
)
@pytest.mark.parametrize("R", [4, 8])
def test_acceleration_is_near_the_one_asked_for(kind, tolerance, R):
    values = [sampling_mask(kind, (128, 128), R, seed=seed).acceleration for seed in range(4)]
    assert abs(np.mean(values) - R) <= tolerance * R


def test_gaussian_density_has_the_width_of_the_recipe():
    """The drawn points of many masks follow the square root of the Gaussian of FWHM 0.7."""
    total = sum(gaussian2d((32, 32), 20, seed=seed, scale=0.0).array.astype(float) for seed in range(400))
    profile = total.sum(axis=0)
    u = np.linspace(-1, 1, 32)
    expected = np.exp(-0.25 * (u / (0.7 / np.sqrt(8 * np.log(2)))) ** 2)
    profile[16] = profile[15]  # the centre is always sampled
    half = profile > np.sort(profile)[-6:].mean() / 2
    assert half.mean() == pytest.approx(0.7 * np.sqrt(2) / 2, abs=0.07)
    assert np.corrcoef(profile, expected)[0, 1] > 0.98


def test_equispaced_lines_are_spaced_evenly():
    mask = equispaced1d((8, 320), 4, seed=1, center_fraction=0.08)
    lines = np.flatnonzero(mask.array[0])
    assert (mask.array == mask.array[0]).all()
    outer = lines[lines < 140]
    assert set(np.diff(outer)) <= {5, 6}
    assert mask.acceleration == pytest.approx(4, rel=0.03)
    assert mask.array[0, 147:173].all()


def test_poisson_points_keep_their_distance():
    mask = poisson2d((64, 64), 8, seed=2, scale=0.0)
    points = np.argwhere(mask.array)
    u = (points / 63 - 0.5) * 2
    assert (np.hypot(u[:, 0], u[:, 1]) < 1.0 + 1e-9).all()  # no corners
    outer = points[np.hypot(u[:, 0], u[:, 1]) > 0.8]
    distances = np.linalg.norm(outer[:, None] - outer[None, :], axis=-1) + 1e9 * np.eye(len(outer))
    inner = points[np.hypot(u[:, 0], u[:, 1]) < 0.2]
    inner_distances = np.linalg.norm(inner[:, None] - inner[None, :], axis=-1) + 1e9 * np.eye(len(inner))
    assert distances.min() > inner_distances.min()


def test_partial_fourier_leaves_out_one_side():
    full = sampling_mask("equispaced1d", (40, 40), 4)
    half = partial_fourier(full, 0.6, axis=0)
    assert not half.array[:16].any()
    np.testing.assert_array_equal(half.array[16:], full.array[16:])
    assert half.acceleration == pytest.approx(full.acceleration / 0.6)
    columns = partial_fourier(full, 0.75, axis=1)
    assert not columns.array[:, :10].any()


def test_centre_is_found():
    array = np.zeros((20, 30), dtype=bool)
    array[6:14, 5:25] = True
    assert Mask(array, "made", 4).centre == (8, 20)
    array[10, 15] = False
    assert Mask(array, "made", 4).centre == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling_mask("spiral", (8, 8), 4), "kind is 'spiral'; expected one of gaussian2d"),
        (lambda: sampling_mask("gaussian2d", (8,), 4), r"shape is \(8,\)"),
        (lambda: sampling_mask("gaussian2d", (8, 8), 0.5), "acceleration is 0.5"),
        (lambda: sampling_mask("gaussian2d", (8, 8), float("nan")), "acceleration is nan"),
        (lambda: poisson2d((32, 32), 20, acs=24), "no Poisson disc"),
        (lambda: partial_fourier(sampling_mask("gaussian2d", (8, 8), 2), 0.4), "fraction is 0.4"),
        (lambda: partial_fourier(sampling_mask("gaussian2d", (8, 8), 2), 0.8, axis=2), "axis is 2"),
    ],
    ids=["kind", "shape", "small", "nan", "poisson", "fraction", "axis"],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
