"""Wavelets and their l1 norm: contract, agreement of the two ways to compute, proximal optimality."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import NUMPY, STRICT

from sciml.backends.namespace import to_numpy
from sciml.operators import Wavelet, WaveletL1
from sciml.testing import check_linear_operator

SHAPES = [(16, 24), (2, 32, 16)]


@pytest.mark.parametrize("dtype", ["complex64", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=["rectangle", "batch"])
def test_contract(namespace, shape, dtype):
    W = Wavelet(shape, "haar" if dtype == "float64" else "db4", dtype=dtype)
    assert check_linear_operator(W, like=namespace.array(np.zeros(shape), dtype)) == []


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5"])
@pytest.mark.parametrize("shape", SHAPES, ids=["rectangle", "batch"])
def test_filters_and_matrices_agree_and_are_orthonormal(rng, shape, wavelet):
    pytest.importorskip("array_api_strict")
    W = Wavelet(shape, wavelet)
    x = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    y = W(x)
    np.testing.assert_allclose(to_numpy(W(STRICT.array(x))), y, atol=1e-12)
    np.testing.assert_allclose(to_numpy(W.H @ STRICT.array(y)), x, atol=1e-9)
    np.testing.assert_allclose(W.H @ y, x, atol=1e-9)
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(x), rel=1e-9)


def test_torch_differentiates_through_the_transform():
    torch = pytest.importorskip("torch")
    W = Wavelet((16, 16), "haar")
    x = torch.randn(16, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: W(v).square().sum() + W.H(v).abs().sum(), (x,))


@pytest.mark.parametrize("shifts", [1, 2, 3])
def test_resolvent_is_firmly_non_expansive_on_every_library(namespace, rng, shifts):
    G = WaveletL1(0.3, (16, 16), shifts=shifts)
    u, v = (rng.standard_normal((16, 16)) + 1j * rng.standard_normal((16, 16)) for _ in range(2))
    p, q = (to_numpy(G.resolvent(namespace.array(w), 0.7)) for w in (u, v))
    assert np.linalg.norm(p - q) ** 2 <= np.vdot(p - q, u - v).real + 1e-9
    np.testing.assert_allclose(p, G.resolvent(u, 0.7), atol=1e-12)


def test_resolvent_minimises_its_objective(rng):
    """Moving away from the proximal point in any direction does not pay."""
    G, step = WaveletL1(0.5, (16, 16)), 0.8
    u = rng.standard_normal((16, 16)) + 1j * rng.standard_normal((16, 16))
    p = G.resolvent(u, step)

    def objective(v):
        return 0.5 * np.linalg.norm(v - u) ** 2 + step * G.value(v)

    for _ in range(20):
        d = 1e-2 * (rng.standard_normal((16, 16)) + 1j * rng.standard_normal((16, 16)))
        assert objective(p + d) > objective(p)


def test_threshold_spares_the_approximation():
    G = WaveletL1(1e6, (32, 32), "haar")
    flat = np.full((32, 32), 3.0 + 0j)
    np.testing.assert_allclose(G.resolvent(flat, 1.0), flat, atol=1e-12)
    assert G.value(flat) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (15, 16)}, "allow no level"),
        ({"shape": (16,)}, r"expected \(..., H, W\)"),
        ({"shape": (16, 16), "levels": 5}, "levels is 5"),
        ({"shape": (16, 16), "wavelet": "bior2.2"}, "expected an orthogonal one"),
        ({"shape": (16, 16), "wavelet": "db99"}, "wavelet is 'db99'"),
    ],
    ids=["odd", "line", "levels", "biorthogonal", "unknown"],
)
def test_bad_wavelets(options, message):
    with pytest.raises(ValueError, match=message):
        Wavelet(**options)


@pytest.mark.parametrize(("weight", "shifts"), [(0.0, 1), (np.inf, 1), (1.0, 0), (1.0, 5)])
def test_bad_regularisers(weight, shifts):
    with pytest.raises(ValueError, match="expected a positive"):
        WaveletL1(weight, (16, 16), shifts=shifts)


def test_regulariser_checks_the_start():
    with pytest.raises(ValueError, match=r"u0 has shape \(8, 8\); expected \(16, 16\)"):
        WaveletL1(1.0, (16, 16)).check(NUMPY.array(np.zeros((8, 8))))
