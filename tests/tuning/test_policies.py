"""What holds for every policy: learning, regret, saving and restoring, and errors that say what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sciml.tuning import (
    BestFixed,
    BinnedTsallisINF,
    ChebCB,
    Fixed,
    GaussianProcessCB,
    Oracle,
    Policy,
    TsallisINF,
    omega_grid,
    sor_rate,
    young_omega,
)

ARMS = omega_grid(1.0, 1.9, 10)

LEARNERS: dict[str, Callable[[int], Policy]] = {
    "tsallis": lambda seed: TsallisINF(ARMS, seed=seed),
    "tsallis-importance-weighted": lambda seed: TsallisINF(ARMS, estimator="importance-weighted", seed=seed),
    "tsallis-binned": lambda seed: BinnedTsallisINF(ARMS, context_range=(0, 1), bins=3, seed=seed),
    "chebcb": lambda seed: ChebCB(ARMS, context_range=(0, 1), degree=3, seed=seed),
    "gaussian-process": lambda seed: GaussianProcessCB(ARMS, seed=seed),
    "gaussian-process-flat": lambda seed: GaussianProcessCB(ARMS, prior=None, seed=seed),
    "gaussian-process-categories": lambda seed: GaussianProcessCB(
        ARMS, prior=None, scale="categories", seed=seed
    ),
}
CONTEXTUAL = ("chebcb", "gaussian-process", "gaussian-process-flat", "gaussian-process-categories")


@pytest.fixture(params=LEARNERS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Policy]:
    return LEARNERS[request.param]


def solve(omega: float, context: float, rng: np.random.Generator) -> tuple[float, Any]:
    """What SOR would do by Young's theory at the Jacobi radius 0.85 + 0.13 context, with some noise."""
    rate = float(sor_rate(omega, 0.85 + 0.13 * context))
    sweeps = max(5, math.ceil(18.4 / -math.log(rate) * rng.uniform(0.97, 1.03)))
    return float(sweeps), SimpleNamespace(residual_history=tuple(rate**k for k in range(sweeps + 1)))


def play(policy: Policy, rounds: int, seed: int = 0) -> tuple[list[Any], np.ndarray]:
    """Arms and costs of a run over random contexts."""
    rng = np.random.default_rng(seed)
    arms, costs = [], []
    for _ in range(rounds):
        context = rng.random()
        arms.append(policy.propose(context))
        cost, result = solve(arms[-1], context, rng)
        policy.observe(cost, result)
        costs.append(cost)
    return arms, np.array(costs)


def every_cost(rounds: int, seed: int = 0) -> np.ndarray:
    """Noise-free costs of all arms for the contexts of `play`, shape (rounds, arms)."""
    rng = np.random.default_rng(seed)
    contexts = []
    for _ in range(rounds):
        contexts.append(rng.random())
        rng.uniform()  # the noise of `solve`
    rates = sor_rate(np.array(ARMS), 0.85 + 0.13 * np.array(contexts)[:, None])
    return 18.4 / -np.log(rates)


def test_learners_beat_playing_at_random(make):
    rounds = 1000
    costs = play(make(0), rounds)[1]
    table = every_cost(rounds)
    assert costs[-300:].mean() < 0.8 * table[-300:].mean()


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_contextual_learners_beat_every_fixed_arm(name):
    rounds = 1500
    costs = play(LEARNERS[name](1), rounds, seed=1)[1]
    best_fixed = every_cost(rounds, seed=1)[-800:].sum(axis=0).min()
    assert costs[-800:].sum() < best_fixed


def test_reading_residual_histories_pays_early():
    """After fifty rounds the learner that reads histories has paid a fifth less than the same one without."""
    rounds = 50
    with_histories = play(LEARNERS["gaussian-process"](3), rounds, seed=3)[1].sum()
    without = play(LEARNERS["gaussian-process-flat"](3), rounds, seed=3)[1].sum()
    assert with_histories < 0.8 * without


def test_regret_grows_sublinearly(make):
    """Over a run eight times as long the regret is far less than eight times as large."""
    policy, rng = make(2), np.random.default_rng(2)
    regret = np.zeros(2048)
    for t in range(regret.size):
        omega = policy.propose(0.5)
        gap = 20.0 * abs(omega - 1.4)
        policy.observe(10.0 + gap + rng.uniform(0.0, 2.0))
        regret[t] = gap
    early, late = regret[:256].sum(), regret.sum()
    assert late < 0.7 * 8 * early
    assert late / regret.size < 0.3 * np.mean([20.0 * abs(w - 1.4) for w in ARMS])


