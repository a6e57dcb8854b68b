"""Sphinx configuration: numpydoc docstrings, Markdown pages, a gallery made from ``cases/``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import capability_table
import gallery
import measured

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

html_theme = "furo"
html_title = f"sciml {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]


def setup(app):
    app.connect("builder-inited", lambda app: gallery.build(Path(app.srcdir)))
    app.connect("builder-inited", lambda app: capability_table.build(Path(app.srcdir)))
    app.connect("builder-inited", lambda app: measured.build(Path(app.srcdir)))  # reads what the gallery wrote
