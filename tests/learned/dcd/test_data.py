"""Training data: modes of a box are eigenvectors, Lanczos finds them, laws weight what they say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from sciml import PoissonOperator
from sciml.learned.dcd.data import LAWS, BoxModes, amplitudes
from sciml.learned.dcd.ritz import RitzModes, ritz_vectors

SIDES = {
    "dirichlet": "dirichlet",
    "neumann": "neumann",
    "open-top": ["neumann", ("neumann", "dirichlet")],
    "mixed": [("dirichlet", "neumann"), "dirichlet"],
}


@pytest.mark.parametrize("bc", SIDES.values(), ids=SIDES)
def test_modes_of_a_box_are_orthonormal_eigenvectors(bc):
    A = PoissonOperator((6, 5), spacing=(0.5, 0.4), bc=bc)
    modes = BoxModes(A)
    V = modes.lowest(30)
    np.testing.assert_allclose(V.T @ V, np.eye(30), atol=1e-12)
    values = np.sort(modes.values, axis=None)
    np.testing.assert_allclose(A.tocsr() @ V, V * values, atol=1e-11 * values[-1])


def test_modes_in_3d():
    A = PoissonOperator((4, 3, 5), bc="dirichlet", shift=0.3)
    modes = BoxModes(A)
    V = modes.lowest(60)
    np.testing.assert_allclose(A.tocsr() @ V, V * np.sort(modes.values, axis=None), atol=1e-11)


@pytest.mark.parametrize("law", LAWS)
def test_samples_are_reproducible_float32_and_differ(law):
    modes = BoxModes(PoissonOperator((6, 5)), law)
    first, again = (modes.sample(np.random.default_rng(3), 4) for _ in range(2))
    assert (first.dtype, first.shape) == (np.float32, (4, 6, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0


def test_solutions_have_right_hand_sides_of_the_law():
    A = PoissonOperator((8, 8))
    modes = BoxModes(A, "lowest")
    x = modes.sample(np.random.default_rng(0), 400)
    b = np.stack([A(v) for v in x]).reshape(400, -1)
    power = np.mean((b @ modes.lowest(64)) ** 2, axis=0)
    assert np.mean(power[:30]) == pytest.approx(81.0, rel=0.1)
    assert np.mean(power[-25:]) == pytest.approx(1.0, rel=0.1)


def test_octaves_get_equal_shares_on_average_of_slopes(rng):
    values = np.geomspace(1.0, 1e4, 200)
    drawn = amplitudes("octaves", values, rng, 4000)
    slope = np.polyfit(np.log(values), np.log(np.abs(drawn) + 1e-12).mean(axis=0), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_the_null_space_gets_nothing(law):
    modes = BoxModes(PoissonOperator((6, 5), bc="neumann"), law)
    x = modes.sample(np.random.default_rng(0), 5)
    np.testing.assert_allclose(x.mean(axis=(1, 2)), 0.0, atol=1e-6 * np.abs(x).max())


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: BoxModes(PoissonOperator((4, 4), bc="periodic")), ValueError, "A has periodic sides"),
        (lambda: BoxModes(PoissonOperator((4, 4), cells=np.eye(4, dtype=bool))), ValueError, "has obstacles"),
        (lambda: BoxModes(np.eye(4)), TypeError, "expects a PoissonOperator"),
        (lambda: BoxModes(PoissonOperator((4, 4)), law="high"), ValueError, "law is 'high'; expected one of"),
    ],
    ids=["periodic", "obstacles", "matrix", "law"],
)
def test_bad_boxes(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


# -- Lanczos ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def obstacle():
    solid = np.zeros((9, 8), dtype=bool)
    solid[3:6, 2:4] = True
    return PoissonOperator((9, 8), cells=solid, bc=["neumann", ("neumann", "dirichlet")])


def test_ritz_vectors_of_all_steps_are_eigenvectors(obstacle, tmp_path):
    n = int(obstacle.fluid.sum())
    modes = ritz_vectors(obstacle, tmp_path / "modes", steps=n)
    exact = np.linalg.eigvalsh(obstacle.tocsr(unknowns_only=True).toarray())
    np.testing.assert_allclose(modes.values, exact, rtol=1e-5)
    V = np.asarray(modes.vectors, dtype=float)
    np.testing.assert_allclose(V @ V.T, np.eye(n), atol=1e-5)
    np.testing.assert_allclose(V @ obstacle.tocsr(), modes.values[:, None] * V, atol=1e-4)
    assert np.all(V[:, ~obstacle.fluid.reshape(-1)] == 0)


def test_few_steps_find_the_ends_of_the_spectrum(tmp_path):
    A = PoissonOperator((20, 19))
    seen = []
    modes = ritz_vectors(A, tmp_path / "modes", steps=90, keep=5, callback=seen.append)
    assert seen == list(range(1, 91))
    exact = np.sort(BoxModes(A).values, axis=None)
    assert modes.vectors.shape == (5, 380)
    assert modes.values[0] == pytest.approx(exact[0], rel=1e-6)
    overlap = np.abs(modes.lowest(1).T @ BoxModes(A).lowest(1))
    assert overlap[0, 0] == pytest.approx(1.0, abs=1e-5)


def test_an_invariant_subspace_ends_the_iterations(tmp_path):
    modes = ritz_vectors(np.diag([1.0, 1.0, 2.0, 2.0]), tmp_path / "modes", steps=4)
    np.testing.assert_allclose(modes.values, [1.0, 2.0])


def test_null_vectors_are_left_out(tmp_path):
    modes = ritz_vectors(PoissonOperator((5, 4), bc="neumann"), tmp_path / "modes", steps=20)
    assert modes.values[0] > 0.1


def test_samples_are_combinations_of_the_vectors(obstacle, tmp_path):
    modes = ritz_vectors(obstacle, tmp_path / "modes", steps=30)
    x = modes.sample(np.random.default_rng(1), 3)
    assert (x.shape, x.dtype) == ((3, 9, 8), np.float32)
    V = np.asarray(modes.vectors, dtype=float)
    inside = x.reshape(3, -1) @ V.T @ V
    np.testing.assert_allclose(inside, x.reshape(3, -1), atol=1e-4 * np.abs(x).max())


def test_files_appear_whole_or_not_at_all(tmp_path):
    class StopError(Exception):
        pass

    def stop(done):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        ritz_vectors(PoissonOperator((6, 6)), tmp_path / "modes", steps=10, callback=stop)
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(tmp_path):
    A = PoissonOperator((4, 4))
    with pytest.raises(ValueError, match="steps is 0; expected a positive integer"):
        ritz_vectors(A, tmp_path / "a", steps=0)
    with pytest.raises(ValueError, match=r"keep is 2\.0"):
        ritz_vectors(A, tmp_path / "a", steps=4, keep=2.0)
    with pytest.raises(ValueError, match=r"A has shape \(3, 4\)"):
        ritz_vectors(np.ones((3, 4)), tmp_path / "a", steps=4)
    with pytest.raises(FileNotFoundError, match="made by ritz_vectors"):
        RitzModes(tmp_path / "a")
    ritz_vectors(A, tmp_path / "a", steps=4)
    with pytest.raises(FileExistsError, match="exists already"):
        ritz_vectors(A, tmp_path / "a", steps=4)
    np.save(tmp_path / "a" / "values.npy", np.ones(7))
    with pytest.raises(ValueError, match="holds vectors of shape"):
        RitzModes(tmp_path / "a")
