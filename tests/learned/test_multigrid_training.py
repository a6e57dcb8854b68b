"""Training of multigrid parameters: the cost model, the search, resuming, and the command."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sciml import CallableOperator
from sciml.learned import fit, load_weights
from sciml.learned.multigrid import FAMILIES, MultigridTraining, Rates, sample, train_multigrid
from sciml.learned.multigrid.cost import CYCLE_WORK, SETUP_WORK, _fit, cycle_work, setup_work
from sciml.learned.multigrid.evolution import PARAMETERS, decode, encode
from sciml.learned.multigrid.portfolio import (
    fit_predictor,
    greedy_portfolio,
    pack,
    regret,
    train_predictor,
)
from sciml.learned.multigrid.search import TOLERANCES, evaluate, grid, iterations_to
from sciml.learned.multigrid.train import training_problems
from sciml.learned.multigrid.validation import UNSEEN, validate
from sciml.preconditioners import LearnedMultigrid, Multigrid
from sciml.preconditioners.learned_multigrid import Predictor
from sciml.preconditioners.multigrid.features import FEATURES
from sciml.problems import poisson

FEW = [{"sweeps": 1}, {"sweeps": 2}, {"sweeps": 2, "smooth_from": 3}]
SMALL = [(32, 32), (16, 16, 16)]


def small_problems():
    return training_problems(["balls", "walls"], SMALL, instances=1)


# -- cost model --------------------------------------------------------------------------------
@pytest.mark.parametrize("change", [{"sweeps": 3}, {"cycle": "W"}], ids=["sweeps", "W"])
def test_more_work_per_cycle_is_counted(change):
    A = poisson((64, 64), obstacles="walls").A
    base, more = Multigrid(A, smooth_from=None), Multigrid(A, smooth_from=None, **change)
    assert Rates().seconds(more)[1] > Rates().seconds(base)[1]
    np.testing.assert_array_equal(setup_work(more), setup_work(base))


def test_smoothing_a_prolongation_costs_set_up():
    A = poisson((64, 64), obstacles="walls").A
    early, late = Multigrid(A, smooth_from=1), Multigrid(A, smooth_from=3)
    name = SETUP_WORK.index("interpolation entries")
    assert setup_work(early)[name] > 4 * setup_work(late)[name]
    assert cycle_work(early).shape == (len(CYCLE_WORK),)


def test_rates_are_recovered_from_exact_times():
    rng = np.random.default_rng(0)
    counts = rng.uniform(1, 1e6, (40, 4))
    true = np.array([3.0, 0.0, 0.5, 20.0])
    np.testing.assert_allclose(_fit(counts, 1e-9 * counts @ true), true, rtol=1e-6, atol=1e-6)


# -- search and evolution ----------------------------------------------------------------------
def test_fractional_iterations_are_within_one_of_whole_ones():
    from sciml import cg

    problem = sample("porous", (16, 16, 16), 0)
    M = Multigrid(problem.A)
    whole = [cg(problem.A, problem.b, M=M, rtol=t).iterations for t in TOLERANCES]
    fractions = iterations_to(problem, M)
    assert np.all(fractions <= np.array(whole) + 1e-9)
    assert np.all(fractions > np.array(whole) - 1)


def test_a_cycle_that_breaks_down_is_not_taken_for_a_fast_one():
    problem = sample("box", (16, 16), 0)
    properties = {"symmetric", "positive_definite", "linear"}  # so it claims
    M = CallableOperator(lambda r: -r, (16, 16), dtype="float64", properties=properties)
    assert iterations_to(problem, M).min() > 100


def test_the_grid_is_the_product_of_its_axes():
    assert grid({"sweeps": (1, 2), "cycle": ("V", "W")}) == [
        {"sweeps": 1, "cycle": "V"}, {"sweeps": 1, "cycle": "W"},
        {"sweeps": 2, "cycle": "V"}, {"sweeps": 2, "cycle": "W"},
    ]  # fmt: skip


def test_encoding_is_inverted():
    choice = {"omega": (0.9, 1.2, 1.4, 1.1), "coarse_scaling": (0.5, 0.6), "damping": 0.7}
    back = decode(encode(choice), {"cycle": "W"})
    assert back["cycle"] == "W"
    for name, value in choice.items():
        np.testing.assert_allclose(back[name], value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=len(PARAMETERS), max_size=len(PARAMETERS)))
def test_any_vector_stands_for_legal_settings(vector):
    with np.errstate(over="ignore"):
        choice = decode(np.array(vector), {})
    Multigrid(poisson((4, 4)).A, **choice)
    pack([choice])  # and for a legal policy


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_reproducible_and_differ(name):
    a, b, c = sample(name, (32, 32), 0), sample(name, (32, 32), 0), sample(name, (32, 32), 1)
    np.testing.assert_array_equal(a.b, b.b)
    assert (a.A.tocsr() != b.A.tocsr()).nnz == 0
    assert not np.array_equal(a.b, c.b)


def test_unknown_family():
    with pytest.raises(ValueError, match="family is 'cats'"):
        sample("cats", (8, 8), 0)


# -- portfolio and predictor -------------------------------------------------------------------
def test_a_portfolio_covers_what_one_setting_cannot():
    seconds = np.array([[1.0, 5.0, 2.0], [5.0, 1.0, 2.0]])[:, :, None]
    assert greedy_portfolio(seconds, 2) == [2, 0]
    assert greedy_portfolio(seconds, 3) == [2, 0, 1]
    assert greedy_portfolio(seconds, 2, first=[1, 1]) == [1, 0]
    assert greedy_portfolio(seconds, 1, first=[1, 2]) == [1, 2]


def test_the_predictor_finds_a_rule_in_the_features():
    """Member 1 is faster where the fill is large; the rule is learned, and holds on what was not shown."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 1, (60, len(FEATURES)))
    fill = FEATURES.index("fill")
    seconds = np.ones((60, 2, len(TOLERANCES)))
    seconds[:, 1] = np.exp(0.5 - features[:, fill])[:, None]
    usual = np.zeros(3)
    coefficients = fit_predictor(features[:40], seconds[:40], [0, 0, 0], 1e-4)
    assert regret(Predictor(coefficients, usual, 0.01), features[40:], seconds[40:]).max() < 0.02
    assert regret(Predictor(0 * coefficients, usual, 0.01), features[40:], seconds[40:]).max() > 0.2


