"""Form of the report's page: its frame, tables, data. Nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bdfm import _json

N_ROWS: Final = 250  # of a table at first; the others follow when they are scrolled to, searched or printed

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{head}</h1><nav>{links}</nav></header>
<main>{body}</main>
<footer>Made by bdfm. Probabilities are those of a model; nothing here is investment advice.</footer>
<script type="text/plain" id=plotly>{plotly}</script><script>{script}</script></body></html>
"""


def lies_beside(name: str) -> str:
    """Text of a style or script that lies beside this file."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def data_script(data: Any, attributes: str) -> str:
    """Element that holds data as JSON; ``attributes`` are an id or a class, such as ``id=what-if-data``."""
    text = _json.text(data)
    for sign in "<>&":  # a script's text ends at the first "</script", whatever stands around it
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" {attributes}>{text}</script>'


def wide_table(attributes: str, head: str, rows: Sequence[str]) -> str:
    """Table that scrolls on its own, of rows of HTML whose texts are escaped.

    Rows past ``N_ROWS`` are not laid out until they are wanted: they wait as text (``page.js``).
    """
    parts = ["".join(rows[k : k + N_ROWS]) for k in range(0, len(rows), N_ROWS)]
    wait = "".join(f'<script type="text/html" class=rows>{part}</script>' for part in parts[1:])
    if wait:
        wait += (
            f"<noscript><p class=bad>{N_ROWS} of {len(rows)} rows: the others need JavaScript.</p></noscript>"
        )
    first = parts[0] if parts else ""
    return f"<div class=wide><table {attributes}>{head}<tbody>{first}</tbody></table>{wait}</div>"
