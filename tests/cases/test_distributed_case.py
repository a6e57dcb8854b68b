"""The distributed case: with MPI one row of it, and the model everywhere."""

import importlib.util
import shutil

import pytest


def test_model_on_a_cluster(case, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(shutil, "which", lambda name: None)  # as where there is no MPI
    figure = tmp_path / "d.png"
    content = case("distributed_poisson").main(["--plot", str(figure)])
    (rows,) = content["tables"].values()
    assert rows[-1]["ranks"] == 10_000
    assert rows[-1]["unknowns"] > 1e10
    for row in rows:
        parts = row["grid_ms"] + row["coarse_ms"] + row["whole_ms"] + row["network_ms"]
        assert row["iteration_ms"] == pytest.approx(parts)
    assert content["claims"] == []
    assert figure.stat().st_size > 5000


@pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or shutil.which("mpiexec") is None, reason="no MPI here"
)
def test_a_row_agrees_with_the_model(case):
    study = case("distributed_poisson")
    row = study.job(2, shape=(32, 32, 32), method="cg+multigrid", seed=0, reference=None)
    assert row["status"] == "converged", row
    (compared,) = study.model_rows([row], (32, 32, 32))
    assert compared["messages"] == pytest.approx(compared["model_messages"], abs=2)  # the gathering
    assert compared["sent_KiB"] == pytest.approx(compared["model_sent_KiB"], rel=0.3)
