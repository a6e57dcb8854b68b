"""The gallery: every case has a title, a sentence and a figure; a build may run none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "cases"
SCRIPTS = sorted(p for p in CASES.glob("*.py") if not p.name.startswith("_"))
RECORD = {
    "size": "small", "seed": 0, "environment": {"cpu": "some", "threads": 1, "versions": {"numpy": "2"}},
    "claims": [{"name": "a", "value": 2.0, "relation": "<=", "target": 1.0, "holds": False}],
    "tables": {"rows": [{"the_method": "cg", "iterations": 3, "history": [1, 2]}]},
}  # fmt: skip


@pytest.fixture
def gallery(docs_module):
    return docs_module("gallery")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_every_case_has_a_title_a_sentence_and_a_figure(script, gallery):
    title, sentence, text = gallery.heading(script)
    assert 0 < len(title) < 110
    assert sentence or text
    assert "save_figure" in script.read_text()


def test_every_case_has_a_topic(gallery):
    beginnings = tuple(name for names in gallery.TOPICS.values() for name in names)
    assert [script.stem for script in SCRIPTS if not script.stem.startswith(beginnings)] == []


def test_page_of_a_record(gallery, tmp_path):
    text = gallery.page(SCRIPTS[0], RECORD, tmp_path / "none.png")
    assert "| ✗ | a | 2 | ≤\u00a01 |" in text
    assert "| the method | iterations |\n|:--|--:|\n| cg | 3 |" in text
    assert "--size small --seed 0" in text


def test_page_without_a_record_says_how_to_make_one(gallery, tmp_path):
    assert f"python cases/{SCRIPTS[0].name}" in gallery.page(SCRIPTS[0], None, tmp_path / "none.png")


@pytest.mark.parametrize(("setting", "value"), [("SCIML_DOCS_CASES", "keep"), ("SCIML_DOCS_SECONDS", "0")])
def test_build_that_runs_nothing(setting, value, gallery, tmp_path, monkeypatch):
    (tmp_path / "cases").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "cases" / "poisson_odd.py").write_text(
        '"""Odd: a case that must not run.\n\nMore."""\nraise SystemExit(1)\n'
    )
    monkeypatch.setenv(setting, value)
    gallery.build(tmp_path / "docs")
    page = (tmp_path / "docs" / "gallery" / "poisson_odd.md").read_text()
    assert page.startswith("# Odd\n\n**A case that must not run.**")
    index = (tmp_path / "docs" / "gallery" / "index.md").read_text()
    assert "**[Odd](poisson_odd.md)**" in index
    assert "\npoisson_odd\n" in index


def test_a_wrong_setting_is_one_error(gallery, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIML_DOCS_CASES", "maybe")
    with pytest.raises(ValueError, match="SCIML_DOCS_CASES is 'maybe'; expected 'run' or 'keep'"):
        gallery.build(tmp_path)