def test_where_features_tell_nothing_the_usual_member_stays():
    """Which member is faster is noise here, and the other one is slower on average."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 1, (40, len(FEATURES)))
    seconds = np.ones((40, 2, len(TOLERANCES)))
    seconds[:, 1] = np.exp(0.01 + 0.05 * rng.standard_normal((40, len(TOLERANCES))))
    predictor, notes = train_predictor(features, seconds, [0, 0, 0], 8 * list("abcde"))
    assert {predictor.choose(f, rtol) for f in features for rtol in TOLERANCES} == {0}
    assert predictor.margin == notes["margin"] > 0


def test_a_trained_policy_uses_what_the_grid_search_found_at_each_tolerance():
    pytest.importorskip("cma")
    training = make_training()
    fit(training, steps=training.steps)
    policy = training.policy()[0]
    for kind, t in np.ndindex(2, 3):
        member = int(policy.arrays["usual"][kind, t])
        chosen, searched = policy.settings(member), training.grid_searched(t, kind)
        for name, value in searched.items():
            first = chosen[name][0] if isinstance(chosen[name], tuple) else chosen[name]
            assert first == (value[0] if isinstance(value, tuple) else value)


# -- runs --------------------------------------------------------------------------------------
def make_training():
    return MultigridTraining(small_problems(), members=2, generations=2, settings=FEW, seed=3)


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(tmp_path):
    pytest.importorskip("cma")
    whole = make_training()
    fit(whole, steps=whole.steps)
    for stop in (2, 5, 7):  # in the search, in evolution, in the last phase
        path = tmp_path / f"{stop}.safetensors"
        part = make_training()
        fit(part, steps=part.steps, checkpoint=path, callback=lambda done, _, stop=stop: done == stop)
        rest = make_training()
        fit(rest, steps=rest.steps, checkpoint=path)
        for name, value in whole.policy()[0].arrays.items():
            np.testing.assert_array_equal(value, rest.policy()[0].arrays[name])


def test_evolution_improves_what_it_starts_from():
    pytest.importorskip("cma")
    training = MultigridTraining(
        training_problems(["porous"], [(16, 16, 16)], instances=2),
        members=1, generations=8, settings=[{"omega": 0.6, "sweeps": 1}],
    )  # fmt: skip
    fit(training, steps=training.steps)
    start, refined = training.table[:, 0], training.refined[:, 0]
    assert np.log(refined / start).mean() < -0.05


def test_headroom_is_what_the_best_setting_of_every_problem_gains():
    training = MultigridTraining(small_problems(), settings=FEW[:2])
    training.table[:] = 1.0
    assert training.headroom() == 1.0
    training.table[:, 0], training.table[0, 1] = 2.0, 4.0  # setting 1 is best, but for the first problem
    problems = len(training.problems)
    assert training.headroom(0) == pytest.approx(0.5 ** (1 / problems))


def test_what_is_trained_is_used(tmp_path):
    path = tmp_path / "w.safetensors"
    train_multigrid(path, small_problems(), members=2, generations=0, settings=FEW, command="sciml train x")
    weights = load_weights(path, kind="multigrid")
    assert weights.training["command"] == "sciml train x"
    assert weights.config == {"features": list(FEATURES), "members": 2}
    assert set(weights.training["grid_searched"]) == {"0.01", "0.0001", "1e-06", "all"}
    problem = poisson((32, 32), obstacles="walls")
    M = LearnedMultigrid(problem.A, weights=path)
    assert M._sweeps(0) in (1, 2)
    assert evaluate(problem, {"sweeps": M._sweeps(0)}, Rates()).shape == (3,)


def test_validation_is_time_relative_to_multigrid_as_it_comes():
    problems = [problem for _, problem in small_problems()]
    values = [validate(pack([settings]), problems) for settings in ({}, {"sweeps": 9})]
    assert values[0] == pytest.approx(1.0, rel=1e-12)
    assert values[1] > 1.2


def test_validation_looks_at_problems_that_training_does_not():
    for (_, seen), (_, unseen) in zip(
        training_problems(["porous"], [(16, 16)], 3),
        training_problems(["porous"], [(16, 16)], 3, UNSEEN),
        strict=True,
    ):
        assert not np.array_equal(seen.mask, unseen.mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "w.npz"}, "output is 'w.npz'"),
        ({"output": "w.safetensors", "problems": []}, "problems is empty"),
    ],
    ids=["suffix", "empty"],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_multigrid(**arguments)


# -- command line ------------------------------------------------------------------------------
def run(*arguments):
    from sciml.cli.app import app

    return CliRunner().invoke(app, ["train", "multigrid", *map(str, arguments)])


def test_the_command_trains_on_a_geometry_of_ones_own(tmp_path):
    solid = np.zeros((24, 24), bool)
    solid[12, :20] = True
    solid[3:5, 3:5] = True
    np.save(tmp_path / "mine.npy", solid)
    output = tmp_path / "w.safetensors"
    done = run("-o", output, "--mask", tmp_path / "mine.npy", "--generations", 0, "--members", 1)
    assert done.exit_code == 0, done.output
    assert output.exists()
    assert load_weights(output, kind="multigrid").training["problems"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shapes", "32xx"), "shapes holds '32xx'"),
        (("--families", "cats"), "family is 'cats'"),
        (("--mask", "no.npy"), "no.npy: no such file"),
    ],
    ids=["shape", "family", "mask"],
)
def test_errors_of_the_command_are_sentences(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = run("-o", tmp_path / "w.safetensors", *arguments)
    assert done.exit_code == 2
    assert message in done.output
