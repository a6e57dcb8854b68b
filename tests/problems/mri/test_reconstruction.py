"""Coil maps from data and the classical reconstructions, on several libraries."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.backends.namespace import to_numpy
from sciml.operators import Sense
from sciml.problems.mri import (
    cg_sense,
    compressed_sensing,
    espirit_maps,
    load_slices,
    low_resolution_maps,
    psnr,
    sampling_mask,
    simulate,
    zero_filled,
)

HEAD = load_slices("validation").images[5]


@pytest.fixture(scope="module")
def scan():
    return simulate(HEAD, sampling_mask("gaussian2d", (64, 64), 4, acs=20), coils=6, noise=0.005, seed=2)


def alignment(maps, truth, inside):
    """Cosine between estimated and true sensitivities, point by point within the head."""
    return np.abs((maps.conj() * truth).sum(axis=0))[inside]


# -- coil maps --------------------------------------------------------------------------------
@pytest.mark.parametrize(("estimate", "worst"), [(espirit_maps, 0.995), (low_resolution_maps, 0.98)])
def test_maps_point_along_the_true_ones(namespace, scan, estimate, worst):
    maps = to_numpy(estimate(namespace.array(scan.y), acs=20))
    assert maps.dtype == np.complex64
    cosine = alignment(maps, scan.maps, scan.foreground)
    assert np.quantile(cosine, 0.02) > worst
    size = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    assert np.all((size < 1e-5) | (np.abs(size - 1) < 1e-4))


def test_espirit_is_exact_for_data_without_noise():
    scan = simulate(HEAD, np.ones((128, 128), dtype=bool), coils=5, noise=0.0)
    maps = espirit_maps(scan.y, acs=24)
    assert np.quantile(alignment(maps, scan.maps, scan.foreground), 0.01) > 0.9998
    # With these maps the fully sampled data are reproduced.
    scan = scan.with_maps(maps)
    assert psnr(zero_filled(scan.A, scan.y), scan.image) > 45


def test_espirit_maps_end_at_the_object(scan):
    maps = espirit_maps(scan.y, acs=20, crop=0.95)
    outside = np.abs(maps).sum(axis=0) == 0
    assert 0.1 < outside.mean() < 0.9
    assert not outside[scan.foreground].mean() > 0.02


@pytest.mark.parametrize("estimate", [espirit_maps, low_resolution_maps])
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda y: y[0], {}, "expected one k-space of shape"),
        (lambda y: y, {"acs": 80}, "acs is 80"),
        (lambda y: y, {"acs": 40}, "not all measured"),
        (lambda y: y * np.nan, {"acs": 20}, "not finite"),
    ],
    ids=["coils", "large", "gaps", "nan"],
)
def test_maps_need_a_sampled_centre(scan, estimate, change, options, message):
    with pytest.raises(ValueError, match=message):
        estimate(change(scan.y), **options)


def test_espirit_checks_its_kernel(scan):
    with pytest.raises(ValueError, match="kernel is 11; expected 2 to 10"):
        espirit_maps(scan.y, acs=20, kernel=11)


# -- reconstructions --------------------------------------------------------------------------
def test_better_methods_are_better(namespace, scan):
    moved = scan if namespace.library == "numpy" else scan.to(namespace.library, device=namespace.device)
    cs = compressed_sensing(moved.A, moved.y, weight=2e-3)
    found = {
        "zero-filled": zero_filled(moved.A, moved.y),
        "cg": cg_sense(moved.A, moved.y, mu=3e-3).x,
        "cs": cs.x,
    }
    assert cs.converged
    quality = {name: psnr(to_numpy(x), scan.image) for name, x in found.items()}
    assert quality["cg"] > quality["zero-filled"] + 3
    assert quality["cs"] > quality["cg"] + 1


def test_scale_of_the_data_does_not_matter(scan):
    once = compressed_sensing(scan.A, scan.y).x
    scaled = compressed_sensing(scan.A, scan.y * np.float32(1024.0)).x
    np.testing.assert_allclose(scaled / 1024, once, atol=1e-4)


def test_cg_sense_solves_its_equations(scan):
    A = scan.A.astype("complex128")
    result = cg_sense(A, scan.y.astype(complex), mu=0.1, rtol=1e-10)
    residual = A.rmatvec(scan.y - A(result.x)) - 0.1 * A.norm_bound() ** 2 * result.x
    assert np.linalg.norm(residual) < 1e-8 * np.linalg.norm(A.rmatvec(scan.y))


def test_small_weights_leave_the_data_alone(scan):
    """Without regularisation, a fully sampled scan is its zero-filled image."""
    full = simulate(HEAD, np.ones((64, 64), dtype=bool), coils=4, noise=0.0)
    result = compressed_sensing(full.A, full.y, weight=1e-7)
    np.testing.assert_allclose(result.x, zero_filled(full.A, full.y), atol=1e-3)


def test_batches_are_reconstructed_together(scan):
    A = Sense(np.stack([scan.maps] * 2), scan.mask)
    y = np.stack([scan.y] * 2)
    single = compressed_sensing(scan.A, scan.y)
    both = compressed_sensing(A, y)
    np.testing.assert_allclose(both.x[1], single.x, atol=1e-3)


METHODS = {"zero-filled": zero_filled, "cg": cg_sense, "cs": compressed_sensing}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda y: y[:3], ValueError, r"y has shape \(3, 64, 64\); expected \(6, 64, 64\)"),
        (lambda y: y[:, :60], ValueError, "y has shape"),
        (lambda y: y * np.nan, ValueError, "y holds a value that is not finite"),
        (lambda y: y * 0, ValueError, "y is zero everywhere"),
        (lambda y: y.tolist(), TypeError, "y is a list"),
    ],
    ids=["coils", "size", "nan", "zero", "list"],
)
def test_bad_data_is_one_clear_error(scan, method, change, error, message):
    with pytest.raises(error, match=message):
        METHODS[method](scan.A, change(scan.y))


def test_bad_settings(scan):
    with pytest.raises(TypeError, match="A is a ndarray; expected a Sense operator"):
        cg_sense(np.eye(3), scan.y)
    with pytest.raises(ValueError, match="mu is -1"):
        cg_sense(scan.A, scan.y, mu=-1)
    with pytest.raises(ValueError, match="weight is 0"):
        compressed_sensing(scan.A, scan.y, weight=0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        cg_sense(scan.A, scan.y, regularisation=1)
