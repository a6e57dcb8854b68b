"""The smoke plume, with less work than at its small size; claims come from measurements."""

import json

import numpy as np
import pytest


def test_smoke_plume(case, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pyamg")
    module = case("smoke_plume")
    runs = [module.Run((16, 32), 3, 4, 0.05), module.Run((10, 10, 12), 1, 2, 0.05)]
    monkeypatch.setattr(module, "RUNS", {"small": runs})
    files = {name: tmp_path / f"p.{name}" for name in ("png", "gif", "json")}
    still = tmp_path / "still.png"
    arguments = ["--plot", files["png"], "--gif", files["gif"], "--json", files["json"], "--still", still]
    content = module.main([*map(str, arguments), "--frames", "5"])
    rows = content["tables"]["pressure solves to 0.0001"]
    assert [row["method"] for row in rows] == [*module.METHODS] * 2
    assert all(row["failures"] == 0 for row in rows)
    assert all(0 < row["worst_divergence"] <= 1e-3 for row in rows)
    assert all(row["run_seconds"] > 0 for row in rows)
    assert len(content["claims"]) == 6
    assert all(c["holds"] for c in content["claims"] if "faster" not in c["name"])
    assert json.loads(files["json"].read_text())["case"] == "smoke_plume"
    image = pytest.importorskip("PIL.Image")
    with image.open(files["gif"]) as animation, image.open(still) as strip:
        assert animation.n_frames == 5
        assert np.asarray(strip).std() > 5  # not blank


def recorder(projection, kept):
    def project(*system):
        velocity, projected = projection(*system)
        kept.append(projected)
        return velocity, projected

    return project


def test_slow_methods_are_measured_in_every_kth_step_of_the_paper_size(case):
    module = case("smoke_plume")
    run = module.Run((12, 24), 0, 11, 0.05)
    model = module.smoke_plume(run.shape, dt=run.dt)
    paired = module.Paired(model.grid, 1e-4, thin_out=True)
    systems = {"cg": [], module.DRIVER: []}
    for name, kept in systems.items():
        paired.projections[name] = recorder(paired.projections[name], kept)
    for _ in module.simulate(run, model, paired, lambda text: None):
        pass
    counts = {name: len(solves) for name, solves in paired.measured.items()}
    assert counts[module.DRIVER] == 11
    assert all(counts[name] == -(-11 // method.every) for name, method in module.METHODS.items())
    # Paired: all methods saw the same right-hand side and the same guess.
    ours, others = systems[module.DRIVER][10], systems["cg"][1]
    assert np.array_equal(ours.b, others.b)
    assert np.array_equal(ours.x0, others.x0)
    assert np.array_equal(ours.A.cells, others.A.cells)
