"""The journal: whole lines whatever kills the process, one study a file, one writer, no damage unnoticed."""

import json
import math
import os

import pytest

from sciml.study import Journal, read_rows

CONFIG = {"name": "s", "rtol": 1e-6, "solvers": [{"method": "cg"}, {"method": "sor", "omega": 1.5}]}


def written(path, count=3):  # rows s0, s1, ...
    with Journal(path, CONFIG) as journal:
        journal.start_session({"cpu": "x"})
        for i in range(count):
            journal.append({"solver": f"s{i}", "value": 0.1 * i, "history": [1.0, math.nan], "ü": "\u2028"})
    return path


def test_rows_come_back_as_they_were(tmp_path):
    rows = read_rows(written(tmp_path / "new" / "rows.jsonl"))
    assert [row["solver"] for row in rows] == ["s0", "s1", "s2"]
    assert rows[1] == {"solver": "s1", "value": 0.1, "history": [1.0, None], "ü": "\u2028", "session": 1}


def test_every_possible_cut_leaves_whole_rows_and_a_file_that_goes_on(tmp_path):
    whole = written(tmp_path / "rows.jsonl", count=2).read_bytes()
    rows = read_rows(tmp_path / "rows.jsonl")
    path = tmp_path / "cut.jsonl"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with Journal(path, CONFIG) as journal:
            kept = list(journal.rows)
            journal.append({"solver": "next"})
        ends = whole[:length].count(b"\n")
        assert kept == rows[: max(0, ends - 2)], length
        assert read_rows(path)[:-1] == kept
        assert read_rows(path)[-1]["solver"] == "next"


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize(
    "damage",
    [b"\n", b"{}\n", b"[1]\n", b"\xff\n", b'{"row": \n', b"3\n", b"1" * 5000 + b"\n"],
    ids=["empty", "no keys", "list", "no text", "cut", "number", "number beyond int()"],
)
def test_damage_in_the_middle_is_an_error_that_names_the_line(damage, line, tmp_path):
    path = written(tmp_path / "rows.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = damage
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"rows.jsonl: line {line + 1} is damaged"):
        Journal(path, CONFIG)
    assert path.read_bytes() == before


def test_later_formats_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"study": CONFIG, "format": 2}) + "\n")
    with pytest.raises(ValueError, match="written in format 2; this version reads 1"):
        Journal(path, CONFIG)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({**CONFIG, "rtol": 1e-8}, "rtol: 1e-06 there, 1e-08 here"),
        ({**CONFIG, "solvers": CONFIG["solvers"][:1]}, "solvers: 2 there, 1 here"),
        (
            {**CONFIG, "solvers": [{"method": "cg"}, {"method": "sor", "omega": 1.7}]},
            "solvers: omega: 1.5 there, 1.7 here",
        ),
        ({**CONFIG, "maxiter": 3}, "maxiter: None there, 3 here"),
    ],
    ids=["rtol", "fewer", "setting", "new key"],
)
def test_another_study_in_the_same_folder_is_refused_and_says_why(other, said, tmp_path):
    path = written(tmp_path / "rows.jsonl")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds another study") as caught:
        Journal(path, other)
    assert said in str(caught.value)
    assert path.read_bytes() == before


def test_two_processes_cannot_write_one_study(tmp_path):
    refused = pytest.raises(ValueError, match="another process is running this study")
    with Journal(tmp_path / "rows.jsonl", CONFIG), refused:
        Journal(tmp_path / "rows.jsonl", CONFIG)
    Journal(tmp_path / "rows.jsonl", CONFIG).close()


def test_full_disk_leaves_the_rows_before(tmp_path, monkeypatch):
    path = written(tmp_path / "rows.jsonl")
    before = path.read_bytes()
    real = os.write

    def full(descriptor, data):
        if data.startswith(b'{"row"'):
            return real(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    with Journal(path, CONFIG) as journal:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"cannot write .*rows.jsonl: No space left on device"):
            journal.append({"solver": "lost"})
    assert path.read_bytes() == before


def test_short_writes_are_completed(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    assert len(read_rows(written(tmp_path / "rows.jsonl"))) == 3


def test_no_journal(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_rows(tmp_path / "rows.jsonl")
