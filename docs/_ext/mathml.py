"""Equations as MathML, which browsers show without a script and without a network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError

# Commands that the converter does not know, by what it knows. A \textstyle would swallow the cells after it.
OTHER_WORDS = {r"\arg\min": r"\operatorname{arg\,min}", r"\textstyle": "", "{aligned}": "{align*}"}


def mathml(latex: str, *, block: bool) -> str:
    """MathML of a formula; an error where a command stays as it was written."""
    for command, known in OTHER_WORDS.items():
        latex = latex.replace(command, known)
    found = convert(latex.strip(), display="block" if block else "inline")
    left = re.search(r"(?:\\|&#x0005C;)[A-Za-z]+|<mi>&</mi>", found)
    if left:
        raise ExtensionError(f"no MathML for {left.group()} in {latex}")
    if r"\begin{align*}" in latex:
        found = found.replace("<mtable", '<mtable class="aligned"', 1)
    return found


def _inline(page: Any, node: nodes.math) -> None:
    page.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(page: Any, node: nodes.math_block) -> None:
    page.body.append(page.starttag(node, "div", CLASS="math"))
    page.body.append(mathml(node.astext(), block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Give Sphinx the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
