"""Running: every solve is a row, failed ones too; a killed study goes on and ends with the same rows."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import sciml.study.run as running
from sciml.study import Plan, read_rows, run_study

pytest.importorskip("matplotlib")

CONFIG = {
    "name": "small",
    "problems": [
        {"kind": "poisson", "rhs": "manufactured", "sizes": [[12, 12], [16, 16]]},
        {"kind": "poisson", "obstacles": "balls", "sizes": [[12, 12]]},
    ],
    "seeds": [0, 1],
    "solvers": ["cg", "fft", {"method": "sor", "omega": 1.5}],
    "maxiter": 80,
    "rtol": 1e-8,
}
ONE_SYSTEM = {
    "problems": [{"kind": "poisson"}],
    "sizes": [[12, 12]],
    "seeds": [0, 1, 2],
    "solvers": ["cg", "sor"],
}
MEASURED = ("setup_seconds", "solve_seconds", "total_seconds", "peak_memory_growth_bytes", "session")


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run_study(CONFIG, folder)


def test_one_row_for_every_solve_in_the_order_of_the_plan(study):
    _, rows = study
    keys = [(row["problem"], row["size"], row["seed"], row["solver"]) for row in rows]
    assert keys == [point.key for point in Plan.from_dict(CONFIG).points()]


def test_failed_solves_are_rows_with_status_and_reason(study):
    _, rows = study
    status = {(row["problem"], row["size"], row["solver"]): row["status"] for row in rows}
    assert status == {
        ("poisson", "12x12", "cg"): "CONVERGED",
        ("poisson", "12x12", "fft"): "CONVERGED",
        ("poisson", "12x12", "sor (omega = 1.5)"): "CONVERGED",
        ("poisson", "16x16", "cg"): "CONVERGED",
        ("poisson", "16x16", "fft"): "CONVERGED",
        ("poisson", "16x16", "sor (omega = 1.5)"): "MAXITER",
        ("poisson balls", "12x12", "cg"): "CONVERGED",
        ("poisson balls", "12x12", "fft"): "ERROR",
        ("poisson balls", "12x12", "sor (omega = 1.5)"): "MAXITER",
    }
    reasons = {row["status"]: row["reason"] for row in rows}
    assert reasons["CONVERGED"] is None
    assert reasons["MAXITER"] == "reached maxiter before the tolerance"
    assert reasons["ERROR"].startswith("ValueError: A has obstacles")


def test_rows_hold_what_was_measured(study):
    _, rows = study
    row = rows[0]
    assert row["relative_residual"] <= 1e-8
    assert len(row["history"]) == row["iterations"] + 1
    assert 0 < row["error"] < 0.1
    assert row["unknowns"] == 144
    assert row["total_seconds"] == pytest.approx(row["setup_seconds"] + row["solve_seconds"])


def test_csv_and_record_agree_with_the_rows(study):
    folder, rows = study
    with (folder / "rows.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["status"] for line in lines] == [row["status"] for row in rows]
    assert float(lines[0]["relative_residual"]) == rows[0]["relative_residual"]
    content = json.loads((folder / "study.json").read_text())
    assert {"case", "size", "seed", "environment", "tables", "claims"} <= set(content)
    assert content["planned"] == len(content["tables"]["rows"]) == len(rows)
    held = {claim["name"]: claim["holds"] for claim in content["claims"]}
    assert held["cg on poisson: solves of 4 that did not converge"]
    assert not held["fft on poisson balls: solves of 2 that did not converge"]


def test_a_finished_study_solves_nothing_again(study, monkeypatch):
    folder, rows = study
    monkeypatch.setattr(running, "run_method", lambda *a, **k: pytest.fail("solved again"))
    before = (folder / "rows.jsonl").read_bytes()
    assert run_study(CONFIG, folder) == rows
    assert (folder / "rows.jsonl").read_bytes() == before


def test_ctrl_c_keeps_the_rows_writes_the_page_and_goes_on(tmp_path, monkeypatch):
    real, solves = running.run_method, []

    def interrupted(*arguments, **settings):
        solves.append(1)
        if len(solves) == 4:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr(running, "run_method", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(ONE_SYSTEM, tmp_path)
    kept = read_rows(tmp_path / "rows.jsonl")
    assert len(kept) == 3
    assert "3 solves of 6 are missing" in (tmp_path / "report.html").read_text()
    told = []
    rows = run_study(ONE_SYSTEM, tmp_path, progress=told.append)
    assert told[1:3] == ["4 of 6: poisson 12x12 seed 1: building", "4 of 6: poisson 12x12 seed 1: sor"]
    assert rows[:3] == kept
    assert [row["session"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert "missing" not in (tmp_path / "report.html").read_text()


SCRIPT = "import sys; from sciml.cli import main; main(['study', sys.argv[1], '-o', sys.argv[2]])"
STUDY = """
problems = [{kind = "poisson"}]
sizes = [[12, 12]]
seeds = [0, 1, 2, 3, 4, 5]
solvers = ["cg", "sor"]
maxiter = 60
"""


def test_killed_again_and_again_loses_at_most_the_row_at_hand(tmp_path, monkeypatch):
    """SIGKILL as soon as some more rows are on disk, twice; then the study is completed."""
    config, journal = tmp_path / "study.toml", tmp_path / "out" / "rows.jsonl"
    config.write_text(STUDY)
    seen, kills = b"", 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(config), str(journal.parent)])
        while process.poll() is None and kills < 2:
            if journal.exists() and journal.read_bytes().count(b'{"row"') > 4 * kills:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.0005)
        process.wait()
        content = journal.read_bytes()
        whole = content[: content.rindex(b"\n") + 1]
        assert whole.startswith(seen)  # what was on disk before is untouched
        seen = whole
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
    assert kills == 2
    assert process.returncode == 1  # some solves of this study do not converge
    rows = read_rows(journal)
    assert [(r["problem"], r["size"], r["seed"], r["solver"]) for r in rows] == [
        point.key for point in Plan.from_toml(config).points()
    ]
    monkeypatch.setattr(running, "write_reports", lambda *a: None)
    assert without_times(rows) == without_times(run_study(config, tmp_path / "at once"))


def test_a_system_that_cannot_be_built_is_rows_too(tmp_path, monkeypatch):
    plan = Plan.from_dict({"problems": [{"kind": "poisson"}], "sizes": [[8, 8]], "solvers": ["cg", "sor"]})

    def fails(self, size, seed):
        raise MemoryError("80 GiB")

    monkeypatch.setattr(type(plan.problems[0]), "build", fails)
    monkeypatch.setattr(running, "warm_up", lambda *a: 0.0)
    monkeypatch.setattr(type(plan.problems[0]), "small", lambda self, size: None)
    rows = run_study(plan, tmp_path)
    assert [row["reason"] for row in rows] == ["MemoryError: 80 GiB"] * 2
    assert "MemoryError: 80 GiB" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("key", ["problem", "size", "seed", "solver", "status", "session"])
def test_a_row_without_what_every_row_has_is_an_error_that_names_it(key, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "write_reports", lambda *a: None)
    plan = ONE_SYSTEM | {"seeds": [0], "solvers": ["cg"]}
    run_study(plan, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    number = next(at for at, line in enumerate(lines) if "row" in line)
    del lines[number]["row"][key]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"rows.jsonl: row 1 is damaged"):
        run_study(plan, tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "run_method", lambda *a, **k: pytest.fail("worked first"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run_study(CONFIG, tmp_path / "file" / "out")


def test_torch_problems(tmp_path):
    pytest.importorskip("torch")
    config = {"problems": [{"kind": "poisson", "backend": "torch"}], "sizes": [[8, 8]], "solvers": ["cg"]}
    assert run_study(config, tmp_path)[0]["status"] == "CONVERGED"
