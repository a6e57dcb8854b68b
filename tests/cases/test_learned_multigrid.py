"""The learned multigrid case at a tiny size: rows are kept, and claims follow from them."""

import json

import pytest


def test_rows_are_kept_and_taken_up(case, tmp_path):
    pytest.importorskip("pyamg")
    pytest.importorskip("matplotlib")
    study = case("learned_multigrid")
    rows, png = tmp_path / "rows.jsonl", tmp_path / "f.png"
    arguments = ["--shapes", "20x20", "--families", "walls,jump squares", "--seeds", "2", "--rows", str(rows)]
    first = study.main([*arguments, "--plot", str(png)])
    kept = rows.read_text()
    again = study.main(arguments)
    assert rows.read_text() == kept
    assert again["tables"] == first["tables"]
    assert str(rows) not in again["arguments"]
    assert png.stat().st_size > 5000
    other = study.main([*arguments, "--hard-shapes", "16x16"])
    assert [r["grid"] for r in other["tables"]["coefficients"]] == ["16x16"]
    assert other["tables"]["obstacles"] == first["tables"]["obstacles"]
    walls = first["tables"]["obstacles"]
    assert [r["rtol"] for r in walls] == [1e-2, 1e-4, 1e-6]
    assert all(r["geometries"] == 2 and r["learned failed"] == 0 for r in walls)
    assert len(kept.splitlines()) == len({json.loads(line)["key"] for line in kept.splitlines()})


def test_rows_of_one_seed_do_not_serve_another(case, tmp_path):
    study, path = case("learned_multigrid"), tmp_path / "rows.jsonl"
    first, second = study.Rows(path, 0), study.Rows(path, 1)
    assert first.get(first.name("walls", 3), lambda: {"seconds": 1.0}) == {"seconds": 1.0}
    assert second.get(second.name("walls", 3), lambda: {"seconds": 2.0}) == {"seconds": 2.0}
    assert study.Rows(path, 0).done[first.name("walls", 3)] == {"seconds": 1.0}


def test_claims_come_from_the_rows(case):
    study = case("learned_multigrid")

    class Claims:
        made: list = []  # noqa: RUF012

        def claim(self, name, value, relation, target):
            self.made.append((name, value))

    row = {
        "family": "walls", "grid": "64x64x64", "learned / grid-searched": 0.7,
        "learned / grid-searched worst": 1.1, "learned / textbook": 0.3, "learned it": 9.0,
    }  # fmt: skip
    rows = [{**row, "rtol": t} for t in study.TOLERANCES]
    rows += [{**row, "rtol": 1e-6, "grid": "256x256x256", "learned it": 12.0}]
    study.obstacle_claims(Claims(), rows)
    made = dict(Claims.made)
    assert made["seconds over grid-searched at 1e-06, median"] == 0.7
    assert made["seconds over grid-searched at 0.01, worst geometry"] == 1.1
    assert made["walls: more iterations at 256x256x256 than at 64x64x64"] == 3.0


def test_unknown_family_is_named(case):
    with pytest.raises(ValueError, match="families holds 'cats'"):
        case("learned_multigrid").main(["--families", "cats"])


def test_the_line_smoothed_baseline_is_sound(case):
    from sciml.problems import anisotropic
    from sciml.testing import check_preconditioner

    A = anisotropic((24, 20)).A
    check_preconditioner(case("_line_multigrid").LineMultigrid(A), A)
