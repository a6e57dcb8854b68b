"""Learned multigrid: symmetric positive definite whatever the weights, honest about files, free of torch."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import cg
from sciml.learned import load
from sciml.preconditioners import LearnedMultigrid, Multigrid, make_preconditioner
from sciml.preconditioners.learned_multigrid import Policy, Predictor, expected_shapes, inputs, policy_of
from sciml.preconditioners.multigrid.features import FEATURES, geometry_features
from sciml.problems import anisotropic, jump_coefficient, poisson
from sciml.testing import check_preconditioner
from sciml.weights import load_weights, save_weights, shipped

PROBLEMS = {
    "balls": lambda: poisson((20, 20, 20), obstacles="balls"),
    "walls": lambda: poisson((64, 64), obstacles="walls"),
    "porous": lambda: poisson((24, 24, 24), obstacles="porous"),
    "neumann": lambda: poisson((16, 12, 10), bc="neumann"),
    "jumps": lambda: jump_coefficient((40, 40), pattern="squares"),
    "jumps3d": lambda: jump_coefficient((16, 16, 16), pattern="balls"),
    "anisotropic": lambda: anisotropic((16, 16, 16)),
    "turning": lambda: anisotropic((32, 32), orientation="checkerboard"),
}


def random_policy(seed: int, members: int = 3) -> Policy:
    """Any values in range, the ends included."""
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(members)
    draw = {
        "omega": lambda s: rng.uniform(0.05, 1.95, s),
        "coarse_scaling": lambda s: 10 ** rng.uniform(-2, 2, s),
        "damping": lambda s: rng.uniform(0.01, 1.9, s),
        "sweeps": lambda s: rng.integers(1, 4, s),
        "strength": lambda s: rng.uniform(0, 0.9, s),
        "smooth_from": lambda s: rng.integers(-1, 4, s),
        "cycle": lambda s: rng.integers(0, 2, s),
        "coefficients": lambda s: rng.normal(size=s),
        "usual": lambda s: rng.integers(0, members, s),
        "margin": lambda s: rng.uniform(0, 0.1, s),
    }
    return Policy(**{name: draw[name](shape) for name, shape in shapes.items()})


def random_problem(seed: int):
    """Random solid cells, sides and, half the time, a random coefficient over four decades."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 10, size=rng.integers(2, 4)))
    sides = [("dirichlet", "neumann")[i] for i in rng.integers(0, 2, size=len(shape))]
    if rng.random() < 0.5:
        from sciml import PoissonOperator

        cells = rng.random(shape) < rng.uniform(0, 0.4)
        cells.flat[0] = False
        return PoissonOperator(shape, bc=sides, cells=cells, coefficient=10 ** rng.uniform(-2, 2, shape))
    mask = rng.random(shape) < rng.uniform(0, 0.4)
    mask.flat[0] = False
    return poisson(shape, bc=sides, obstacles=mask).A


def dense(M, A) -> np.ndarray:
    n = int(np.prod(A.in_shape))
    return np.stack([(M @ e.reshape(A.in_shape)).ravel() for e in np.eye(n)], axis=1)


def check_spd(A, policy) -> None:
    M = dense(LearnedMultigrid(A, policy), A)
    scale = np.abs(np.linalg.eigvalsh(0.5 * (M + M.T))).max()
    assert np.abs(M - M.T).max() <= 2e-5 * scale
    # On what the operator sees: its null space, constants on closed components, is left out.
    w, V = np.linalg.eigh(A.tocsr().toarray())
    V = V[:, w > 1e-9 * w.max()]
    values = np.linalg.eigvalsh(V.T @ (0.5 * (M + M.T)) @ V)
    assert values.min() > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_weights_give_a_symmetric_positive_definite_cycle(geometry, weights):
    check_spd(random_problem(geometry), random_policy(weights))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_trained_weights_give_a_symmetric_positive_definite_cycle(geometry):
    check_spd(random_problem(geometry), policy_of())


@pytest.mark.parametrize("name", PROBLEMS)
def test_contract(name):
    problem = PROBLEMS[name]()
    check_preconditioner(LearnedMultigrid(problem.A), problem.A)