@pytest.mark.parametrize("name", ["tsallis", "tsallis-importance-weighted"])
def test_tsallis_follows_an_adversary(name):
    """The best arm changes for good; an average over all rounds would never notice in time."""
    policy = LEARNERS[name](4)
    costs = []
    for t in range(3000):
        omega = policy.propose()
        good = 1.2 if t < 500 else 1.7
        costs.append(1.0 if omega == good else 2.0)
        policy.observe(costs[-1])
    assert np.mean(costs[-500:]) < 1.2


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_asking_for_predictions_changes_nothing(name):
    asked, silent = LEARNERS[name](0), LEARNERS[name](0)
    for t in range(30):
        play(asked, 3, seed=t)
        play(silent, 3, seed=t)
        assert asked.predict(0.4).shape == (len(ARMS),)
    assert play(asked, 50)[0] == play(silent, 50)[0]


def test_drift_with_the_round_as_context():
    """Costs that drift for no known reason: with the round number as context the learner keeps up."""
    policy, rng = GaussianProcessCB(ARMS, prior=None, seed=0), np.random.default_rng(0)
    gaps = np.zeros(1200)
    for t in range(gaps.size):
        best = 1.2 + 0.6 * t / gaps.size
        gaps[t] = 20.0 * abs(policy.propose(context=t) - best)
        policy.observe(10.0 + gaps[t] + rng.uniform(0.0, 2.0))
    assert gaps[-400:].mean() < 2.0  # arms are 0.1 apart, so 0.5 is the least there is


def test_same_seed_same_choices(make):
    assert play(make(5), 60)[0] == play(make(5), 60)[0]


def test_other_seed_other_choices(make):
    assert play(make(5), 60)[0] != play(make(6), 60)[0]


@pytest.mark.parametrize("rounds", [0, 1, 37, 150])
def test_restored_policy_continues_identically(make, tmp_path: Path, rounds):
    policy = make(7)
    play(policy, rounds)
    policy.save(tmp_path / "state.json")
    restored = make(99).load(tmp_path / "state.json")
    expected, found = play(policy, 120, seed=8), play(restored, 120, seed=8)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    assert restored.rounds == rounds + 120
    np.testing.assert_array_equal(restored.plays, policy.plays)


def test_restored_between_proposal_and_cost(make, tmp_path: Path):
    policy = make(7)
    play(policy, 40)
    arm = policy.propose(0.3)
    policy.save(tmp_path / "state.json")
    restored = make(99).load(tmp_path / "state.json")
    cost, result = solve(arm, 0.3, np.random.default_rng(0))
    for each in (policy, restored):
        each.observe(cost, result)
    assert play(policy, 60, seed=8)[0] == play(restored, 60, seed=8)[0]


def test_saving_is_atomic(make, tmp_path: Path, monkeypatch):
    policy, path = make(0), tmp_path / "state.json"
    policy.save(path)
    before = path.read_text()
    play(policy, 5)

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        policy.save(path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_plays_and_totals(make):
    policy = make(0)
    arms, costs = play(policy, 80)
    for i, arm in enumerate(policy.arms):
        chosen = np.array(arms) == arm
        assert policy.plays[i] == chosen.sum()
        assert policy.totals[i] == pytest.approx(costs[chosen].sum())


# -- files that do not fit --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a saved policy"),
        ("{", "is not a saved policy"),
        ("[1, 2]", "is not a saved policy"),
        ('{"format": "something else"}', "is not a saved policy"),
        (b"\x80\x04\x95", "is not a saved policy"),
        ('{"format": "sciml.tuning/1"}', "is not a saved policy"),
    ],
    ids=["empty", "truncated", "list", "foreign", "pickle", "bare"],
)
def test_foreign_files_are_refused(tmp_path: Path, content, message):
    path = tmp_path / "state.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        TsallisINF(ARMS).load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.update(rounds=-1), "rounds is -1"),
        (lambda s: s.update(rounds=s["rounds"] + 1), "plays is .* expected 21 in all|is no list of 21"),
        (lambda s: s.update(pending=10), "pending is 10"),
        (lambda s: s["plays"].update(shape=[5, 2]), "plays is no array of shape"),
        (lambda s: s["totals"]["array"].__setitem__(0, math.inf), "totals holds a value that is not finite"),
        (lambda s: s["generator"].update(state={}), "damaged file of a policy"),
        (lambda s: s.update(learned=[]), "lacks|damaged file of a policy"),
    ],
    ids=["rounds", "plays", "pending", "shape", "infinite", "generator", "learned"],
)
def test_a_damaged_file_leaves_no_mark(make, tmp_path: Path, change, reason):
    path = tmp_path / "state.json"
    policy = make(0)
    play(policy, 20)
    policy.save(path)
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    other = make(1)
    play(other, 7)
    before = repr(other._state())
    with pytest.raises(ValueError, match=reason) as caught:
        other.load(path)
    assert str(caught.value).startswith(str(path))
    assert repr(other._state()) == before


