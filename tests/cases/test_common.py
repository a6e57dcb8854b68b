"""What every case shares."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ([], []),
        (["--size", "paper", "--seed", "2"], ["--size", "paper", "--seed", "2"]),
        (["--json", "{json}", "--seed", "2", "--plot=x.png"], ["--json", "{json}", "--seed", "2"]),
        (["--only", "a", "b", "--json", "{json}"], ["--only", "a", "b"]),
    ],
    ids=["nothing", "all", "equals", "several"],
)
def test_a_record_keeps_what_was_typed_but_not_where_it_was_written(words, kept, case, tmp_path):
    common = case("_common")
    arguments = common.parser("A case.")
    arguments.add_argument("--only", nargs="+")
    path = str(tmp_path / "r.json")
    made = common.Case("x", arguments.parse_args([word.format(json=path) for word in words]))
    assert made.finish()["arguments"] == [word for word in kept if word not in ("--json", "{json}")]
    if "--json" in words:
        assert json.loads((tmp_path / "r.json").read_text())["arguments"] == made.record()["arguments"]