@pytest.mark.parametrize("rtol", [1e-2, 1e-8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_solves(name, rtol):
    problem = PROBLEMS[name]()
    result = cg(problem.A, problem.b, M=LearnedMultigrid(problem.A, rtol=rtol), rtol=rtol, maxiter=60)
    assert result.converged


@pytest.mark.parametrize("name", ["porous", "walls", "balls"])
def test_extreme_eigenvalues_by_lanczos(name):
    """The preconditioned operator's spectrum, from the coefficients of CG itself."""
    problem = PROBLEMS[name]()
    A, M = problem.A, LearnedMultigrid(problem.A)
    low, high = lanczos_extremes(A, M, problem.b, 25)
    assert 0.15 < low < high < 2.0


def lanczos_extremes(A, M, b, steps):
    """Smallest and largest Ritz value of M A after some steps of preconditioned CG."""
    r, alphas, betas = b.copy(), [], []
    z = M @ r
    p, rz = z, np.vdot(r, z)
    for _ in range(steps):
        q = A @ p
        alpha = rz / np.vdot(p, q)
        r = r - alpha * q
        z = M @ r
        new = np.vdot(r, z)
        alphas.append(alpha)
        if new <= 1e-26 * np.vdot(b, b):
            break
        betas.append(new / rz)
        p, rz = z + betas[-1] * p, new
    n = len(alphas)
    T = np.zeros((n, n))
    for i in range(n):
        T[i, i] = 1 / alphas[i] + (betas[i - 1] / alphas[i - 1] if i else 0)
        if i + 1 < n:
            T[i, i + 1] = T[i + 1, i] = np.sqrt(betas[i]) / alphas[i]
    values = np.linalg.eigvalsh(T)
    return values[0], values[-1]


def test_settings_given_are_kept():
    A = PROBLEMS["balls"]().A
    M = LearnedMultigrid(A, sweeps=5, cycle="W")
    assert M.cycle == "W"
    assert M._sweeps(0) == 5


def test_the_member_predicted_fastest_is_built():
    A = PROBLEMS["porous"]().A
    policy = random_policy(4)
    M = LearnedMultigrid(A, policy, rtol=1e-3)
    predicted = policy.arrays["coefficients"][0] @ inputs(geometry_features(A, 0.02), 1e-3)
    assert predicted.min() < -policy.arrays["margin"][0]
    assert M.member == int(np.argmin(predicted))
    assert M._omega(0) == policy.arrays["omega"][M.member, 0]
    assert M._damping(1) == policy.arrays["damping"][M.member, 1]
    assert M.strength == policy.arrays["strength"][M.member]


def test_a_predictor_can_favour_another_member_at_a_loose_tolerance():
    coefficients = np.zeros((2, 2 * len(FEATURES) + 2))
    coefficients[1, 0], coefficients[1, len(FEATURES) + 1] = 0.5, -1.0  # better from 1e-3 on
    predictor = Predictor(coefficients, np.zeros(3), 0.0)
    f = np.zeros(len(FEATURES))
    assert [predictor.choose(f, rtol) for rtol in (1e-1, 1e-6)] == [0, 1]


def test_a_promise_below_the_margin_changes_nothing():
    """The usual member of the nearest tolerance stays, until another promises more than the margin."""
    coefficients = np.zeros((3, 2 * len(FEATURES) + 2))
    coefficients[2, 0] = -0.05
    f = np.zeros(len(FEATURES))
    wary, eager = (Predictor(coefficients, np.array([1.0, 0.0, 1.0]), m) for m in (0.06, 0.04))
    assert [wary.choose(f, rtol) for rtol in (0.5, 1e-2, 1e-3 / 2, 1e-4, 1e-6, 1e-12)] == [1, 1, 0, 0, 1, 1]
    assert [eager.choose(f, rtol) for rtol in (1e-2, 1e-4, 1e-6)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "kind"), [("balls", 0), ("porous", 0), ("jumps", 1), ("anisotropic", 1), ("turning", 1)]
)
def test_easy_and_hard_problems_have_predictors_of_their_own(name, kind):
    """Each kind keeps its own usual member, as nothing promises more than the margins here."""
    policy = random_policy(0, members=2).arrays | {
        "coefficients": np.zeros((2, 2, 2 * len(FEATURES) + 2)),
        "usual": np.array([[0.0] * 3, [1.0] * 3]),
    }
    assert LearnedMultigrid(PROBLEMS[name]().A, Policy(**policy)).member == kind


def test_names_registry_and_pickle():
    problem = PROBLEMS["balls"]()
    M = make_preconditioner("learned-multigrid", problem.A)
    assert isinstance(M, LearnedMultigrid)
    assert isinstance(M, Multigrid)
    again = pickle.loads(pickle.dumps(M))
    np.testing.assert_array_equal(again @ problem.b, M @ problem.b)
    built = load("multigrid")(problem.A)
    np.testing.assert_array_equal(built @ problem.b, M @ problem.b)


def test_applying_needs_no_torch():
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from sciml.preconditioners import LearnedMultigrid\n"
        "from sciml.problems import poisson\n"
        "p = poisson((16, 16), obstacles='walls')\n"
        "LearnedMultigrid(p.A) @ p.b\n"
        "assert 'cma' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_what_is_shipped_is_small_and_says_where_it_comes_from():
    path = shipped("multigrid")
    assert path.stat().st_size < 2**20
    weights = load_weights(path, kind="multigrid")
    assert "train multigrid" in weights.training["command"]
    assert set(weights.training["grid_searched"]) == {"0.01", "0.0001", "1e-06", "all"}


def test_iterations_do_not_grow_with_size():
    """Trained on at most 64 cells a side; twice that takes hardly more."""
    counts = []
    for n in (64, 128):
        problem = poisson((n, n, n), obstacles="porous", seed=4)
        M = LearnedMultigrid(problem.A)
        counts.append(cg(problem.A, problem.b, M=M, rtol=1e-6).iterations)
    assert counts[1] <= counts[0] + 3


# -- weight files ------------------------------------------------------------------------------
def saved(path, arrays=None, members=3, features=FEATURES, kind="multigrid"):
    arrays = random_policy(1, members).arrays if arrays is None else arrays
    return save_weights(path, kind, arrays, config={"features": list(features), "members": members})


def changed(name, value):
    arrays = dict(random_policy(1).arrays)
    arrays[name] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed("omega", np.full((3, 4), 2.5)), "omega holds .*2.5.*; expected 0.05 to 1.95"),
        (changed("omega", np.full((3, 4), np.nan)), "'omega' contains NaN"),
        (changed("sweeps", np.zeros((3, 4))), "sweeps holds .*0.0"),
        (changed("omega", np.ones((3, 5))), r"'omega' has shape \(3, 5\)"),
        (changed("omega", np.ones((3, 4), np.float32)), "'omega' is float32; expected float64"),
        (changed("extra", np.ones(2)), "holds a tensor 'extra'"),
        ({k: v for k, v in random_policy(1).arrays.items() if k != "cycle"}, "lacks the tensor 'cycle'"),
    ],
    ids=["range", "nan", "no-sweeps", "shape", "dtype", "left-over", "missing"],
)
def test_a_mismatch_is_named(tmp_path, arrays, message):
    path = saved(tmp_path / "w.safetensors", arrays)
    with pytest.raises(ValueError, match=message):
        LearnedMultigrid(PROBLEMS["balls"]().A, weights=path)