def test_a_policy_that_has_given_up_on_young_continues_identically(tmp_path: Path):
    """The prior of its model depends on that, and is not in the file."""

    def contrary(policy, rounds, seed):
        rng, arms = np.random.default_rng(seed), []
        for _ in range(rounds):
            arms.append(policy.propose(0.5))
            policy.observe(float(np.exp(3 * (arms[-1] - 1) + 0.01 * rng.standard_normal())))
        return arms

    policy = GaussianProcessCB(ARMS, context_range=(0, 1), seed=3)
    contrary(policy, 40, 0)
    assert not policy.uses_young
    policy.save(tmp_path / "state.json")
    restored = GaussianProcessCB(ARMS, context_range=(0, 1), seed=4).load(tmp_path / "state.json")
    np.testing.assert_array_equal(restored._surface.precision, policy._surface.precision)
    assert contrary(restored, 10, 1) == contrary(policy, 10, 1)


def test_the_history_of_a_gaussian_process_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sciml.tuning.gaussian_process.MEMORY", 90)
    policy = GaussianProcessCB(ARMS, context_range=(0, 1), seed=3)
    for i in range(8):
        play(policy, 50, seed=i)
        assert len(policy._played) <= 90
        assert len({len(v) for v in (policy._played, policy._contexts, policy._costs, policy._bounds)}) == 1
    assert policy.rounds == 400
    policy.save(tmp_path / "state.json")
    restored = GaussianProcessCB(ARMS, context_range=(0, 1), seed=4).load(tmp_path / "state.json")
    assert play(restored, 60, seed=9)[0] == play(policy, 60, seed=9)[0]
    # What it knows by then is not lost with the oldest rounds.
    assert play(policy, 60, seed=10)[1].mean() < 1.2 * every_cost(60, seed=10).min(axis=1).mean()


def test_truncated_file_is_refused(make, tmp_path: Path):
    path = tmp_path / "state.json"
    policy = make(0)
    play(policy, 20)
    policy.save(path)
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match="is not a saved policy"):
        make(0).load(path)


def test_state_of_another_class_is_refused(tmp_path: Path):
    TsallisINF(ARMS).save(tmp_path / "state.json")
    with pytest.raises(ValueError, match=r"holds a TsallisINF; expected a ChebCB"):
        ChebCB(ARMS, context_range=(0, 1)).load(tmp_path / "state.json")


def test_state_with_other_arms_is_refused(tmp_path: Path):
    TsallisINF(ARMS).save(tmp_path / "state.json")
    with pytest.raises(ValueError, match="was saved with arms"):
        TsallisINF(ARMS[1:]).load(tmp_path / "state.json")


def test_state_with_other_settings_is_refused(tmp_path: Path):
    ChebCB(ARMS, context_range=(0, 1)).save(tmp_path / "state.json")
    with pytest.raises(ValueError, match=r"was saved with context_range = \[0.0, 1.0\]"):
        ChebCB(ARMS, context_range=(0, 2)).load(tmp_path / "state.json")


def test_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        TsallisINF(ARMS).load(tmp_path / "nothing.json")


def test_chebcb_draws_by_the_published_rate():
    # In the middle of the interval T_1 = 0: an arm predicts the mean of its losses, exactly after one round.
    policy = ChebCB([1, 2], context_range=(0, 1), degree=1, seed=0)
    rounds, cost = 30, {1: 2.0, 2: 4.0}
    for _ in range(rounds):
        policy.observe(cost[policy.propose(0.5)])
    # Algorithm 3 of "Learning to relax": losses are divided by K N, the first predictions were 0.
    K, N = 4.0, 2 + 4 * (1 + math.log(2))
    alpha = (math.pi + 2 / math.pi * math.log(3)) * K / (2 * 2) / (K * N)
    regret = (2.0**2 + 4.0**2) / (K * N) ** 2
    eta = 2 * rounds * math.sqrt(2 * rounds / (regret + 2 * alpha**2 * rounds))
    worse = 1 / (2 + eta * (4.0 - 2.0) / (K * N))
    np.testing.assert_allclose(policy._probabilities(0.5), [1 - worse, worse], rtol=1e-12)


# -- bad input --------------------------------------------------------------------------------
@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0, 0.0, "3", None, True])
def test_bad_costs(make, cost):
    policy = make(0)
    policy.propose(0.5)
    with pytest.raises(ValueError, match=r"cost is .*; expected a positive finite number"):
        policy.observe(cost)
    policy.observe(3.0)  # the proposal still stands
    assert policy.rounds == 1


