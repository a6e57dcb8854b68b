"""The page: well-formed, loads nothing, hides no failure, fits a telephone, follows light and dark."""

import html.parser
import math
import re
import subprocess

import pytest
from outside import find_browser

from sciml.study import Plan
from sciml.study.page import _machines as machines
from sciml.study.page import page
from sciml.study.summary import failures, summary

pytest.importorskip("matplotlib")

VOID = {"meta", "br", "hr", "img", "link", "input"}
LOADING = {"script", "link", "iframe", "object", "embed", "img", "source", "video", "audio", "base", "form"}
NAME = 'Who\'s <b>best</b> & "why"'


class Reader(html.parser.HTMLParser):
    """Checks nesting and collects what a browser would act on."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.references, self.text, self.rows = [], [], [], [], [], []
        self.attributes = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open:
            self.rows[-1].append(data)


def row(problem, size, seed, solver, **changes):
    total = 0.5 + 0.1 * seed
    return {
        "problem": problem, "size": size, "seed": seed, "solver": solver, "status": "CONVERGED",
        "unknowns": 64 if size == "8x8" else 256, "notes": [], "reason": None, "matvecs": 12,
        "iterations": 9 + seed, "setup_seconds": 0.1, "solve_seconds": total - 0.1, "total_seconds": total,
        "residual_norm": 1e-7, "relative_residual": 1e-7, "tolerance": 1e-6,
        "peak_memory_growth_bytes": 2**21, "error": None,
        "history": [1.0, 1e-3, 1e-7], "session": 1, **changes,
    }  # fmt: skip


SESSION = {"cpu": "Some <CPU>", "gpu": None, "threads": 1, "commit": None, "versions": {"numpy": "2.4"}}


@pytest.fixture(scope="module")
def made():
    plan = Plan.from_dict(
        {
            "name": NAME,
            "problems": [{"kind": "poisson"}],
            "sizes": [[8, 8], [16, 16]],
            "seeds": [0, 1],
            "solvers": ["cg", {"method": "sor", "omega": 1.5, "name": "<sor>"}],
        }
    )
    rows = [
        row("poisson", size, seed, solver)
        for size in ("8x8", "16x16")
        for seed in (0, 1)
        for solver in ("cg", "<sor>")
    ]
    rows[5] |= {"status": "MAXITER", "reason": "reached maxiter", "history": [1.0, math.nan, 1e9]}
    rows[7] = {key: rows[7][key] for key in ("problem", "size", "seed", "solver", "session")}
    rows[7] |= {"status": "ERROR", "reason": "ValueError: <not> a box"}
    return plan, rows, page(plan, rows, [SESSION])


def test_tags_are_nested(made):
    Reader(made[2])


def test_nothing_is_loaded_from_anywhere(made):
    reader = Reader(made[2])
    assert not LOADING & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "xlink:href", "srcset", "data"):
            assert value.startswith("#"), (tag, value)
        assert "url(" not in value.replace("url(#", ""), (tag, value)
    assert "@import" not in made[2]
    assert set(re.findall(r"https?://[^\s\"'<]+", made[2])) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_names_inside_figures_are_unique_and_references_meet_their_target(made):
    reader = Reader(made[2])
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    used = [v[1:] for _, name, v in reader.attributes if name in ("href", "xlink:href")]
    used += re.findall(r"url\(#([^)]+)\)", made[2])
    assert set(used) <= set(ids)


def test_figures_have_a_description_and_the_colours_of_the_page(made):
    reader = Reader(made[2])
    labels = [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == 4  # seconds and iterations over unknowns, residuals of two sizes
    drawn = set(re.findall(r"#[0-9a-f]{6}", made[2][made[2].index("<svg") :]))
    assert not {c for c in drawn if c[1:3] == c[3:5] == c[5:7]}  # every grey is a variable of the page
    assert "prefers-color-scheme: dark" in made[2]
    assert 'name="viewport"' in made[2]


def test_names_are_text_never_markup(made):
    reader = Reader(made[2])
    assert NAME in "".join(reader.text)
    assert "sor" not in reader.tags
    assert "not" not in reader.tags
    assert "cpu" not in reader.tags


def test_failures_stand_in_the_list_the_summary_and_the_rows(made):
    text = "".join(Reader(made[2]).text)
    assert "8 solves to rtol = 1e-06: 6 converged, 2 did not" in text
    assert "<sor> on poisson 16x16 (seed 0): reached maxiter" in text
    assert "<sor> on poisson 16x16 (seed 1): ValueError: <not> a box" in text
    lines = Reader(made[2]).rows
    assert ["<sor>", "0 of 2, error, maxiter", "–", "–", "–", "–", "1.00e-07", "2"] in lines
    assert ["poisson", "16x16", "1", "<sor>", "error", "–", "–", "–", "–"] in lines


def test_fastest_is_marked_only_among_those_that_always_converged(made):
    best = re.findall(r"<tr class='best'><td>(.*?)</td>", made[2])
    assert set(best) <= {"cg", "&lt;sor&gt;"}
    section = made[2][made[2].index("<h3>16x16</h3>") :]
    assert "class='best'" not in section  # one solver alone is not the fastest of several


def test_without_failures_no_list_of_them(made):
    plan, rows, _ = made
    good = [r | {"status": "CONVERGED"} for r in rows[:4]]
    text = page(plan, good, [SESSION])
    assert "Did not converge" not in text
    assert "4 solves of 8 are missing" in text


def test_unlike_machines_are_said(made):
    _, rows, text = made
    assert "compare seconds with care" not in text
    other = {**SESSION, "cpu": "Another"}
    moved = [r | {"session": 1 + i % 2} for i, r in enumerate(rows)]
    assert "compare seconds with care" in machines(moved, [SESSION, other])
    assert "compare seconds with care" not in machines(moved, [SESSION, SESSION])
    # A session that was killed before its first row measured nothing.
    assert "Another" not in machines(rows, [SESSION, other])


def test_no_rows_make_a_page(made):
    Reader(page(made[0], [], []))


def test_summary_takes_medians_of_what_converged():
    rows = [row("p", "8x8", seed, "cg") for seed in range(3)]
    rows[2] |= {"status": "STAGNATED", "iterations": 999, "relative_residual": 0.5}
    (line,) = summary(rows)
    assert (line["solves"], line["converged"], line["iterations"], line["iterations_max"]) == (3, 2, 9.5, 10)
    assert line["relative_residual"] == 0.5
    assert line["failures"] == ["STAGNATED"]


def test_a_residual_that_is_not_finite_is_the_largest():
    rows = [row("p", "8x8", 0, "cg"), row("p", "8x8", 1, "cg", status="NONFINITE", relative_residual=None)]
    assert summary(rows)[0]["relative_residual"] == math.inf


def test_failures_claim_no_combination_that_did_not_fail():
    bad = {"status": "MAXITER", "reason": "slow"}
    rows = [row("p", "8x8", 0, "cg", **bad), row("p", "8x8", 1, "cg"), row("p", "16x16", 1, "cg", **bad)]
    assert failures(rows) == [("cg", "p 8x8 (seed 0)", "slow"), ("cg", "p 16x16 (seed 1)", "slow")]


# -- in a browser -------------------------------------------------------------------------------
MEASURE = """<!DOCTYPE html><html><body>
<iframe id="f" src="report.html" style="width:WIDTHpx;height:4000px;border:0"></iframe>
<pre id="out"></pre><script>
document.getElementById("f").onload = function () {
  const inner = this.contentDocument, root = inner.documentElement, out = [];
  out.push("scroll=" + root.scrollWidth, "client=" + root.clientWidth);
  const figures = [...inner.querySelectorAll("svg.figure")].map(f => f.getBoundingClientRect());
  const drawn = figures.filter(r => r.width > 100 && r.height > 80);
  out.push("figures=" + figures.length, "drawn=" + drawn.length);
  out.push("widest=" + Math.max(...figures.map(r => r.right)));
  out.push("background=" + this.contentWindow.getComputedStyle(inner.body).backgroundColor);
  const line = this.contentWindow.getComputedStyle(inner.querySelector("svg.figure path[style*='--ink']"));
  out.push("ink=" + line.fill + line.stroke);
  document.getElementById("out").textContent = "<<" + out.join(";") + ">>";
};
</script></body></html>"""


@pytest.fixture(scope="module")
def browser():
    return find_browser()


def measured(browser, folder, width, dark):
    (folder / "measure.html").write_text(MEASURE.replace("WIDTH", str(width)))
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files",
            "--virtual-time-budget=5000", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--dump-dom", (folder / "measure.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"&lt;&lt;(.*?)&gt;&gt;", done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    return dict(pair.split("=", 1) for pair in found.group(1).split(";"))


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, True)], ids=["phone-light", "desk-dark"])
def test_in_a_browser(width, dark, browser, made, tmp_path):
    (tmp_path / "report.html").write_text(made[2])
    seen = measured(browser, tmp_path, width, dark)
    assert int(seen["scroll"]) <= int(seen["client"]) == width  # only tables scroll, within themselves
    assert seen["figures"] == seen["drawn"] == "4"
    assert float(seen["widest"]) <= width
    assert seen["background"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    assert ("rgb(230, 233, 236)" if dark else "rgb(27, 31, 36)") in seen["ink"]
