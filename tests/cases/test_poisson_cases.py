"""The Poisson cases run at their smallest size, and their claims are computed from what was measured."""

import argparse
import json
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "cases"


def test_order_of_convergence(case, tmp_path):
    pytest.importorskip("matplotlib")
    png, record = tmp_path / "o.png", tmp_path / "o.json"
    content = case("poisson_order").main(["--size", "small", "--plot", str(png), "--json", str(record)])
    assert len(content["tables"]["orders"]) == 120
    assert all(claim["holds"] for claim in content["claims"])
    assert len(content["claims"]) == 2
    assert json.loads(record.read_text())["case"] == "poisson_order"
    assert png.stat().st_size > 5000


@pytest.mark.parametrize("method", ["cg+multigrid", "textbook V(1,1)", "cg+amg-sa", "cg+amg-rs"])
def test_a_row_of_the_scaling_study(case, method):
    if "amg" in method:
        pytest.importorskip("pyamg")
    row = case("poisson_scaling").measure((20, 20, 20), "porous", method, 0)
    assert row["status"] == "converged"
    assert row["relative_residual"] <= 1e-6
    assert row["unknowns"] < 8000
    assert row["peak_GiB"] > 0.01
    if "amg" not in method:
        assert row["bandwidth_share"] > 0
        assert row["cycle_ms"] > 0


def test_rows_come_from_their_own_process(case):
    scaling = case("poisson_scaling")
    row = scaling.in_fresh_process((16, 16), None, "cg+multigrid", 0)
    assert row["status"] == "converged"
    failed = scaling.in_fresh_process((16, 16), "stones", "cg+multigrid", 0)
    assert failed["status"] == "failed"
    assert "obstacles is 'stones'" in failed["reason"]


def row(grid, obstacles, method, **values):
    defaults = {
        "unknowns": 2e6, "iterations": 9, "status": "converged", "setup_seconds": 0.1, "solve_seconds": 0.1,
        "ns_per_unknown": 100.0, "peak_GiB": 9.0, "bandwidth_share": 0.6, "setup_cycles": 3.0,
    }  # fmt: skip
    return {"grid": grid, "obstacles": obstacles, "method": method, **defaults, **values}


GRIDS = ["64x64x64", "128x128x128", "256x256x256", "512x512x512"]


def study(**worse):
    rows = [row(g, "none", "cg+multigrid", **(worse if g == GRIDS[-1] else {})) for g in GRIDS]
    for geometry in ("walls", "porous"):
        rows += [row(g, geometry, "cg+multigrid") for g in GRIDS[:3]]
        rows += [row(g, geometry, "cg+amg-sa", setup_seconds=7.0) for g in GRIDS[:3]]
    return rows


def claims_of(case, rows):
    scaling, common = case("poisson_scaling"), case("_common")
    collected = common.Case("x", argparse.Namespace(json=None, plot=None, size="paper", seed=0))
    scaling.claims(collected, rows)
    return {claim["name"]: claim["holds"] for claim in collected.claims}


def test_claims_hold_for_a_study_that_meets_them(case):
    made = claims_of(case, study())
    assert len(made) == 16
    assert all(made.values())


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"iterations": 12}, "more iterations at 512x512x512 than at 64x64x64"),
        ({"ns_per_unknown": 151.0}, "time per unknown at 512x512x512 over 128x128x128"),
        ({"peak_GiB": 10.1}, "peak memory at 512x512x512 in GiB"),
        ({"setup_cycles": 4.5}, "set-up in V-cycles, largest"),
        ({"status": "maxiter"}, "rows of cg+multigrid above the tolerance"),
    ],
)
def test_claims_fail_one_by_one(case, worse, name):
    made = claims_of(case, study(**worse))
    assert [claim for claim, holds in made.items() if not holds] == [name]


def test_failed_rows_make_no_claims_but_break_the_first(case):
    rows = study()
    rows[0] = {
        "grid": GRIDS[0],
        "obstacles": "none",
        "method": "cg+multigrid",
        "status": "failed",
        "reason": "x",
    }
    assert not claims_of(case, rows)["rows of cg+multigrid above the tolerance"]


def test_scaling_figure(case):
    pytest.importorskip("matplotlib")
    drawing = case("poisson_scaling").figure(study())
    assert len(drawing.axes) == 2
