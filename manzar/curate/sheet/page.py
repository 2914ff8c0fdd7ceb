"""The contact sheet's HTML; its style and its script are `sheet.css` and `sheet.js`, which it carries along.

The page is one index of clips as JSON, and pictures and videos as inert text beside it. The script builds cards from
the index a screenful at a time, so that thousands of clips open quickly, and keeps what was asked for in the address,
so that a view can be kept: `sheet.html#q=شخص&lang=ur&m.motion=2..9&sort=-motion`. Everything that comes from the data
enters the page as text, never as markup, and the content policy forbids the network.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path


def opening(
    title: str, where: str | None, totals: Mapping[str, Sequence[tuple[str, str]]], figures: Sequence[str]
) -> str:
    """Everything before the data: head, totals as (name, number) under a heading each, filters, the three views."""
    rows = "".join(
        f"<div><dt>{html.escape(heading)}</dt>{''.join(_total(*pair, first=not heading) for pair in pairs)}</div>"
        for heading, pairs in totals.items()
        if pairs
    )
    asked = f"<p>clips where <code>{html.escape(where)}</code></p>" if where is not None else ""
    return (
        _HEAD.replace("{style}", _beside("sheet.css")).replace("{title}", html.escape(title))
        + f'<header><h1 dir="auto">{html.escape(title)}</h1>{asked}<dl>{rows}</dl></header>\n'
        + _BODY
        + f'<main id="measures" class="view" hidden>\n{"".join(figures)}</main>\n'
        + '<main id="away" class="view" hidden></main>\n'
    )


def closing() -> str:
    """The script, after the data it reads."""
    return f"<script>\n{_beside('sheet.js')}</script></body></html>\n"


def _total(name: str, number: str, first: bool) -> str:
    parts = [html.escape(name), f"<b>{html.escape(number)}</b>"]
    return f'<dd dir="auto">{" ".join(reversed(parts) if first else parts)}</dd>'


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_BODY = """<nav>
<div class="tabs">
<button type="button" data-view="clips">Clips</button>
<button type="button" data-view="measures">Measures</button>
<button type="button" data-view="away">Turned away</button>
</div>
<input id="q" type="search" dir="auto" placeholder="Search captions and sources" aria-label="Search">
<output id="count" aria-live="polite"></output>
</nav>
<main id="clips" class="view">
<details id="panel" open><summary>Filter and sort</summary>
<label>order <select id="sort"></select></label>
<label>language <select id="lang"></select></label>
<label>split <select id="split"></select></label>
<label class="tick"><input id="boxes" type="checkbox" checked> boxes</label>
<div id="facets"></div>
<button type="button" id="reset">Show everything</button>
</details>
<section><div id="cards"></div><button type="button" id="more" hidden>Show more</button></section>
</main>
<noscript><p class="empty">The clips of this page are shown by its script, which is switched off here.</p></noscript>
"""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';
 script-src 'unsafe-inline'; img-src data: file: 'self'; media-src data: file: 'self'">
<title>{title}</title>
<style>
{style}</style></head><body>
"""
