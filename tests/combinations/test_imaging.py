"""One Sense operator for all: CG-SENSE, Halpern over coils, proximal methods, and a RIM whose step is CG."""

from __future__ import annotations

import numpy as np
import pytest

import sciml
from sciml.backends.namespace import array_namespace, to_numpy
from sciml.operators import Sense, WaveletL1
from sciml.solvers import forward_backward

torch = pytest.importorskip("torch")

from sciml.learned.rim import RIM, Sample, train_rim  # noqa: E402
from sciml.problems.mri import cg_sense, load_slices, psnr, sampling_mask, simulate  # noqa: E402


def smooth_maps(rng, coils, shape):
    """Coils that look from different sides, their squares summing to one."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = np.stack([np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) + 1j * a) for a in angles])
    return maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))


@pytest.fixture
def scan(namespace, rng):
    """A determined scan (twice undersampled, six coils, no noise): operator, data, image."""
    maps = smooth_maps(rng, 6, (16, 12))
    image = rng.standard_normal((16, 12)) + 1j * rng.standard_normal((16, 12))
    mask = np.arange(12) % 2 == 0
    A = Sense(namespace.array(maps), namespace.array(mask))
    x = namespace.array(image)
    return A, A @ x, image


def test_cg_sense_and_halpern_over_coils_find_the_same_image(scan):
    A, y, image = scan
    by_cg = sciml.cg(A.normal(), A.H @ y, rtol=1e-8).raise_if_failed()
    F = A.finite_sum(y)
    by_halpern = sciml.halpern(F, 0 * by_cg.x, rtol=1e-5, maxiter=20_000).raise_if_failed()
    assert F.n == A.coils
    np.testing.assert_allclose(to_numpy(by_cg.x), image, atol=1e-4)
    np.testing.assert_allclose(to_numpy(by_halpern.x), image, atol=2e-2)


@pytest.mark.parametrize("variance_reduction", ["page", "forb"])
def test_random_coils_find_it_too(variance_reduction, rng):
    A = Sense(smooth_maps(rng, 6, (16, 12)))
    image = rng.standard_normal((16, 12)) + 0j
    result = sciml.halpern(
        A.finite_sum(A @ image), 0 * image, variance_reduction=variance_reduction, rtol=1e-3, max_epochs=5000
    )
    assert result.converged
    np.testing.assert_allclose(result.x, image, atol=2e-2)


def test_proximal_methods_agree_on_the_same_sum(rng):
    """Halpern and FISTA on one finite sum with one regulariser."""
    A = Sense(smooth_maps(rng, 4, (16, 16)), rng.random((16, 16)) < 0.6)
    y = A @ (rng.standard_normal((16, 16)) + 0j)
    F = A.finite_sum(y, G=WaveletL1(0.05, (16, 16), "haar"))
    start = A.H @ y
    first = sciml.halpern(F, start, rtol=1e-6, maxiter=20_000).raise_if_failed()
    second = forward_backward(F, start, accelerated=True, rtol=1e-6, maxiter=20_000).raise_if_failed()
    assert np.abs(first.x - second.x).max() < 1e-3 * np.abs(first.x).max()


def test_a_rim_whose_step_is_cg_on_the_same_operator(scan, namespace):
    A, y, image = scan
    rim = RIM(channels=4, steps=3, step="cg", cg_iterations=3, seed=1)
    result = rim(A, y)
    assert result.status is sciml.Status.FIXED
    assert array_namespace(result.x) is array_namespace(y)
    assert tuple(result.x.shape) == image.shape
    reference = rim(Sense(to_numpy(A.maps), to_numpy(A.mask)), to_numpy(y))
    np.testing.assert_allclose(to_numpy(result.x), reference.x, atol=1e-5)


def test_a_trained_rim_starts_cg_sense_closer(tmp_path):
    """What the network found is an initial guess like any other; the stopping rule is that of CG."""
    head = load_slices("validation").images[5]
    scan = simulate(head, sampling_mask("gaussian2d", (64, 64), 4, seed=3), noise=0.005, seed=3)
    rim = sciml.learned.load("rim-mri")
    guess = rim(scan.A, scan.y).x
    assert psnr(guess, scan.image) > psnr(scan.zero_filled, scan.image) + 3
    system, data = scan.A.normal() + 0.01, scan.A.H @ scan.y
    cold = sciml.cg(system, data, rtol=1e-4)
    warm = sciml.cg(system, data, x0=guess, rtol=1e-4)
    assert warm.residual_history[0] < 0.3 * cold.residual_history[0]
    assert np.linalg.norm(warm.x - cold.x) < 1e-2 * np.linalg.norm(cold.x)
    assert np.linalg.norm(cold.x - cg_sense(scan.A, scan.y, mu=0.01).x) < 0.02 * np.linalg.norm(cold.x)


def test_a_rim_with_cg_steps_trains_through_the_operator():
    """Gradients pass through CG and the encoding; a few steps already lower the loss."""
    rng = np.random.default_rng(4)
    A = Sense(smooth_maps(rng, 4, (16, 16)).astype("complex64"), rng.random((16, 16)) < 0.5)

    def sample(stream):
        image = (stream.standard_normal((16, 16)) + 1j * stream.standard_normal((16, 16))).astype("complex64")
        return Sample(A, A @ image, image)

    rim = RIM(channels=4, steps=2, step="cg", cg_iterations=2, seed=0)
    history = train_rim(rim, sample, steps=12, lr=1e-2)
    assert np.mean(history.loss[-4:]) < np.mean(history.loss[:4])
