"""Pages that show records show them as they are, and the performance page nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [
    "performance.md", "tutorial_preconditioner.md", "first_steps.md", "limits.md", "pinn.md",
    "pinn_sampling.md", "medida.md", "learned.md", "learned_multigrid.md", "rim.md",
]  # fmt: skip


@pytest.fixture
def measured(docs_module):
    return docs_module("measured")


def included(page):
    return re.findall(r"\{include\} generated/(?:measured_)?(\w+)\.md", (DOCS / page).read_text())


def test_no_table_is_typed_in():
    text = re.sub(r"```.*?```", "", (DOCS / "performance.md").read_text(), flags=re.DOTALL)
    assert not [line for line in text.splitlines() if line.lstrip().startswith("|")]


@pytest.mark.parametrize("page", PAGES)
def test_what_pages_include_is_made(page, measured):
    assert set(included(page)) <= {*measured.TABLES, "machines", "missed"}


def test_what_is_made_is_included(measured):
    assert {*measured.TABLES} <= {name for page in PAGES for name in included(page)}


def test_every_table_is_that_of_its_record(measured, records):
    for shown in measured.TABLES.values():
        text = measured.measured(shown, records)
        (rows,) = (v for k, v in records[shown.record]["tables"].items() if k.startswith(shown.table))
        assert set(shown.columns) <= set().union(*rows)
        lines = [line for line in text.splitlines() if line.startswith("|")]
        kept = [row for row in rows if all(row[key] == value for key, value in shown.where.items())]
        assert len(lines) == 2 + len(kept) > 2
        assert f"records/{shown.record}.json" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.25, "0.25"), (1234567, "1,234,567"), (4999.6, "5,000"), (2.0, "2"), (0.0, "0"),
     (1.23e-5, "1.23e-05"), ("a|b", "a\\|b")],
)  # fmt: skip
def test_numbers_are_readable(value, text, measured):
    assert measured._cell(value) == text


def test_a_record_that_appears_is_shown(measured, records, tmp_path):
    for folder in ("records", "gallery"):
        (tmp_path / folder).mkdir()
    record = {**records["smoke_plume_paper"], "case": "poisson_scaling"}
    row = dict.fromkeys(measured.TABLES["scaling"].columns, 1.5) | {"grid": "8x8"}
    record["tables"] = {"cg to 1e-06 on 1 thread(s)": [row]}
    kept = {name: records[name] for name in records}
    kept["poisson_scaling_paper"] = record
    for name, content in kept.items():
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps(content))
    measured.build(tmp_path)
    assert "| 8x8 |" in (tmp_path / "generated" / "measured_scaling.md").read_text()
    machines = (tmp_path / "generated" / "machines.md").read_text()
    for name, content in kept.items():
        assert f"**{name}**" in machines
        assert content["environment"]["cpu"] in machines


def test_commands_name_scripts_and_options_that_exist(measured, records):
    for name, record in records.items():
        script, *words = measured.command(name, record).removeprefix("python ").split()
        text = (DOCS.parent / script).read_text()
        text += "".join(p.read_text() for p in (DOCS.parent / "cases").glob("_*.py"))
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in text, (name, option)
