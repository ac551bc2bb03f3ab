"""How Sphinx builds the site: `tox -e docs`, or `python -m sphinx -W docs docs/_build/html`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import napari_zsdeconvnet as zs  # noqa: E402

project = "napari-zsdeconvnet"
copyright = "napari-zsdeconvnet contributors"
release = version = zs.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "command_pages",
]
exclude_patterns = ["_build", "**/_*", "examples"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"napari-zsdeconvnet {version}"
html_copy_source = False

nitpicky = True
# Types of numpy, torch and Python are documented elsewhere; an offline build cannot look them up.
nitpick_ignore_regex = [("py:.*", ".*")]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
# The heading levels that pages link to, as GitHub names their anchors.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Each example is run by the build, and ends it where it fails.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_memory": False,
}
