"""Training: it solves, resumes exactly, survives divergence, keeps the best, and says what does not fit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml.cli import main  # noqa: E402
from sciml.learned import TrainingWarning, load, load_weights  # noqa: E402
from sciml.learned.pinn import PROBLEMS, Field, Problem, train_pinn  # noqa: E402
from sciml.learned.pinn.optimizers import Adam, LevenbergMarquardt  # noqa: E402
from sciml.learned.pinn.samplers import Uniform  # noqa: E402

SMALL = {"sampler": "uniform", "points": 300, "held_out": 200}


def train(name="heat", hidden=(8,), problem=None, **settings):
    problem = PROBLEMS[name]() if problem is None else problem
    field = Field(problem, hidden=hidden)
    return train_pinn(problem, field=field, **{**SMALL, **settings})


def theta(field):
    return field.net.theta.detach().numpy().copy()


@pytest.mark.parametrize(("name", "target"), [("poisson", 1e-5), ("heat", 1e-4), ("boundary_layer", 5e-2)])
def test_problems_are_solved(name, target, rng):
    field, _ = train(name, hidden=(12, 12), optimizer="lm", steps=40, points=800, resample=20)
    assert field.error(field.problem.domain.sample(500, rng))["relative"] < target


def test_soft_conditions_are_learned(rng):
    field, _ = train("l_shape", hidden=(12, 12), optimizer="lm", steps=30, points=600)
    assert field.error(field.problem.domain.sample(500, rng))["relative"] < 0.02


def test_the_same_seed_gives_the_same_field():
    first, second, other = (theta(train(optimizer="adam+lm", steps=(4, 2), seed=s)[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_optimisers_can_be_used_again():
    """They keep nothing of a run: neither its parameters nor its damping."""
    optimizers = [Adam(), LevenbergMarquardt()]
    first, second = (theta(train(optimizer=optimizers, steps=(4, 3))[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_phases_run_in_turn_with_their_own_settings():
    seen = []

    class Spy(Uniform):
        def sample(self, residual, n, rng):
            seen.append(n)
            return super().sample(residual, n, rng)

    problem = PROBLEMS["heat"]()
    _, history = train(
        problem=problem, sampler=Spy(problem.domain), optimizer=("adam", LevenbergMarquardt()), steps=(6, 4),
        points=(30, 40), resample=(2, 3), held_out=20,
    )  # fmt: skip
    assert seen == [10, 30, 30, 30, 40, 40]  # the first for the held-out points
    assert history.steps == 10
    assert len(history.metrics["damping"]) == 4


def test_the_best_iterate_on_held_out_points_is_returned():
    """On a handful of points the loss falls and falls while the field gets worse."""
    iterates = {}
    problem = PROBLEMS["heat"]()
    field = Field(problem, hidden=(8,))
    field, history = train_pinn(
        problem, field=field, sampler="uniform", optimizer="lm", points=15, resample=1000, steps=30,
        held_out=200, validate_every=1, callback=lambda n, m: iterates.update({n: theta(field)}),
    )  # fmt: skip
    values = dict(history.validation)
    step, best = history.best
    assert best == min(values.values())
    assert best < 0.5 * values[30]
    np.testing.assert_array_equal(theta(field), iterates[step])


def test_time_limit_ends_the_run():
    _, history = train(optimizer="adam", steps=100_000, core_seconds=0.05)
    assert history.steps < 100_000
    assert history.stopped == "callback"


# -- divergence ---------------------------------------------------------------------------------
def test_a_growing_loss_ends_the_run_and_the_best_iterate_is_kept(rng):
    with pytest.warns(TrainingWarning, match="became inf after"):
        field, history = train(optimizer=Adam(lr=1e3), steps=200, validate_every=1)
    assert history.stopped == "diverged"
    assert history.steps < 200
    assert np.isfinite(theta(field)).all()
    assert torch.isfinite(field(field.problem.domain.sample(10, rng))).all()


def test_a_residual_that_turns_nan_ends_the_run():
    """It is finite for the zero field, and NaN wherever the field rises above 0.05."""
    problem = Problem(
        "trap", PROBLEMS["heat"]().domain,
        lambda x, u: u.laplacian + 5 + 0 * torch.log(0.05 - u.value),
        lift=lambda x, N: (1 - x[:, 0] ** 2) * N,
    )  # fmt: skip
    with pytest.warns(TrainingWarning, match="became nan"):
        field, history = train(problem=problem, optimizer=Adam(lr=0.1), steps=300, validate_every=1)
    assert history.stopped == "diverged"
    assert np.isfinite(theta(field)).all()


# -- resume -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("optimizer", "sampler"), [("adam+lm", "r3"), ("lbfgs+ssbroyden", "rad")])
def test_a_run_stopped_anywhere_ends_as_an_uninterrupted_one(tmp_path, optimizer, sampler):
    settings = {
        "optimizer": optimizer,
        "sampler": sampler,
        "steps": (5, 5),
        "resample": (3, 2),
        "validate_every": 2,
    }
    whole = train(**settings)[0]
    for stop in (2, 6):
        path = tmp_path / f"{stop}.safetensors"
        train(**settings, checkpoint=path, callback=lambda n, m, stop=stop: n == stop)
        field, history = train(**settings, checkpoint=path)
        assert history.steps == 10
        np.testing.assert_array_equal(theta(field), theta(whole))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train(optimizer="adam", steps=2, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to a run with phases"):
        train(optimizer=Adam(lr=1e-4), steps=2, checkpoint=path)


# -- what does not fit --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"sampler": "grid"}, ValueError, "sampler is 'grid'; expected one of uniform"),
        ({"sampler": 3}, TypeError, "sampler is a int"),
        ({"optimizer": "adam+newton"}, ValueError, "optimizer is 'newton'; expected adam"),
        ({"optimizer": ()}, TypeError, "expected names or optimisers"),
        ({"steps": (1, 2, 3)}, ValueError, "steps has 3 numbers for 2"),
        ({"points": 0}, ValueError, "points is 0"),
        ({"resample": (5, 0.5)}, ValueError, r"resample is \(5, 0.5\)"),
        ({"held_out": 1}, ValueError, "held_out is 1"),
        ({"field": Field(PROBLEMS["wave"]())}, ValueError, "field belongs to 'wave'"),
        ({"optimiser": "lm"}, TypeError, "optimiser"),
    ],
)
def test_settings_that_do_not_fit(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        train_pinn(PROBLEMS["heat"](), **settings)


# -- the command --------------------------------------------------------------------------------
def run_command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", "pinn", *map(str, arguments)])
    return ended.value.code


def test_command_writes_weights_and_a_figure(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    output, plot = tmp_path / "field.safetensors", tmp_path / "field.png"
    code = run_command(
        "poisson", "--set", "dimension=1", "--sampler", "uniform", "--optimizer", "adam+lm", "--steps", "5,8",
        "--points", 200, "--hidden", "8,8", "-o", output, "--plot", plot,
    )  # fmt: skip
    assert code == 0
    assert "13 steps" in capsys.readouterr().out
    field = load(output)
    assert field.problem.dimension == 1
    assert field.error(field.problem.domain.sample(100, np.random.default_rng(0)))["relative"] < 1e-2
    assert load_weights(output).training["seed"] == 0
    assert json.loads(json.dumps(load_weights(output).config))["problem"] == "poisson"
    assert plot.stat().st_size > 5000
    assert (tmp_path / "field.checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing",), "problem is 'nothing'; expected one of one_peak"),
        (("heat", "--set", "diffusivity"), "--set holds 'diffusivity'; expected NAME=NUMBER"),
        (("heat", "--steps", "many"), "--steps is 'many'; expected integers"),
        (("heat", "-o", "field.npz"), "expected a name ending in .safetensors"),
        (("heat", "--sampler", "grid"), "sampler is 'grid'"),
    ],
)
def test_command_says_what_is_wrong(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(*arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


def test_math_is_finite_in_every_problem_at_the_start():
    for name, make in PROBLEMS.items():
        problem = make()
        x = problem.domain.sample(50, np.random.default_rng(0))
        assert math.isfinite(float(problem.zero_residual(x).abs().max())), name
