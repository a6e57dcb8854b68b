"""Sphinx configuration: numpydoc docstrings, Markdown pages, a gallery made from ``cases/``."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import capability_table
import gallery
import links
import measured
import release_tables

from sciml import __version__

project = "sciml"
copyright = "2026, the sciml developers"
author = "the sciml developers"
release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "generated"]  # generated/ holds parts that pages include
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give types in the field's words
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
default_role = "code"

templates_path = ["_templates"]
html_theme = "furo"
html_title = f"sciml {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

WIDE = 1200
"""Pixels from which on a figure has several panels; single ones are narrower."""


def enlarge_figures(app: Any, doctree: Any) -> None:
    """Figures become links to themselves at full size; on a telephone, panels beside each other scroll."""
    from docutils import nodes

    for node in doctree.findall(nodes.image):
        path = Path(app.srcdir) / node["uri"]
        if path.suffix != ".png" or "thumbnail" in node["classes"] or not path.exists():
            continue
        (width,) = struct.unpack(">I", path.read_bytes()[16:20])  # from the header of a PNG file
        node["width"] = "100%"
        if width > WIDE:
            node["classes"].append("wide-figure")


def check_links(app: Any, error: Exception | None) -> None:
    """A link of the finished site that leads nowhere is a warning."""
    if error is None and app.builder.name == "html":
        from sphinx.util import logging

        for sentence in links.broken(Path(app.outdir)):
            logging.getLogger(__name__).warning(sentence)


def setup(app):
    app.connect("doctree-read", enlarge_figures, priority=900)  # where images have their place in the source
    app.connect("builder-inited", lambda app: gallery.build(Path(app.srcdir)))
    app.connect("builder-inited", lambda app: capability_table.build(Path(app.srcdir)))
    app.connect("builder-inited", lambda app: release_tables.build(Path(app.srcdir)))
    # After the gallery, whose records it reads.
    app.connect("builder-inited", lambda app: measured.build(Path(app.srcdir)))
    app.connect("build-finished", check_links)
