"""Finite sums: the components average to F, constants bound what they promise, bad input is refused."""

import numpy as np
import pytest
import scipy.sparse

from sciml import PoissonOperator
from sciml.backends.namespace import to_numpy
from sciml.operators import (
    AffineSum,
    CallableOperator,
    ComponentSum,
    LeastSquares,
    NormalEquations,
    SaddlePoint,
    constrained_qp,
    matrix_game,
)
from sciml.operators.rows import operator_norm

R = np.random.default_rng(5)
A = R.standard_normal((7, 4))
b = R.standard_normal(7)
K = R.standard_normal((5, 5))
K = K - K.T + 0.2 * np.eye(5)
H = R.standard_normal((4, 4))
H = H @ H.T
COILS = [R.standard_normal((6, 4)) + 1j * R.standard_normal((6, 4)) for _ in range(3)]
COIL_DATA = [R.standard_normal(6) + 1j * R.standard_normal(6) for _ in range(3)]
SUMS = {
    "affine": AffineSum(K, np.ones(5)),
    "affine-sparse": AffineSum(scipy.sparse.csr_array(K), np.ones(5)),
    "affine-operator": AffineSum(PoissonOperator((4, 5)), np.ones((4, 5))),
    "rows-by-norm": LeastSquares(A, b),
    "rows-uniform": LeastSquares(A, b, sampling="uniform"),
    "rows-sparse": LeastSquares(scipy.sparse.csr_array(A), b),
    "functions": ComponentSum(
        [lambda u, s=s: s * np.tanh(u) + u for s in (0.5, 1.0, 3.0)], (4,), lipschitz=4.0
    ),
    "coils": NormalEquations(COILS, COIL_DATA),
    "game": matrix_game(A),
    "game-centred": matrix_game(A, centred=True),
    "qp": constrained_qp(H, np.ones(4), A, b),
    "saddle-both": SaddlePoint(A, H=H, D=np.eye(7), c=np.ones(4), d=b),
    "saddle-sparse": SaddlePoint(scipy.sparse.csr_array(A), H=scipy.sparse.csr_array(H), c=np.ones(4)),
    "saddle-operator": SaddlePoint(CallableOperator(lambda x: A @ x, 4, 7, adjoint=lambda y: A.T @ y), d=b),
}
every_sum = pytest.mark.parametrize("F", SUMS.values(), ids=SUMS)


def probe(F, seed):
    rng = np.random.default_rng(seed)
    u = rng.standard_normal(F.in_shape)
    return u + 1j * rng.standard_normal(F.in_shape) if F.dtype.kind == "c" else u


def probabilities(F):
    return np.full(F.n, 1.0 / F.n) if F.probability is None else F.probability


@every_sum
def test_the_mean_of_the_components_is_the_whole(F):
    u, v = probe(F, 1), probe(F, 2)
    q = probabilities(F)
    mean = sum(q[i] * F.difference(np.array([i]), u, v) for i in range(F.n))
    assert np.allclose(mean, F.full(u) - F.full(v), rtol=1e-11, atol=1e-11)


@every_sum
def test_a_batch_is_the_mean_of_its_members(F):
    u, v = probe(F, 1), probe(F, 2)
    batch = F.sample(np.random.default_rng(0), min(3, F.n))
    mean = sum(F.difference(np.array([i]), u, v) for i in batch) / len(batch)
    assert np.allclose(F.difference(batch, u, v), mean, rtol=1e-11, atol=1e-11)


@every_sum
def test_constants_bound_what_they_promise(F):
    q = probabilities(F)
    for seed in range(8):
        d_tangent = F.G.tangent(probe(F, seed)) if F.dtype.kind != "c" else probe(F, seed)
        v = probe(F, 99)
        u = v + d_tangent
        dF = F.full(u) - F.full(v)
        moved = F.G.tangent(dF) if F.dtype.kind != "c" else dF
        assert np.linalg.norm(moved) <= F.lipschitz_full * np.linalg.norm(d_tangent) * (1 + 1e-9)
        square = sum(q[i] * np.linalg.norm(F.difference(np.array([i]), u, v)) ** 2 for i in range(F.n))
        inner = np.vdot(dF, u - v).real
        if F.cocoercive:
            assert square <= F.lipschitz * inner * (1 + 1e-9)
        else:
            assert square <= (F.lipschitz * np.linalg.norm(u - v)) ** 2 * (1 + 1e-9)
        assert inner >= -1e-9


def test_kaczmarz_sampling_is_cocoercive_with_exactly_the_frobenius_norm():
    F = LeastSquares(A, b)
    u, v = probe(F, 1), probe(F, 2)
    square = sum(
        F.probability[i] * np.linalg.norm(F.difference(np.array([i]), u, v)) ** 2 for i in range(F.n)
    )
    frobenius = np.linalg.norm(A) ** 2
    assert F.lipschitz == pytest.approx(frobenius)
    assert square == pytest.approx(frobenius * np.dot(F.full(u) - F.full(v), u - v))


def test_row_sampling_follows_its_law():
    F = LeastSquares(np.diag([1.0, 2.0, 3.0]), np.zeros(3))
    counts = np.bincount(F.sample(np.random.default_rng(0), 14_000), minlength=3)
    assert np.allclose(counts / 1000, [1, 4, 9], atol=0.4)


def test_uniform_samples_are_different_and_reproducible():
    F = SUMS["affine"]
    batch = F.sample(np.random.default_rng(3), 5)
    assert sorted(batch) == [0, 1, 2, 3, 4]
    assert np.array_equal(batch, F.sample(np.random.default_rng(3), 5))


