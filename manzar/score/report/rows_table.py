"""One dimension as a row of a table: its value, its interval as a whisker, how many films, and another report's."""

from __future__ import annotations

import html

from manzar.score.report.other import Other
from manzar.score.rows import Row
from manzar.score.totals import QUALITY, SEMANTIC, Scale

SCALES = QUALITY | SEMANTIC
COLUMNS = 5  # of a table without another report


def heading(other: Other | None, drawn: bool) -> str:
    """drawn: whether there is a column of whiskers."""
    beside = f'<th class="number">{html.escape(other.name[:18])}<th class="number">difference' if other else ""
    axis = '<th class="whisker">0 <span>100</span>' if drawn else ""
    return (f'<tr><th>dimension<th class="number">value{beside}{axis}<th class="number">95 %<th class="number">films'
            "</tr>")


def cells(row: Row, other: Other | None) -> str:
    name = row.dimension.name
    if row.value is None and (other is None or other.value(name) is None):
        span = COLUMNS - 1 + 2 * (other is not None)
        return (f'<tr class="unscored"><td>{html.escape(titled(name))}</td><td class="reason" colspan="{span}">'
                f'<span class="tag">unscored</span>{html.escape(row.short)}</td></tr>')
    low, high = row.interval or (None, None)
    interval = "–" if low is None or high is None else f"{shown(low, row)} – {shown(high, row)}"
    asked = len(row.films) + row.missing
    value = "–" if row.value is None else shown(row.value, row)
    films = f"{row.n:,}" if row.n == asked else f"{row.n:,} <small>of {asked:,}</small>"
    return (f'<tr><td>{html.escape(titled(name))}</td><td class="number value">{value}</td>{compared(row, other)}'
            f'{whisker(row, other)}<td class="number"><small>{interval}</small></td>'
            f'<td class="number">{films}</td></tr>')


def compared(row: Row, other: Other | None) -> str:
    """The other report's value and this one's lead over it, marked where the two intervals do not overlap."""
    if other is None:
        return ""
    theirs = other.value(row.dimension.name)
    if theirs is None:
        return '<td class="number other">–</td><td class="number">–</td>'
    if row.value is None:
        return f'<td class="number other">{shown(theirs, row)}</td><td class="number">–</td>'
    lead = f"{'+' if row.value >= theirs else '−'}{shown(abs(row.value - theirs), row)}"
    own, their_own = row.interval, other.interval(row.dimension.name)
    apart = own is not None and their_own is not None and (own[0] > their_own[1] or own[1] < their_own[0])
    return (f'<td class="number other">{shown(theirs, row)}</td><td class="number">'
            f"{f'<b>{lead} •</b>' if apart else lead}</td>")


def whisker(row: Row, other: Other | None) -> str:
    """Values and intervals on an axis from 0 to 100 of VBench's normalised scale; no cell where they are no shares."""
    name = row.dimension.name
    if not shares(row):
        return ""
    lines = [mark("this", row.value, row.interval, row)]
    if other is not None:
        lines.append(mark("other", other.value(name), other.interval(name), row))
    return f'<td class="whisker">{"".join(lines)}</td>'


def mark(style: str, value: float | None, interval: tuple[float, float] | None, row: Row) -> str:
    if value is None:
        return ""
    scale = SCALES[row.dimension.name] if row.dimension.kind == "official" else Scale()
    low, high, here = (at(scale.normalise(each)) for each in (*(interval or (value, value)), value))
    return (f'<div class="{style}"><i style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
            f'<b style="left:{here:.2f}%"></b></div>')


def at(share: float) -> float:
    """Per cent of the axis."""
    return 100 * min(max(share, 0.0), 1.0)


def shares(row: Row) -> bool:
    """Whether the values are shares of one, and shown times 100."""
    return row.dimension.kind != "beside"


def shown(value: float, row: Row) -> str:
    return f"{100 * value:.2f}" if shares(row) else f"{value:.4g}"


def titled(name: str) -> str:
    text = name.removeprefix("truth_").replace("_", " ")
    return text[:1].upper() + text[1:]
