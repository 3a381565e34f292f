"""Settings of the documentation site: `make docs`, which needs no network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from bdfm import __version__  # noqa: E402

project = "bdfm"
author = "The bdfm authors"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "made_pages",
    "fields",
    "elsewhere",
    "checked",
]
exclude_patterns = ["_build", "_ext", "README.md"]

# Pages are written so that a code host shows them too: fences ```math, links to headings.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "mailto": None, "source": None}
nb_execution_mode = "off"  # notebooks are shown with the outputs that they hold
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]  # pictures of plotly, which need its script

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"bdfm {version}"
html_favicon = "_static/bdfm.svg"
html_static_path = ["_static"]
html_css_files = ["bdfm.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = True
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
