"""Training: the loss, resume after a kill, progress on a small box, the command."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml import CallableOperator, PoissonOperator, cg  # noqa: E402
from sciml.cli import main  # noqa: E402
from sciml.learned import load, load_weights  # noqa: E402
from sciml.learned.dcd import (  # noqa: E402
    BoxModes,
    DCDNetwork,
    dcd,
    direction_loss,
    ritz_vectors,
    train_dcd,
)
from sciml.learned.dcd.replay import LOSSES, Replay  # noqa: E402
from sciml.learned.dcd.train import torch_operator  # noqa: E402
from sciml.learned.training import stream  # noqa: E402
from sciml.problems import poisson  # noqa: E402

from ..processes import run_on_two  # noqa: E402

TINY = {"channels": 2, "levels": 1, "before": 2, "bottom": 1, "after": 1, "gain": 4.0}


def box(shape=(8, 8)):
    return poisson(shape, bc="open-top").A


def weights(network):
    return {name: value.numpy().copy() for name, value in network.net.state_dict().items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# -- the loss -----------------------------------------------------------------------------------
def pair(seed, batch=3):
    A = torch_operator(PoissonOperator((6, 5)))
    rng = np.random.default_rng(seed)
    y, e = (torch.from_numpy(rng.standard_normal((batch, 6, 5)).astype(np.float32)) for _ in range(2))
    return A, torch.stack([A(v) for v in e]), y, e


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), factor=st.sampled_from([-1e3, -1.0, 1e-4, 7.0, 1e5]))
@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_does_not_see_the_scale_of_the_output(kind, seed, factor):
    A, r, y, e = pair(seed)
    expected = float(direction_loss(A, r, y, e, kind))
    assert float(direction_loss(A, r, factor * y, e, kind)) == pytest.approx(expected, rel=1e-4)
    assert float(direction_loss(A, 10 * r, y, 10 * e, kind)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_of_the_solution_is_zero(kind):
    A, r, _, e = pair(0)
    assert float(direction_loss(A, r, e, e, kind)) == pytest.approx(0.0, abs=1e-5)


def test_the_losses_are_what_their_formulas_say():
    A, r, y, e = pair(1, batch=1)
    r, y, e = (v[0].double().numpy() for v in (r, y, e))
    dense = PoissonOperator((6, 5))
    alpha = np.sum(y * r) / np.sum(y * dense(y))
    left = e - alpha * y
    torch_args = [torch.from_numpy(v[None].astype(np.float32)) for v in (r, y, e)]
    residual, energy = (float(direction_loss(A, *torch_args, kind)) for kind in ("residual", "energy"))
    assert residual == pytest.approx(np.sum(dense(left) ** 2) / np.sum(r**2), rel=1e-4)
    assert energy == pytest.approx(np.sum(left * dense(left)) / np.sum(e * r), rel=1e-4)


def test_the_loss_of_a_grid_equals_that_of_its_matrix():
    grid = PoissonOperator((6, 5))
    _, r, y, e = pair(2)
    values = [float(direction_loss(torch_operator(A), r, y, e, "energy")) for A in (grid, as_matrix(grid))]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def as_matrix(A):
    from sciml import as_operator

    return as_operator(A.tocsr(), {"symmetric", "positive_definite"})


def test_energy_needs_the_error():
    A, r, y, _ = pair(0)
    with pytest.raises(TypeError, match="needs the errors"):
        direction_loss(A, r, y, kind="energy")
    with pytest.raises(ValueError, match="loss is 'log'"):
        direction_loss(A, r, y, kind="log")


def test_the_pool_advances_systems_as_the_solver_does():
    """Followed without ever being replaced, a system has the energies that `dcd` has."""
    A = box()
    network = DCDNetwork.untrained("linear", (8, 8), seed=1)
    system = torch_operator(A)
    pool = Replay(system, BoxModes(A), stream(0, 0), size=1, depth=10**9, device="cpu")
    x = pool.errors[0].double().numpy().copy()
    shares = [float(pool.loss(network.net, stream(0, i), 1, "energy").detach()) for i in range(6)]
    energies = [1.0]

    def note(state):
        e = x - state.x
        energies.append(np.sum(e * A(e)) / np.sum(x * A(x)))

    dcd(A, A(x), network, rtol=0.0, maxiter=6, callback=note)
    np.testing.assert_allclose(np.cumprod(shares), energies[1:], rtol=2e-3)


def test_cells_without_an_unknown_stay_out_of_the_training(tmp_path):
    solid = np.zeros((8, 8), dtype=bool)
    solid[2:5, 3:6] = True
    A = PoissonOperator((8, 8), cells=solid)
    data = ritz_vectors(A, tmp_path / "modes", steps=30)
    pool = Replay(torch_operator(A), data, stream(0, 0), size=4, depth=100, device="cpu")
    network = DCDNetwork.untrained("small", (8, 8))
    for i in range(4):
        share = float(pool.loss(network.net, stream(0, i), 4, "energy").detach())
        assert 0.0 <= share <= 1.0
    assert bool((pool.errors[:, torch.from_numpy(solid)] == 0).all())
    _, history = train_dcd(A, data, architecture=TINY, steps=2, batch=2)
    assert np.all(np.isfinite(history.loss))


def test_a_depth_of_one_is_fresh_data_only():
    A = box()
    pool = Replay(torch_operator(A), BoxModes(A), stream(0, 0), size=8, depth=1, device="cpu")
    network = DCDNetwork.untrained("linear", (8, 8))
    first = float(pool.loss(network.net, stream(0, 1), 4, "residual").detach())
    again = float(pool.loss(network.net, stream(0, 1), 4, "residual").detach())
    assert first == again  # the same draw, whatever the pool holds


# -- training -----------------------------------------------------------------------------------
def train(**options):
    settings = {"architecture": TINY, "steps": 10, "batch": 2, "validate_every": 3, "seed": 5}
    return train_dcd(box(), **{**settings, **options})


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def whole():
    return train()


@pytest.mark.parametrize("killed_at", np.random.default_rng(7).choice(np.arange(1, 10), 3, replace=False))
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(killed_at, whole, tmp_path):
    path = tmp_path / "run.safetensors"

    def kill(done, metrics):
        if done == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(checkpoint=path, checkpoint_every=0, callback=kill)
    network, history = train(checkpoint=path)
    assert_equal(weights(network), weights(whole[0]))
    assert history.loss == whole[1].loss
    assert history.validation == whole[1].validation


def test_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train(steps=1, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to a run with depth = 16, but this one has 2"):
        train(steps=1, checkpoint=path, depth=2)
    with pytest.raises(ValueError, match="belongs to a run with operator ="):
        train_dcd(PoissonOperator((8, 8)), architecture=TINY, steps=1, batch=2, seed=5, checkpoint=path)


def test_training_makes_a_network_that_beats_conjugate_gradients():
    A = box((16, 16))
    network, history = train_dcd(A, architecture="linear", steps=200, seed=1)
    assert history.best[1] < 0.75
    problem = poisson((16, 16), bc="open-top", seed=3)
    iterations = dcd(problem.A, problem.b, network, rtol=1e-4).iterations
    assert iterations <= 0.5 * cg(problem.A, problem.b, rtol=1e-4).iterations


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "residual", "depth": 1},
        {"precision": "bfloat16"},
        {"architecture": "dcd-64"},
        {"data": BoxModes(box(), law="lowest")},
    ],
    ids=["published", "bfloat16", "dcd-64", "lowest"],
)
def test_every_recipe_runs(options):
    _, history = train(steps=3, **options)
    assert np.all(np.isfinite(history.loss))
    assert history.stopped == "completed"


def test_a_matrix_is_trained_on():
    network, history = train_dcd(
        as_matrix(box()), BoxModes(box()), architecture=TINY, steps=2, batch=2, seed=5, validate_every=2
    )
    np.testing.assert_allclose(history.loss, train(steps=2)[1].loss, rtol=1e-4)
    assert network.in_shape == (8, 8)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"batch": 0}, ValueError, "batch is 0; expected a positive integer"),
        ({"depth": 1.5}, ValueError, r"depth is 1\.5"),
        ({"loss": "energie"}, ValueError, "loss is 'energie'; expected one of energy, residual"),
        ({"steps": 0}, ValueError, "steps is 0"),
        ({"architecture": "big"}, ValueError, "architecture is 'big'"),
        ({"data": BoxModes(box((6, 6)))}, ValueError, r"data has shape \(6, 6\); expected 64 values"),
        ({"precision": "float16"}, ValueError, "precision is 'float16'"),
    ],
    ids=["batch", "depth", "loss", "steps", "architecture", "data", "precision"],
)
def test_bad_options(options, error, sentence):
    with pytest.raises(error, match=sentence):
        train(**options)


def test_an_operator_without_entries_is_refused():
    twice = CallableOperator(lambda x: 2 * x, (8, 8), properties={"symmetric", "linear"})
    with pytest.raises(TypeError, match="A is a CallableOperator; expected a PoissonOperator or a matrix"):
        train_dcd(twice, BoxModes(box()), steps=1)


# -- the command --------------------------------------------------------------------------------
@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``sciml train dcd`` in this process; returns exit code, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sciml", "train", "dcd", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main(sys.argv[1:])
        return ended.value.code, *capsys.readouterr()

    return call


def test_the_command_writes_weights_that_say_how_they_were_made(command, tmp_path):
    path = tmp_path / "net.safetensors"
    options = ["--shape", 8, 8, "--steps", 2, "--batch", 2, "--architecture", "linear"]
    code, out, err = command("-o", path, *options)
    assert code == 0, err
    assert "of an unseen residual" in " ".join(out.split())  # however wide the terminal
    training = load_weights(path, kind="dcd").training
    assert training["command"].startswith("sciml train dcd -o ")
    assert "--steps 2" in training["command"]
    assert training["steps"] == 2
    assert load(path).in_shape == (8, 8)
    assert path.with_suffix(".checkpoint.safetensors").exists()


def test_the_command_trains_on_ritz_vectors(command, tmp_path):
    modes = ["--modes", tmp_path / "modes", "--lanczos", 20, "--law", "lowest"]
    code, _, err = command("-o", tmp_path / "net.safetensors", "--shape", 8, 8, "--steps", 1, *modes)
    assert code == 0, err
    assert (tmp_path / "modes" / "vectors.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "net.pt", "--shape", "8", "8"], "--output is net.pt; expected a name ending in .safetensors"),
        (["-o", "n.safetensors", "--shape", "8"], "shape is"),
        (["-o", "n.safetensors", "--shape", "8", "8", "--architecture", "big"], "architecture is 'big'"),
    ],
    ids=["suffix", "shape", "architecture"],
)
def test_the_command_reports_bad_arguments_in_one_line(command, arguments, sentence):
    code, _, err = command(*arguments)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_two_processes_train_one_network(tmp_path):
    path = tmp_path / "net.safetensors"
    command = ["-m", "sciml", "train", "dcd", "-o", path]
    run_on_two(*command, "--shape", 8, 8, "--steps", 3, "--batch", 2)
    assert load_weights(path).training["steps"] == 3
