"""BART as referee: our encoding is its own, on its grid and against its analytic k-space."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.operators import Sense
from sciml.operators.fourier import centred_ifft
from sciml.problems.mri import compressed_sensing, espirit_maps, load_slices, psnr, sampling_mask, simulate
from sciml.problems.mri.bart import bart, bart_available, bart_compressed_sensing, read_cfl, write_cfl

needs_bart = pytest.mark.skipif(not bart_available(), reason="the program bart is not installed")
N = 48


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@needs_bart
def test_encoding_of_the_phantom_is_that_of_bart():
    image, maps = bart(f"phantom -x {N}"), bart(f"phantom -x {N} -S 8")
    k_space = bart("fft -u 3", "images", inputs={"images": maps * image})
    assert relative(Sense(maps)(image), k_space) < 1e-6


@needs_bart
def test_encoding_is_the_analytic_k_space_of_bart():
    """BART's phantom knows its Fourier transform with and without coils, at any position.

    The coils are trigonometric polynomials of a period of two fields of view, so on that grid the encoding of
    the band-limited phantom is exact, but for the outermost samples, where the coils reach beyond the grid.
    """
    maps = bart(f"phantom -x {N} -S 4").astype(complex)
    frequencies = np.arange(-2, 3) / 2

    def waves(n):
        return np.exp(2j * np.pi * np.outer((np.arange(n) - n // 2) / N, frequencies))

    inverse = np.linalg.pinv(waves(N))
    coefficients = inverse @ maps @ inverse.T
    assert relative(waves(N) @ coefficients @ waves(N).T, maps) < 1e-6
    n = 2 * N
    wide_maps = waves(n) @ coefficients @ waves(n).T
    positions = np.zeros((3, n, n, 1), dtype=complex)
    positions[0], positions[1] = (
        np.meshgrid(*[(np.arange(n) - n // 2) / 2] * 2, indexing="ij")[0][..., None],
        0,
    )
    positions[1] = np.swapaxes(positions[0], 0, 1)
    single = bart("phantom -k -t", "where", inputs={"where": positions})
    coils = bart("phantom -k -s 4 -t", "where", inputs={"where": positions})
    inside = np.zeros((n, n), dtype=bool)
    inside[4:-4, 4:-4] = True
    A = Sense(wide_maps, inside)
    assert relative(A(centred_ifft(single).astype(complex)), coils * inside) < 1e-6


@needs_bart
def test_coil_maps_agree_with_bart():
    head = load_slices("validation").images[5]
    scan = simulate(head, sampling_mask("gaussian2d", (96, 96), 3, acs=24), coils=6, noise=0.005)
    ours, theirs = espirit_maps(scan.y), bart("ecalib -d0 -m1 -r 24", "y", inputs={"y": scan.y})
    cosine = np.abs((ours.conj() * theirs).sum(axis=0))[scan.foreground]
    assert np.quantile(cosine, 0.02) > 0.995


@needs_bart
def test_compressed_sensing_is_no_worse_than_that_of_bart():
    head = load_slices("validation").images[5]
    scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 6, seed=1), noise=0.01)
    theirs = max(
        psnr(bart_compressed_sensing(scan.y, scan.maps, weight=w), scan.image) for w in (0.002, 0.004)
    )
    assert psnr(compressed_sensing(scan.A, scan.y).x, scan.image) > theirs - 0.5


@needs_bart
def test_failures_carry_barts_words():
    with pytest.raises(RuntimeError, match="bart phantom --nonsense failed"):
        bart("phantom --nonsense")


def test_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="bart is not installed"):
        bart("phantom")


def test_files_of_bart_survive_a_round_trip(tmp_path, rng):
    array = (rng.standard_normal((3, 4, 1, 2)) + 1j * rng.standard_normal((3, 4, 1, 2))).astype(np.complex64)
    write_cfl(tmp_path / "x", array)
    np.testing.assert_array_equal(read_cfl(tmp_path / "x").squeeze(), array.squeeze())
    (tmp_path / "x.cfl").write_bytes(b"\0" * 8)
    with pytest.raises(ValueError, match="holds 1 entries; expected 24"):
        read_cfl(tmp_path / "x")
