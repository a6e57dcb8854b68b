"""Sense: contract on every library, both conventions, known answers, BART, clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import NUMPY, TORCH, Namespace

from sciml import cg, halpern
from sciml.backends.namespace import array_namespace, norm2, to_numpy
from sciml.operators import Sense, WaveletL1
from sciml.operators.fourier import centred_fft, centred_ifft, modulation
from sciml.testing import check_finite_sum, check_linear_operator


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def sense(namespace: Namespace, shape=(3, 6, 8), *, dtype="complex128", seed=0, **settings) -> Sense:
    rng = np.random.default_rng(seed)
    maps = namespace.array(complex_normal(rng, shape), dtype)
    mask = rng.random(shape[-settings.get("ndim", 2) :]) < 0.6
    return Sense(maps, namespace.array(mask), **settings)


CASES = {
    "plain": ((3, 6, 8), {}),
    "odd": ((2, 5, 7), {}),
    "corner": ((2, 5, 6), {"centred": False}),
    "backward": ((2, 5, 6), {"norm": "backward"}),
    "batch": ((2, 3, 4, 5), {}),
    "volume": ((2, 3, 4, 4), {"ndim": 3}),
}


# -- the contract -----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", CASES)
def test_contract(namespace, name, dtype):
    shape, options = CASES[name]
    A = sense(namespace, shape, dtype=dtype, **options)
    assert check_linear_operator(A, like=A.maps) == []
    assert check_linear_operator(A.normal(), like=A.maps) == []


@given(
    shape=st.tuples(*(st.integers(1, n) for n in (4, 9, 9))),
    centred=st.booleans(),
    norm=st.sampled_from(["ortho", "backward"]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_adjoint_normal_and_norm(shape, centred, norm, seed):
    rng = np.random.default_rng(seed)
    weights = rng.random(shape[1:]) * (rng.random(shape[1:]) < 0.7)
    weights[0, 0] = 1.5
    A = Sense(complex_normal(rng, shape), weights, centred=centred, norm=norm)
    x, y = complex_normal(rng, A.in_shape), complex_normal(rng, A.out_shape)
    assert np.vdot(y, A(x)) == pytest.approx(np.vdot(A.rmatvec(y), x), rel=1e-10)
    np.testing.assert_allclose(A.normal()(x), A.rmatvec(A(x)), rtol=1e-9, atol=1e-9 * A.norm_bound() ** 2)
    assert norm2(A(x)) <= A.norm_bound() * norm2(x) * (1 + 1e-12)


def test_normalised_maps_make_a_contraction(rng):
    maps = complex_normal(rng, (4, 8, 8))
    maps /= np.sqrt((abs(maps) ** 2).sum(axis=0))
    A = Sense(maps, rng.random((8, 8)) < 0.5)
    assert A.norm_bound() == pytest.approx(1.0)
    largest = np.linalg.eigvalsh(np.column_stack([A.normal()(e) for e in np.eye(64, dtype=complex)])).max()
    assert largest <= 1.0 + 1e-12


# -- known answers ----------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (6, 7)], ids=["even", "odd", "mixed"])
def test_encoding_is_the_shifted_transform(rng, shape):
    maps, x = complex_normal(rng, (3, *shape)), complex_normal(rng, shape)
    mask = rng.random(shape) < 0.5
    axes = (-2, -1)
    k_space = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * x, axes=axes), norm="ortho"), axes=axes)
    np.testing.assert_allclose(Sense(maps, mask)(x), mask * k_space, atol=1e-12)
    plain = np.fft.fft2(maps * x)
    np.testing.assert_allclose(Sense(maps, mask, centred=False, norm="backward")(x), mask * plain, atol=1e-11)


def test_a_point_in_the_middle_gives_flat_k_space():
    x = np.zeros((5, 6), dtype=complex)
    x[2, 3] = 1.0
    np.testing.assert_allclose(Sense(np.ones((1, 5, 6), dtype=complex))(x), 1 / np.sqrt(30), atol=1e-14)


def test_modulation_of_even_sizes_is_exact():
    a, s = modulation((4, 6))
    assert a.dtype == np.float64
    assert set(np.unique(a)) == {-1.0, 1.0}
    assert s == -1.0


def test_centred_transforms_are_inverse(namespace, rng):
    x = namespace.array(complex_normal(rng, (2, 5, 6)))
    xp = array_namespace(x)
    assert float(xp.max(xp.abs(centred_ifft(centred_fft(x)) - x))) < 1e-12


def test_masks_of_columns_of_a_batch_and_weights(rng):
    maps, columns = complex_normal(rng, (2, 3, 4, 6)), np.array([1, 0, 1, 0, 0, 1], dtype=bool)
    x = complex_normal(rng, (2, 4, 6))
    full = np.broadcast_to(columns, (2, 4, 6))
    np.testing.assert_array_equal(Sense(maps, columns)(x), Sense(maps, full)(x))
    np.testing.assert_array_equal(Sense(maps, columns)(x), Sense(maps, full.astype(float))(x))
    assert Sense(maps, columns).acceleration == pytest.approx(2.0)
    assert Sense(maps).acceleration == 1.0
    singles = np.stack([Sense(maps[i], columns)(x[i]) for i in range(2)])
    np.testing.assert_allclose(Sense(maps, columns)(x), singles, atol=1e-12)


def test_masks_of_whole_numbers_are_taken(namespace, rng):
    maps = namespace.array(complex_normal(rng, (2, 4, 6)))
    mask = rng.integers(0, 2, (4, 6))
    x = namespace.array(complex_normal(rng, (4, 6)))
    whole, boolean = (Sense(maps, namespace.array(m)) for m in (mask, mask.astype(bool)))
    np.testing.assert_array_equal(to_numpy(whole(x)), to_numpy(boolean(x)))
    assert whole.acceleration == boolean.acceleration


def test_diagonal_makes_jacobi_exact_without_coupling(namespace, rng):
    """One fully sampled coil: the normal operator is its diagonal."""
    A = Sense(namespace.array(complex_normal(rng, (1, 4, 4))))
    x = namespace.array(complex_normal(rng, (16,)))
    np.testing.assert_allclose(to_numpy(A.normal()(x)), to_numpy(A.normal().diagonal() * x), atol=1e-10)


# -- solvers ----------------------------------------------------------------------------------
def test_cg_sense_recovers_an_accelerated_scan(namespace, rng):
    columns = np.zeros(12, dtype=bool)
    columns[::2] = True
    A = Sense(namespace.array(complex_normal(rng, (4, 10, 12))), namespace.array(columns))
    x = namespace.array(complex_normal(rng, (10, 12)))
    result = cg(A.normal(), A.H @ (A @ x), rtol=1e-12)
    assert result.converged
    np.testing.assert_allclose(to_numpy(result.x), to_numpy(x), atol=1e-8)


def test_coils_are_a_finite_sum_for_halpern(namespace, rng):
    A = sense(namespace, (4, 6, 6), seed=3)
    A = Sense(A.maps)
    x = namespace.array(complex_normal(rng, (6, 6)))
    F = A.finite_sum(A(x))
    assert F.n == 4
    assert check_finite_sum(F, like=x) == []
    y = A.rmatvec(A(x) * 1)
    np.testing.assert_allclose(to_numpy(F.full(0 * x)), -to_numpy(y), atol=1e-10)
    result = halpern(F, 0 * x, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(result.x), to_numpy(x), atol=1e-3)


def test_finite_sum_takes_a_regulariser(rng):
    A = Sense(complex_normal(rng, (2, 16, 16)))
    G = WaveletL1(0.1, (16, 16), "haar")
    assert A.finite_sum(A(complex_normal(rng, (16, 16))), G=G).G is G


def test_torch_differentiates_through_encoding_and_maps():
    torch = pytest.importorskip("torch")
    maps = torch.randn(2, 4, 4, dtype=torch.complex128, requires_grad=True)
    x = torch.randn(4, 4, dtype=torch.complex128, requires_grad=True)
    mask = torch.tensor([True, False, True, True])

    def loss(maps, x):
        A = Sense(maps, mask)
        return torch.view_as_real(A.rmatvec(A(x))).sum() + torch.view_as_real(A.normal()(x)).square().sum()

    assert torch.autograd.gradcheck(loss, (maps, x))


# -- bad input --------------------------------------------------------------------------------
ONES = np.ones((2, 4, 6), dtype=complex)


@pytest.mark.parametrize(
    ("maps", "mask", "error", "message"),
    [
        (ONES.real, None, TypeError, "maps has dtype float64; expected complex64 or complex128"),
        (ONES[0, 0], None, ValueError, r"maps has shape \(6,\); expected \(..., coils, H, W\)"),
        (ONES[:0], None, ValueError, "without empty axes"),
        (ONES * np.nan, None, ValueError, "maps holds a value that is not finite"),
        (ONES, np.ones((4, 5)), ValueError, r"shape \(4, 5\); expected one that broadcasts .* \(4, 6\)"),
        (ONES, np.ones((2, 4, 6)), ValueError, r"mask has shape \(2, 4, 6\)"),
        (ONES, np.zeros((4, 6), dtype=bool), ValueError, "mask samples nothing"),
        (ONES, -np.ones((4, 6)), ValueError, "negative or not finite"),
        (ONES, np.full((4, 6), np.nan), ValueError, "negative or not finite"),
        (ONES, np.ones((4, 6), dtype=complex), TypeError, "expected bool or real weights"),
        ([1, 2], None, TypeError, "maps is a list"),
        (ONES, [1, 2], TypeError, "mask is a list"),
    ],
    ids=[
        "real", "flat", "empty", "nan", "size", "coils", "nothing", "negative", "nan-mask", "complex", "list",
        "lists",
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(maps, mask, error, message):
    with pytest.raises(error, match=message):
        Sense(maps, mask)


@pytest.mark.parametrize("options", [{"norm": "forward"}, {"ndim": 4}], ids=["norm", "ndim"])
def test_bad_options(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        Sense(ONES, **options)


def test_wrong_coil_count_is_refused(rng):
    A = Sense(ONES)
    with pytest.raises(ValueError, match=r"y has shape \(3, 4, 6\); expected \(2, 4, 6\)"):
        A.rmatvec(complex_normal(rng, (3, 4, 6)))
    with pytest.raises(ValueError, match=r"y has shape \(3, 4, 6\); expected the k-space \(2, 4, 6\)"):
        A.finite_sum(complex_normal(rng, (3, 4, 6)))


def test_maps_and_mask_of_two_libraries_are_refused():
    pytest.importorskip("torch")
    with pytest.raises(TypeError, match="mask is a numpy array on cpu but maps a torch array"):
        Sense(TORCH.array(ONES), NUMPY.array(np.ones((4, 6), dtype=bool)))