def test_foreign_files_are_refused(tmp_path):
    A = PROBLEMS["balls"]().A
    with pytest.raises(FileNotFoundError, match="no such file"):
        LearnedMultigrid(A, weights=tmp_path / "none.safetensors")
    other = save_weights(tmp_path / "d.safetensors", "dcd", {"k": np.ones(3)}, config={})
    with pytest.raises(ValueError, match="a 'dcd' component; expected 'multigrid'"):
        LearnedMultigrid(A, weights=other)
    path = saved(tmp_path / "f.safetensors", features=("fill",))
    with pytest.raises(ValueError, match="was trained on the features"):
        LearnedMultigrid(A, weights=path)
    whole = saved(tmp_path / "t.safetensors").read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated, damaged or not a weight file"):
        LearnedMultigrid(A, weights=cut)
    (tmp_path / "p.safetensors").write_bytes(pickle.dumps({"omega": 1}))
    with pytest.raises(ValueError, match="truncated, damaged or not a weight file"):
        LearnedMultigrid(A, weights=tmp_path / "p.safetensors")


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="rtol is 0"):
        LearnedMultigrid(PROBLEMS["balls"]().A, rtol=0)
    with pytest.raises(TypeError, match="expects a PoissonOperator"):
        LearnedMultigrid(np.eye(3))
    with pytest.raises(TypeError, match="no_such"):
        LearnedMultigrid(PROBLEMS["balls"]().A, no_such=1)
