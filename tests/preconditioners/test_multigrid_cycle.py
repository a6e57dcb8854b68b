"""The multigrid cycle as a linear map: symmetric, positive, linear, scale-free, independent of threads."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.backends.threads import use_threads
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems import jump_coefficient, poisson

from .grid_systems import SINGULAR, SYSTEMS, GridSystem, random_medium

VARIANTS = {
    "default": {},
    "tiny-coarsest": {"coarsest_size": 3},
    "sweeps2": {"sweeps": 2, "coarsest_size": 5},
    "W": {"cycle": "W", "coarsest_size": 3},
    "smooth1": {"smooth_from": 1, "coarsest_size": 3},
    "never-smooth": {"smooth_from": None, "coarsest_size": 3},
    "unsplit": {"split": False, "coarsest_size": 3},
    "chebyshev": {"smoother": "chebyshev", "coarsest_size": 3},
    "per-level": {"omega": [1.1, 1.4], "sweeps": [1, 2], "coarse_scaling": [0.6, 0.5], "coarsest_size": 3},
}


def dense(M, system):
    """Matrix of the cycle, restricted to unknowns."""
    unknown = np.flatnonzero(system.unknown.ravel())
    columns = [M.matvec(np.eye(1, system.code.size, u).ravel())[unknown] for u in unknown]
    return np.array(columns).T


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_symmetric_positive_definite(name, variant):
    system = SYSTEMS[name]()
    B = dense(Multigrid(system, **VARIANTS[variant]), system)
    assert np.abs(B - B.T).max() <= 3e-6 * np.abs(B).max()
    assert np.linalg.eigvalsh(0.5 * (B + B.T)).min() > 0


@pytest.mark.parametrize("scaling", [0.2, 0.45])
def test_two_visits_with_much_over_correction_stay_positive(scaling):
    """2 B - B A B is indefinite where B A has eigenvalues above 2; that takes a few levels to show."""
    A = jump_coefficient((32, 32), pattern="squares", seed=0).A
    M = Multigrid(A, cycle="W", coarse_scaling=scaling, smooth_from=None, coarsest_size=4)
    assert len(M.levels) >= 4
    B = np.array([(M @ e.reshape(A.in_shape)).ravel() for e in np.eye(A.shape[0])])
    values, vectors = np.linalg.eigh(A.tocsr().toarray())
    root = np.sqrt(values) * vectors  # eigenvalues of B A, in float32 as B is
    assert np.linalg.eigvalsh(root.T @ (0.5 * (B + B.T)) @ root).min() > 0.05


@pytest.mark.parametrize("name", ["neumann-box", "periodic-odd", "pockets"])
def test_positive_on_compatible_vectors(name):
    system = SINGULAR[name]()
    M = Multigrid(system, coarsest_size=10)
    for seed in range(5):
        u, v = system.rhs(seed).ravel(), system.rhs(seed + 100).ravel()
        assert u @ M.matvec(u) > 0
        assert u @ M.matvec(v) == pytest.approx(v @ M.matvec(u), rel=1e-4, abs=1e-5 * (u @ M.matvec(u)))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 12)),
    fill=st.floats(0.0, 0.6),
    seed=st.integers(0, 10**6),
    bc=st.tuples(*[st.sampled_from(["DD", "DN", "ND", "PP", "NN"])] * 3),
)
def test_symmetric_on_random_geometry(shape, fill, seed, bc):
    fluid = random_medium(shape, fill, seed)
    bc = tuple("NN" if b == "PP" and n == 1 else b for b, n in zip(bc, shape, strict=True))
    system = GridSystem(fluid, bc, shift=0.01)
    if not system.unknown.any():
        return
    M = Multigrid(system, coarsest_size=8)
    u, v = system.rhs(1).ravel(), system.rhs(2).ravel()
    mu, mv = M.matvec(u), M.matvec(v)
    assert u @ mu > 0
    scale = np.linalg.norm(u) * np.linalg.norm(mv)
    assert abs(v @ mu - u @ mv) <= 1e-5 * scale
    assert (
        np.linalg.norm(M.matvec(2 * u - 3 * v) - (2 * mu - 3 * mv))
        <= 1e-5 * np.linalg.norm(2 * mu - 3 * mv) + 1e-9
    )


@pytest.mark.parametrize("factor", [1e-12, 2.0**-40, 2.0**60, 1e12, 1e140])
def test_scaling_invariance(factor):
    system = SYSTEMS["porous3d"]()
    M = Multigrid(system, coarsest_size=5)
    b = system.rhs()
    np.testing.assert_allclose(M.matvec(factor * b), factor * M.matvec(b), rtol=2e-5, atol=factor * 1e-5)


def test_units_of_length_do_not_matter():
    fluid = random_medium((8, 8, 8), 0.3, 0)
    one = GridSystem(fluid, ("ND", "NN", "NN"))
    tiny = GridSystem(fluid, ("ND", "NN", "NN"), spacing=(2.0**-70,) * 3)
    b = one.rhs()
    z = Multigrid(one).matvec(b)
    np.testing.assert_allclose(Multigrid(tiny).matvec(b) * 2.0**140, z, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("system", [
    GridSystem(random_medium((40, 40, 44), 0.2, 0), ("ND", "NN", "NN")),
    GridSystem(random_medium((41, 40, 30), 0.2, 0), ("PP", "DN", "NN")),
    GridSystem(random_medium((300, 256), 0.2, 0), ("PP", "DN")),
    GridSystem(np.ones((64, 32, 32)), ("DD", "DN", "PP"), k=1.0 + random_medium((64, 32, 32), 0.5, 0)),
], ids=["3d", "odd-periodic", "2d", "faces"])  # fmt: skip
def test_threads_do_not_change_a_bit(system):
    b = system.rhs()
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            results.append(Multigrid(system, sweeps=2).apply_dot(b))
    for z, dot in results[1:]:
        assert np.array_equal(z, results[0][0])
        assert dot == results[0][1]


def test_apply_dot_and_shapes():
    system = SYSTEMS["box2d"]()
    M = Multigrid(system)
    b = system.rhs()
    z, dot = M.apply_dot(b)
    assert z.shape == b.shape
    assert dot == pytest.approx(float(np.sum(b * z)), rel=1e-6)
    grid_shaped = b.reshape(system.in_shape)
    assert np.array_equal(M @ grid_shaped, z.reshape(system.in_shape))
    assert np.array_equal(M @ b.ravel(), z.ravel())
    assert (M @ b.astype(np.float32)).dtype == np.float32
    assert np.all(M @ np.zeros_like(b) == 0)
    assert M.shape == (108, 108)
    assert {"linear", "symmetric", "positive_definite"} <= M.properties


def test_wrong_arguments():
    system = SYSTEMS["box2d"]()
    for kwargs, match in [
        ({"cycle": "F"}, "cycle"),
        ({"omega": 2.0}, "omega"),
        ({"sweeps": 0}, "sweeps"),
        ({"smoother": "jacobi"}, "smoother"),
        ({"interpolation": "linear"}, "interpolation"),
        ({"coarse_scaling": 0.0}, "coarse_scaling"),
    ]:
        with pytest.raises(ValueError, match=match):
            Multigrid(system, **kwargs)
    with pytest.raises(ValueError, match="shape"):
        Multigrid(system).matvec(np.ones(3))


def test_concurrent_use():
    import threading

    system = GridSystem(random_medium((40, 40, 44), 0.2, 0), ("ND", "NN", "NN"))
    M = Multigrid(system)
    rhs = [system.rhs(seed) for seed in range(4)]
    expected = [M.matvec(b) for b in rhs]
    wrong = []

    def work(i):
        for _ in range(5):
            if not np.array_equal(M.matvec(rhs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_pickle():
    import pickle

    system = SYSTEMS["porous3d"]()
    M = Multigrid(system)
    b = system.rhs()
    assert np.array_equal(pickle.loads(pickle.dumps(M)).matvec(b), M.matvec(b))


def test_a_w_cycle_on_arrays_of_another_library():
    """Symmetric and positive definite like a V-cycle, and better conditioned where deep levels are poor."""
    torch = pytest.importorskip("torch")
    A = poisson((16, 16), obstacles="walls", backend="torch").A
    settings = {"smooth_from": None, "coarsest_size": 3, "coarse_scaling": 0.6}
    identity = torch.eye(A.shape[0], dtype=torch.float64)
    condition = {}
    for cycle in ("V", "W"):
        M = Multigrid(A, cycle=cycle, **settings)
        assert len(M.levels) >= 4
        B = np.array([(M @ e.reshape(A.in_shape)).ravel().numpy() for e in identity])
        assert np.abs(B - B.T).max() <= 3e-6 * np.abs(B).max()
        values = scipy.linalg.eigh(A.tocsr().toarray(), np.linalg.inv(0.5 * (B + B.T)), eigvals_only=True)
        assert values[0] > 0
        condition[cycle] = values[-1] / values[0]
    assert condition["W"] < 0.95 * condition["V"]


def test_visits_of_a_w_cycle_are_counted():
    """Twice for every level between the first coarse one and the last; each of them moves its bytes twice."""
    A = poisson((64, 64), obstacles="walls").A
    V, W = (Multigrid(A, cycle=c, coarsest_size=3, coarse_scaling=0.6, smooth_from=None) for c in "VW")
    last = len(W.levels) - 1
    assert [W.visits(index) for index in range(last + 1)] == [1, *[2] * (last - 1), 1]
    assert {V.visits(index) for index in range(last + 1)} == {1}
    assert V.bytes_per_cycle() < W.bytes_per_cycle() < 2 * V.bytes_per_cycle()
