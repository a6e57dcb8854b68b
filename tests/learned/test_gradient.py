"""Gradient training: resume with the optimiser's state, clipping, divergence, two processes equal one."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml.learned.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from sciml.learned.gradient import GradientTraining, set_seed  # noqa: E402
from sciml.learned.schedules import Constant  # noqa: E402
from sciml.learned.training import fit, stream  # noqa: E402

from .processes import run_alone, run_on_two  # noqa: E402


def make(steps=12, **options):
    set_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def loss(index):
        x = torch.from_numpy(stream(0, index).normal(size=(16, 2)).astype(np.float32))
        return ((net(x) - x.sum(1, keepdim=True)) ** 2).mean()

    return net, GradientTraining(net, loss, steps=steps, lr=0.05, **options)


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).numpy()


def test_resumed_weights_equal_uninterrupted_ones(tmp_path):
    whole, trainable = make()
    fit(trainable, steps=12)
    path = tmp_path / "run.safetensors"
    _, first = make()
    fit(first, steps=12, checkpoint=path, callback=lambda done, _: done == 5)
    second, again = make()
    fit(again, steps=12, checkpoint=path)
    np.testing.assert_array_equal(flat(second), flat(whole))


@pytest.mark.parametrize(
    "change",
    [
        lambda content, kept: kept.update(exp_avg=np.zeros((3, 3), np.float32)),
        lambda content, kept: kept.pop("step"),
        lambda content, kept: content["state"]["module"].pop("0.weight"),
        lambda content, kept: content.update(best=3.0),
    ],
    ids=["shape", "step", "module", "best"],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change):
    path = tmp_path / "run.safetensors"
    fit(make()[1], steps=12, checkpoint=path, callback=lambda done, _: done == 5)
    content = load_checkpoint(path)
    kept = content["state"]["optimizer"]["state"][0]
    assert np.shape(kept["step"]) == ()  # a number does not come back as an array
    change(content, kept)
    save_checkpoint(path, content)
    with pytest.raises(ValueError, match=r"run\.safetensors: holds a state that does not fit"):
        fit(make()[1], steps=12, checkpoint=path)


def test_settings_of_the_optimiser_are_never_taken_from_a_file(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make()[1], steps=12, checkpoint=path, callback=lambda done, _: done == 5)
    content = load_checkpoint(path)
    content["state"]["optimizer"]["param_groups"][0].update(betas=[0.0, 0.0], weight_decay=1e9)
    save_checkpoint(path, content)
    found, again = make()
    fit(again, steps=12, checkpoint=path)
    whole, trainable = make()
    fit(trainable, steps=12)
    np.testing.assert_array_equal(flat(found), flat(whole))


def test_the_loss_falls():
    _, trainable = make(steps=150)
    history = fit(trainable, steps=150)
    assert history.loss[-1] < 0.1 * history.loss[0]
    assert max(history.metrics["rate"]) == pytest.approx(0.05, rel=1e-6)


def test_gradients_are_clipped():
    net, trainable = make(clip=1e-3, optimizer=torch.optim.SGD, schedule=Constant())
    before = flat(net)
    metrics = trainable.step(0)
    assert metrics["gradient"] > 1e-3
    assert np.linalg.norm(flat(net) - before) == pytest.approx(0.05 * 1e-3, rel=1e-3)


def test_a_step_that_is_not_finite_changes_nothing():
    net, trainable = make()
    before = flat(net)
    trainable.loss = lambda index: net(torch.full((1, 2), torch.nan)).sum()
    assert np.isnan(trainable.step(0)["loss"])
    np.testing.assert_array_equal(flat(net), before)


def test_bfloat16_trains():
    _, trainable = make(steps=150, precision="bfloat16")
    history = fit(trainable, steps=150)
    assert history.loss[-1] < 0.2 * history.loss[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 0.0}, "lr is 0.0; expected a positive number"),
        ({"lr": 1.0, "precision": "int8"}, "precision is"),
    ],
    ids=["lr", "precision"],
)
def test_bad_settings(options, sentence):
    net = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match=sentence):
        GradientTraining(net, lambda i: net(torch.ones(1)).sum(), steps=1, **options)


def test_two_processes_average_their_gradients(tmp_path):
    """Half batches on two processes make the step that the whole batch makes on one."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import torch
            from sciml.learned.gradient import GradientTraining, data_parallel, set_seed
            from sciml.learned.training import fit

            torch.set_num_threads(1)
            x = torch.linspace(-1, 1, 32)[:, None]
            with data_parallel() as (rank, size):
                set_seed(0)
                net = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
                part = x[rank::size]
                training = GradientTraining(
                    net, lambda i: ((net(part) - 2 * part) ** 2).mean(), steps=20, lr=0.05,
                    optimizer=torch.optim.SGD,
                )
                history = fit(training, steps=20, checkpoint=sys.argv[1])
                print(repr(history.loss[-1]))
            """
        )
    )
    one = run_alone(script, tmp_path / "one.safetensors")
    two = run_on_two(script, tmp_path / "two.safetensors")
    losses = [float(line) for line in two.split()]
    assert len(losses) == 2
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(float(one), rel=1e-5)
