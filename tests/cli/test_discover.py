"""`sciml discover`: snapshots in a file to a model error, and one line for everything that does not fit."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sciml.cli.app import app
from sciml.learned.medida import ModelError
from sciml.problems import ETDRK4, forecast, kuramoto_sivashinsky, lorenz63, random_phases, trajectory


def sciml(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """A file of 20 noisy pairs on 64 nodes."""
    rng = np.random.default_rng(0)
    equation = kuramoto_sivashinsky(64, 50.0)
    stepper = ETDRK4(equation, 0.05)
    u = forecast(stepper, random_phases(equation.grid, rng, batch=(20,)), 1000)
    v = forecast(stepper, u, 5)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    noise = 0.05 * rng.standard_normal((2, 20, 64))
    np.savez(path, before=u + noise[0], after=v + noise[1], window=0.25, noise=0.05)
    return path


def test_finds_saves_and_draws(snapshots, tmp_path):
    pytest.importorskip("matplotlib")
    saved, figure, record = tmp_path / "e.json", tmp_path / "e.png", tmp_path / "r.json"
    result = sciml(
        "discover", "ks", snapshots, "--set", "length=50", "--set", "diffusion=0.5", "--dt", 0.0125,
        "--save", saved, "--plot", figure, "--json", record,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "u_xx" in result.stdout
    found = ModelError.load(saved)
    assert found.names == ("u_xx",)
    assert found.coefficients[0] == pytest.approx(-0.5, abs=0.1)
    assert figure.stat().st_size > 3000
    assert json.loads(record.read_text())["tables"]["terms"][0]["term"] == "u_xx"


def test_lorenz(tmp_path):
    run = trajectory(lorenz63(0.001), np.array([1.0, 3.0, 20.0]), 20_000, 10)
    np.savez(tmp_path / "l.npz", before=run[:-1:20], after=run[1::20], window=0.01)
    result = sciml("discover", "lorenz63", tmp_path / "l.npz", "--set", "beta=0", "--dt", 0.01, "--noise", 0)
    assert result.exit_code == 0, result.output
    assert "z' = model - 2.669 z" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("navier", "{data}"), "unknown model 'navier'"),
        (("ks", "missing.npz"), "no such file"),
        (("ks", "{data}", "--set", "viscosity=1"), "expected NAME=NUMBER"),
        (("ks", "{data}", "--set", "length=long"), "expected a number"),
        (("ks", "{data}", "--noise", "loud"), "expected a standard deviation"),
        (("ks", "{data}", "--dt", "0.1"), "2.5 time steps"),
        (("lorenz63", "{data}"), "lorenz63 expects (3,)"),
        (("kolmogorov", "{data}"), "kolmogorov expects (n, n)"),
        (("ks", "{data}", "--assimilation", "letkf"), "times"),
        (("ks", "{data}", "--plot", "x.docx"), "cannot write"),
    ],
)
def test_one_line_errors(arguments, message, snapshots):
    result = sciml("discover", *(a.format(data=snapshots) for a in arguments))
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"before": np.ones((4, 8))}, "holds no array 'after'"),
        ({"before": np.ones((4, 8)), "after": np.ones((4, 8))}, "holds no number 'window'"),
        ({"before": np.full((4, 8), np.nan), "after": np.ones((4, 8)), "window": 0.1}, "not finite"),
        ({"before": np.ones((4, 9)), "after": np.ones((4, 8)), "window": 0.1}, "before has shape"),
    ],
)
def test_files_that_do_not_fit(arrays, message, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays)
    result = sciml("discover", "ks", tmp_path / "bad.npz")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "bad.npz" in result.stderr
