"""Records: claims are checked, JSON is strict, memory is measured."""

import datetime
import json
import subprocess
import sys

import numpy as np
import pytest

from sciml.measure.memory import peak_rss
from sciml.measure.record import claim, environment, record, write_json


@pytest.mark.parametrize(
    ("value", "relation", "target", "holds"),
    [(1, "<=", 1, True), (1.1, "<=", 1, False), (2, ">=", 2, True), (1, ">=", 2, False), (0, "==", 0, True),
     (float("nan"), "<=", 1, False), (float("nan"), ">=", 1, False)],
)  # fmt: skip
def test_claims_are_checked(value, relation, target, holds):
    made = claim("x", value, relation, target)
    assert made["holds"] is holds
    assert set(made) == {"name", "value", "relation", "target", "holds"}


def test_unknown_relation():
    with pytest.raises(ValueError, match="relation is '<'"):
        claim("x", 1, "<", 2)


def test_record_has_the_agreed_form(tmp_path):
    content = record(
        "case", "small", 3, {"t": [{"a": np.float64(1.5), "b": np.int64(2), "c": float("inf")}]}, [],
        ["--size", "small"],
    )  # fmt: skip
    write_json(tmp_path / "r.json", content)
    read = json.loads((tmp_path / "r.json").read_text())
    assert set(read) == {"case", "size", "seed", "arguments", "environment", "tables", "claims"}
    assert read["arguments"] == ["--size", "small"]
    assert read["tables"]["t"] == [{"a": 1.5, "b": 2, "c": None}]
    assert not list(tmp_path.glob("*part*"))


def test_environment_says_what_ran():
    found = environment()
    assert set(found) == {"date", "cpu", "threads", "gpu", "versions", "commit"}
    assert abs(datetime.date.fromisoformat(found["date"]) - datetime.date.today()).days <= 1
    assert found["cpu"]
    assert found["threads"] >= 1
    assert found["versions"]["numpy"] == np.__version__


def test_unwritable_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert path.read_text() == "old"


def test_peak_memory_sees_an_array():
    # A fresh process: in a long one the second array may lie in memory that was there already.
    script = """
import numpy as np
from sciml.measure.memory import PeakMemory
for n in (8_000_000, 2_000_000):  # the larger block before does not hide a smaller one
    with PeakMemory() as memory:
        np.ones(n).sum()
    print(memory.growth if memory.exact else "inexact")
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    if "inexact" in out:
        pytest.skip("the peak counter of this system cannot be reset")
    first, second = map(int, out.split())
    assert 60e6 < first < 90e6
    assert 14e6 < second < 40e6
    assert peak_rss() > 0
