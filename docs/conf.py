"""How Sphinx makes the site of the documentation: `make docs`.

The sources are the pages as they lie in the repository, the README and the benchmarks among them:
so a link that works there works here, and the other way round.
"""

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer

from trainer.extras import package_version

project = "trainer"
copyright = "the authors of trainer"  # noqa: A001  (the name that Sphinx reads)
version = release = package_version()

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "benchmarks/*.md", "README.md", "CHANGELOG.md"]
exclude_patterns = [
    ".*",
    "runs",
    "tests",
    "trainer",
    "configs",
    "docs/_*",
    "mlruns",
    "build",
    "dist",
]

myst_heading_anchors = 4  # as forges make them, so that `page.md#a-heading` is checked
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of signatures that are no names of the API

default_role = "code"  # what docstrings have in backquotes
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"trainer {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "to_the_start.html"}
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """CSV has no colours."""
    app.add_lexer("csv", TextLexer)
