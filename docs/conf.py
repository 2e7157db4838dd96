"""Sphinx: the pages in Markdown, the API from docstrings, the gallery from examples that run."""

import sys
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sphinx_gallery.scrapers import figure_rst

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.explorer import explore

sys.path.insert(0, str(Path(__file__).parent))  # for citations and long_tables
project = "sklearn_hierret"
author = "The sklearn_hierret developers"
copyright = "the sklearn_hierret developers"
release = version = version_of("sklearn-hierret")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "citations",
    "long_tables",
]
exclude_patterns = ["_build", "gallery/*.ipynb"]
templates_path = ["_templates"]
default_role = "autolink"
add_module_names = False

myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autosummary_generate = True
autodoc_default_options = {"members": True}
autodoc_typehints = "none"

html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_hierret"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "show_prev_next": True}
html_sidebars = {"index": [], "start": []}


def figures_of_an_example(block, block_vars, gallery_conf):
    """Show an example's figures where it saves them, in its last block: they are done there."""
    if "savefig" not in block[1]:
        return ""
    found = []
    for value in block_vars["example_globals"].values():
        figure = getattr(value, "figure_", value)
        if isinstance(figure, Figure) and figure not in found:
            found.append(figure)
    paths = [next(block_vars["image_path_iterator"]) for _ in found]
    for figure, path in zip(found, paths, strict=True):
        figure.savefig(path, dpi=110)
    return figure_rst(paths, gallery_conf["src_dir"])


def live_explorer(app, exception):
    """Write the page that "Clean your labels" shows beside the built pages: 1,000 digits, 20 wrong labels."""
    if exception is not None or app.builder.format != "html":
        return
    digits, rng = load_digits(), np.random.default_rng(0)
    X, y, images = digits.data[:1000], digits.target[:1000].copy(), digits.images[:1000] / 16
    wrong = rng.choice(len(y), 20, replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, 10, 20)) % 10
    path = Path(app.outdir) / "digits_explorer.html"
    explore(HierarchicalRetriever().fit(X, y), X, y, images=images, path=path, title="Digits")


def setup(app):
    app.connect("build-finished", live_explorer)


needs_extra = [] if find_spec("skorch") else ["plot_cnn_pipeline"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "ignore_pattern": "|".join(["__init__", *needs_extra]),
    "reset_modules": (),
    "image_scrapers": (figures_of_an_example,),
    "download_all_examples": False,
    "show_memory": False,
    "capture_repr": (),
    "min_reported_time": 5,
    "matplotlib_animations": False,
    "within_subsection_order": "gallery_order.LearningOrder",
}
# Configuration that can't be pickled is not kept between builds; nothing is lost.
suppress_warnings = ["config.cache"]
