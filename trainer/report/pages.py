"""What the pages of HTML share: their look, and that they need neither scripts nor a network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser loads nothing for the page and runs nothing, whatever a name or a cell may hold."""
_LOOK: Final = """\
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #ffffff;
  --band: #f3f5f7; --line: #d5dae0; --best: #00664a; --grave: #b02a00; --last: #000000;
  --bar: #0072b2; --other: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebee; --soft: #9aa4af; --paper: #14171a; --band: #1f2429; --line: #384049;
    --best: #4fd1a5; --grave: #ff8f66; --last: #ffffff; --bar: #56b4e9; --other: #ff9d5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.2rem 1rem 3rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .2rem 0; color: var(--soft); max-width: 46rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem .28rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); white-space: nowrap; }
svg { width: 100%; height: auto; display: block; }
"""


def document(title: str, style: str, body: Iterable[str]) -> str:
    """A whole page: `title` is a plain text, `style` the page's own rules, `body` its elements."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_LOOK}{style}</style>\n</head>\n<body>",
        *body,
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)