@every_sum
def test_columns_for_kernels(F):
    form = getattr(F, "columns", lambda: None)()
    if form is None:
        pytest.skip("no dense columns")
    matrix, q, blocks = form
    u, v = probe(F, 1), probe(F, 2)
    assert np.allclose(matrix @ u - q, F.full(u))
    for i in range(F.n):
        mine = [j for j in blocks[i] if j >= 0]
        assert np.allclose(F.n * matrix[:, mine] @ (u - v)[mine], F.difference(np.array([i]), u, v))


def test_game_signs_and_centring():
    u = np.concatenate([np.full(4, 0.25), np.full(7, 1 / 7)])
    assert np.allclose(SUMS["game"].full(u), np.concatenate([A.T @ u[4:], -A @ u[:4]]))
    difference = SUMS["game"].full(u) - SUMS["game-centred"].full(u)
    assert np.ptp(difference[:4]) == pytest.approx(0, abs=1e-12)
    assert np.ptp(difference[4:]) == pytest.approx(0, abs=1e-12)


def test_qp_signs():
    x, y = np.arange(4.0), np.arange(7.0)
    expected = np.concatenate([H @ x - 1.0 - A.T @ y, A @ x - b])
    assert np.allclose(SUMS["qp"].full(np.concatenate([x, y])), expected)


def test_a_common_part_does_not_count_on_the_simplex():
    payoff = 100.0 + A
    assert matrix_game(payoff).coupling == pytest.approx(matrix_game(A).coupling, rel=1e-6)
    assert SaddlePoint(payoff).coupling > 100


@pytest.mark.parametrize("make", ["affine", "rows", "saddle"])
def test_same_in_every_namespace(make, namespace):
    a = namespace.array
    builders = {
        "affine": lambda f: AffineSum(f(K), f(np.ones(5))),
        "rows": lambda f: LeastSquares(f(A), f(b)),
        "saddle": lambda f: SaddlePoint(f(A), H=f(H), c=f(np.ones(4)), d=f(b)),
    }
    here, reference = builders[make](a), builders[make](lambda x: x)
    u, v = probe(reference, 1), probe(reference, 2)
    batch = reference.sample(np.random.default_rng(0), 3)
    assert here.lipschitz == pytest.approx(reference.lipschitz)
    assert here.lipschitz_full == pytest.approx(reference.lipschitz_full, rel=1e-6)
    assert np.allclose(to_numpy(here.full(a(u))), reference.full(u))
    assert np.allclose(to_numpy(here.difference(batch, a(u), a(v))), reference.difference(batch, u, v))


def test_power_iteration_finds_the_norm(rng):
    for shape in ((30, 10), (10, 30)):
        M = rng.standard_normal(shape)
        norm = operator_norm(lambda x, M=M: M @ x, lambda y, M=M: M.T @ y, np.zeros(shape[1]))
        assert np.linalg.norm(M, 2) * 0.99 <= norm <= np.linalg.norm(M, 2) * 1.011


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AffineSum(np.ones((2, 3)), np.ones(3)), ValueError, "expected a square operator"),
        (lambda: AffineSum(np.eye(2), np.ones(3)), ValueError, "q has shape"),
        (
            lambda: AffineSum(np.eye(2), np.array([1.0, np.nan])),
            ValueError,
            "q holds a value that is not finite",
        ),
        (lambda: AffineSum(np.zeros((2, 2)), np.ones(2)), ValueError, "Lipschitz constant would be zero"),
        (lambda: AffineSum(-np.eye(2), np.ones(2)), ValueError, "not be monotone"),
        (lambda: AffineSum(np.eye(2), np.ones(2), lipschitz_full=-1.0), ValueError, "lipschitz"),
        (lambda: LeastSquares(A, b[:3]), ValueError, "b has shape"),
        (lambda: LeastSquares(A * np.nan, b), ValueError, "expected a finite matrix"),
        (lambda: LeastSquares(A, b, sampling="luck"), ValueError, "sampling is 'luck'"),
        (lambda: LeastSquares(PoissonOperator((3, 3)), np.ones((3, 3))), TypeError, "use NormalEquations"),
        (lambda: LeastSquares(A, list(b)), TypeError, "b is a list|expected an array"),
        (lambda: ComponentSum([], (2,), lipschitz=1.0), ValueError, "n is 0"),
        (lambda: ComponentSum([abs], (2,), lipschitz=0.0), ValueError, "lipschitz is 0.0"),
        (lambda: NormalEquations(COILS, COIL_DATA[:2]), ValueError, "lengths 3 and 2"),
        (lambda: NormalEquations([np.eye(2), np.eye(3)], [np.ones(2), np.ones(3)]), ValueError, "one shape"),
        (lambda: matrix_game(np.ones(3)), ValueError, "expected a matrix"),
        (lambda: matrix_game(np.array([[1.0, np.inf]])), ValueError, "payoff holds"),
        (lambda: SaddlePoint(A, H=np.eye(3)), ValueError, "H has shape"),
        (lambda: SaddlePoint(A, H=-np.eye(4)), ValueError, "F would not be monotone"),
        (lambda: SaddlePoint(A, H=np.triu(np.full((4, 4), 0.1)) + np.eye(4)), ValueError, "not symmetric"),
        (lambda: SaddlePoint(A, c=np.ones(3)), ValueError, "c and d have shapes"),
        (lambda: SaddlePoint(PoissonOperator((3, 3))), TypeError, "expected c, d or like"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
