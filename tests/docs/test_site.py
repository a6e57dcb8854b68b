"""A small site of some of the pages, built as the whole one is: links, search, widths of phone and desk."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from outside import find_browser

for package in ("sphinx", "furo", "myst_parser", "numpydoc"):
    pytest.importorskip(package)

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("limits", "performance", "multigrid", "tutorial_preconditioner")

INDEX = (
    "# Some pages\n\n![Smoke](figures/smoke_plume_still.png)\n\n```{toctree}\n"
    + "\n".join(PAGES)
    + "\ngallery/index\n```\n"
)

LOOK = """<!DOCTYPE html><body><iframe id="f" style="width:WIDTHpx;height:900px;border:0"></iframe><script>
const frame = document.getElementById("f"), seen = {};
// Beyond the right edge, and in nothing that scrolls.
const cut = element => {
  if (element.getBoundingClientRect().right <= WIDTH || element.closest("mjx-assistive-mml")) return false;
  for (let e = element; e.tagName !== "ARTICLE"; e = e.parentElement) {
    const overflow = frame.contentWindow.getComputedStyle(e).overflowX;
    if (["auto", "scroll"].includes(overflow) && e.getBoundingClientRect().right <= WIDTH) return false;
  }
  return true;
};
const open = page => new Promise(done => { frame.onload = done; frame.src = page; });
(async () => {
  for (const page of PAGES) {
    await open(page);
    const inner = frame.contentDocument, root = inner.documentElement;
    seen[page] = {
      client: root.clientWidth, title: inner.querySelectorAll("h1").length,
      cut: [...inner.querySelectorAll("article *")].filter(cut).map(e => e.outerHTML.slice(0, 80)),
      broken: [...inner.images].filter(i => !i.naturalWidth).map(i => i.src),
      nameless: [...inner.images].filter(i => !i.alt.trim()).map(i => i.src),
    };
  }
  await open("search.html?q=multigrid");
  for (let k = 0; k < 100 && !frame.contentDocument.querySelector("#search-results li"); k++)
    await new Promise(done => setTimeout(done, 50));
  seen.found = [...frame.contentDocument.querySelectorAll("#search-results li a")].map(a => a.textContent);
  await fetch("seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script></body>"""


def outside(link):
    """A Markdown link as it is if its page is here, otherwise to another site."""
    page = link.group(0)[2:].partition(".md")[0]
    return link.group(0) if page in PAGES else "](https://example.org)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built with warnings as errors; links to pages that are left out lead to another site."""
    root = tmp_path_factory.mktemp("site")
    docs, html = root / "docs", root / "html"
    docs.mkdir()
    for name in ("_static", "_templates", "figures", "records"):
        shutil.copytree(DOCS / name, docs / name)
    for module in DOCS.glob("*.py"):
        shutil.copy(module, docs)
    shutil.copy(DOCS.parent / "pyproject.toml", root)  # the tables of versions are made of these
    shutil.copytree(DOCS.parent / ".ci", root / ".ci")
    for page in PAGES:
        text = re.sub(r"\]\((?!generated/)[\w/]+\.md[^)]*\)", outside, (DOCS / f"{page}.md").read_text())
        (docs / f"{page}.md").write_text(text)
    (docs / "index.md").write_text(INDEX)
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(docs), str(html)]
    environment = {**os.environ, "SCIML_DOCS_CASES": "keep", "PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return html


def test_links_lead_somewhere(site, docs_module):
    assert docs_module("links").broken(site) == []


def test_a_link_that_leads_nowhere_is_seen(docs_module, tmp_path):
    (tmp_path / "a.html").write_text(
        "<p id='here'><a href='#here'>1</a><a href='#gone'>2</a><a href='b.html'>3</a><img src='c.png'>"
        "<a href='https://example.org'>4</a><a href='a.html#here'>5</a></p>"
    )
    assert docs_module("links").broken(tmp_path) == [
        "a.html: #gone leads to no place of that page",
        "a.html: b.html leads to no file",
        "a.html: c.png leads to no file",
    ]


def test_figures_open_at_full_size(site):
    assert 'href="_images/smoke_plume_still.png"><img alt="Smoke" class="wide-figure"' in (
        site / "index.html"
    ).read_text().replace("\n", "")


@pytest.fixture(scope="module")
def browser():
    return find_browser()


def look(browser, site, width, profile):
    """What the pages look like at a width, as the browser tells it."""
    seen, arrived = [], threading.Event()

    class Server(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_POST(self):
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

    pages = json.dumps(["index.html", *(f"{page}.html" for page in PAGES)])
    (site / "look.html").write_text(LOOK.replace("WIDTH", str(width)).replace("PAGES", pages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={width + 100},1000",
        f"http://127.0.0.1:{server.server_address[1]}/look.html",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert arrived.wait(100), "the browser told nothing"
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
        server.server_close()
        (site / "look.html").unlink()
    return seen[0]


@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desk"])
def test_in_a_browser(width, browser, site, tmp_path):
    seen = look(browser, site, width, tmp_path / "profile")
    assert seen.pop("found"), "the search finds no page about multigrid"
    for page, found in seen.items():
        assert found["client"] <= width
        assert found["cut"] == [], page  # tables, code and panels scroll in their place
        assert found["title"] == 1, page
        assert found["broken"] == found["nameless"] == [], page