@pytest.mark.parametrize("name", ["tsallis", "chebcb"])
def test_cost_below_the_promised_floor(name):
    policy = (
        TsallisINF(ARMS, floor=1.0) if name == "tsallis" else ChebCB(ARMS, context_range=(0, 1), floor=1.0)
    )
    policy.propose(0.5)
    with pytest.raises(ValueError, match=r"cost is 0.5; expected at least the floor, 1"):
        policy.observe(0.5)
    policy.observe(1.0)
    assert policy.rounds == 1


def test_cost_without_proposal(make):
    policy = make(0)
    with pytest.raises(ValueError, match="without a proposed arm"):
        policy.observe(1.0)
    policy.propose(0.5)
    policy.observe(1.0)
    with pytest.raises(ValueError, match="without a proposed arm"):
        policy.observe(1.0)


@pytest.mark.parametrize("name", ["tsallis-binned", "chebcb"])
@pytest.mark.parametrize("context", [None, math.nan, 1.5, -0.1, "0.5"])
def test_bad_contexts(name, context):
    with pytest.raises(ValueError, match=r"context is .*; expected"):
        LEARNERS[name](0).propose(context)


def test_context_range_of_the_gaussian_process():
    policy = GaussianProcessCB(ARMS, context_range=(0, 1))
    with pytest.raises(ValueError, match=r"context is 2; expected a number in \[0, 1\]"):
        policy.propose(2)
    with pytest.raises(ValueError, match="context is nan; expected a finite number"):
        GaussianProcessCB(ARMS).propose(math.nan)


@pytest.mark.parametrize("arms", [[], (), np.array([])])
def test_empty_arms(arms):
    with pytest.raises(ValueError, match="arms is empty"):
        TsallisINF(arms)


@pytest.mark.parametrize("arms", ["omega", 1.5, None])
def test_arms_that_are_no_sequence(arms):
    with pytest.raises(TypeError, match="expected a sequence of parameter values"):
        TsallisINF(arms)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TsallisINF([1.0, math.nan]), ValueError, "arms contains nan"),
        (lambda: TsallisINF(ARMS, seed=-1), ValueError, "seed is -1"),
        (
            lambda: TsallisINF(ARMS, estimator="best"),
            ValueError,
            "estimator is 'best'; expected one of reduced",
        ),
        (lambda: TsallisINF(ARMS, eta=1.0), TypeError, "unexpected keyword"),
        (lambda: BinnedTsallisINF(ARMS, context_range=(1, 0)), ValueError, "expected finite low < high"),
        (lambda: BinnedTsallisINF(ARMS, context_range=3), TypeError, "expected a pair"),
        (lambda: BinnedTsallisINF(ARMS, context_range=(0, 1), bins=0), ValueError, "bins is 0"),
        (lambda: ChebCB(ARMS, context_range=(0, 1), degree=-1), ValueError, "degree is -1"),
        (lambda: GaussianProcessCB([1.2, 1.1]), ValueError, "arms must increase"),
        (lambda: GaussianProcessCB([1.2, 2.0]), ValueError, r"expects omega in \(0, 2\)"),
        (lambda: GaussianProcessCB(["a", "b"]), TypeError, "expects numbers"),
        (
            lambda: GaussianProcessCB([0.0, 1.0], prior=None, scale="log"),
            ValueError,
            "expects positive numbers",
        ),
        (lambda: GaussianProcessCB(ARMS, prior="old"), ValueError, "prior is 'old'"),
        (lambda: GaussianProcessCB(ARMS, scale="linear"), ValueError, "expects 'relaxation'"),
        (lambda: GaussianProcessCB(ARMS, scale="cubic"), ValueError, "scale is 'cubic'"),
        (lambda: GaussianProcessCB(ARMS, spread=0.0), ValueError, "spread is 0.0"),
        (lambda: BestFixed(ARMS, [[1.0, 2.0]]), ValueError, r"costs has shape \(1, 2\)"),
        (lambda: BestFixed([1.0], [[math.inf]]), ValueError, "not finite"),
        (lambda: Oracle(1.5), TypeError, "expected a callable"),
        (lambda: omega_grid(1.0, 2.0, 5), ValueError, "expected 0 < low < high < 2"),
        (lambda: omega_grid(count=1), ValueError, "count is 1"),
        (lambda: young_omega(1.0), ValueError, r"expected a spectral radius in \[0, 1\)"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- baselines --------------------------------------------------------------------------------
def test_baselines():
    assert Fixed(1.5).propose(0.1) == 1.5
    table = np.array([[3.0, 1.0], [1.0, 2.0], [1.0, 1.5]])
    assert BestFixed(["slow", "fast"], table).propose() == "fast"
    assert Oracle(lambda c: 1 + c).propose(0.25) == 1.25


def test_arms_of_numpy_come_back_as_python_numbers():
    arm = TsallisINF(np.linspace(1.0, 1.5, 3)).propose()
    assert type(arm) is float
