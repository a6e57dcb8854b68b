"""Every command that writes says so before it works, where it cannot: no folder, no permission, no room."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from sciml.cli.app import app

COMMANDS = {
    "solve-json": "solve poisson --shape 8 8 --json {}.json",
    "solve-plot": "solve poisson --shape 8 8 --plot {}.png",
    "compare-json": "compare poisson --shape 8 8 --json {}.json",
    "compare-plot": "compare poisson --shape 8 8 --plot {}.png",
    "discover-json": "discover lorenz63 pairs.npz --json {}.json",
    "discover-save": "discover lorenz63 pairs.npz --save {}.json",
    "discover-plot": "discover lorenz63 pairs.npz --plot {}.png",
    "mri-import": "mri import scan.h5 -o {}.npz",
    "train-dcd": "train dcd --shape 8 8 -o {}.safetensors",
    "train-dcd-checkpoint": "train dcd --shape 8 8 -o {}-w.safetensors --checkpoint {}.safetensors",
    "train-multigrid": "train multigrid --shapes 8x8 -o {}.safetensors",
    "train-pinn": "train pinn heat --steps 1 -o {}.safetensors",
    "train-pinn-plot": "train pinn heat --steps 1 -o {}-w.safetensors --plot {}.png",
    "train-rim": "train rim -o {}.safetensors",
}


@pytest.fixture(autouse=True)
def no_work(monkeypatch, tmp_path):
    """Whatever takes time fails the test."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "pairs.npz", before=np.ones((4, 3)), after=np.ones((4, 3)), window=0.1)

    def work(*arguments, **options):
        raise AssertionError("work began")

    monkeypatch.setattr("sciml.cli.run.System.build", work)
    monkeypatch.setattr("sciml.cli.discover._snapshots", work)
    monkeypatch.setattr("sciml.cli.mri._read", work)
    pytest.importorskip("torch")
    monkeypatch.setattr("sciml.learned.training._Run.advance", work)
    monkeypatch.setattr("sciml.learned.multigrid.train.training_problems", work)
    monkeypatch.setattr("sciml.problems.mri.load_slices", work)


def nowhere(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "out"  # even for a superuser, and for commands that make folders


@contextmanager
def no_room():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def refused(command, stem):
    result = CliRunner().invoke(app, COMMANDS[command].replace("{}", str(stem)).split())
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2
    assert len(lines) == 1
    assert str(stem) in lines[0]
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_none(tmp_path, command):
    line = refused(command, nowhere(tmp_path))
    assert "no such folder" in line or "Not a directory" in line or "File exists" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(tmp_path, command):
    with no_room():
        line = refused(command, tmp_path / "out")
    assert "File too large" in line
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
