"""A radar of dimensions as inline SVG. What is unscored has no point, and no line is drawn past it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

SIZE, HEIGHT, RADIUS = 640, 520, 176
RINGS = (0.2, 0.4, 0.6, 0.8, 1.0)
LINE = 16  # from one line of a label to the next
ROOM = 1.06  # of the radius: values above 1 are drawn so far out and no further


@dataclass(frozen=True)
class Series:
    """values: 0..1 as a rule, None where unscored; style: a class of the page's style sheet."""

    name: str
    values: Sequence[float | None]
    style: str


def radar(title: str, labels: Sequence[str], series: Sequence[Series], groups: Sequence[str] = ()) -> str:
    """One axis for each label, clockwise from the top. groups: a class of the style sheet for each label."""
    assert all(len(one.values) == len(labels) for one in series), f"{len(labels)} labels"
    count = len(labels)
    rings = "".join(f'<polygon class="ring" points="{_points([ring] * count)}"/>' for ring in RINGS)
    spokes = "".join('<line class="ring" x1="0" y1="0" x2="{:.1f}" y2="{:.1f}"/>'.format(*_place(1.0, index, count))
                     for index in range(count))
    shapes = "".join(_shape(one, count) for one in series)
    texts = "".join(_label(label, [one.values[index] for one in series], index, count,
                           groups[index] if groups else "", [one.style for one in series])
                    for index, label in enumerate(labels))
    scale = "".join(f'<text class="scale" x="4" y="{-RADIUS * ring - 3:.1f}">{100 * ring:.0f}</text>' for ring in RINGS)
    return (f'<svg class="radar" viewBox="{-SIZE / 2} {-HEIGHT / 2} {SIZE} {HEIGHT}" role="img" '
            f'aria-label="{html.escape(title)}">{rings}{spokes}{scale}{shapes}{texts}</svg>')


def _place(value: float, index: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * index / count
    reach = RADIUS * min(max(value, 0.0), ROOM)
    return reach * math.sin(angle), -reach * math.cos(angle)


def _points(values: Sequence[float]) -> str:
    return " ".join("{:.1f},{:.1f}".format(*_place(value, index, len(values))) for index, value in enumerate(values))


def _shape(one: Series, count: int) -> str:
    """The area between neighbours that are both scored, the outline of it, and a point on every scored axis."""
    places = [None if value is None else _place(value, index, count) for index, value in enumerate(one.values)]
    areas, points = [], []
    for index, here in enumerate(places):
        following = places[(index + 1) % count]
        if here is None:
            continue
        points.append('<line class="spoke" x1="0" y1="0" x2="{0:.1f}" y2="{1:.1f}"/>'
                      '<circle cx="{0:.1f}" cy="{1:.1f}" r="3.5"/>'.format(*here))
        if following is not None:
            areas.append('<path class="area" d="M0 0L{0:.1f} {1:.1f}L{2:.1f} {3:.1f}Z"/>'
                         '<line class="edge" x1="{0:.1f}" y1="{1:.1f}" x2="{2:.1f}" y2="{3:.1f}"/>'
                         .format(*here, *following))
    return f'<g class="{one.style}"><title>{html.escape(one.name)}</title>{"".join(areas)}{"".join(points)}</g>'


def _label(label: str, values: Sequence[float | None], index: int, count: int, group: str,
           styles: Sequence[str]) -> str:  # fmt: skip
    """The name in at most two lines, and under it the value of each series, a dash where it has none."""
    angle = 2 * math.pi * index / count
    x, y = (RADIUS + 20) * math.sin(angle), -(RADIUS + 16) * math.cos(angle)
    anchor = "middle" if abs(math.sin(angle)) < 0.15 else "start" if x > 0 else "end"
    lines = _two_lines(label)
    # The block stands on its point at the top of the radar, hangs from it at the bottom, and is centred at the sides.
    top = y - (1 + math.cos(angle)) / 2 * LINE * (len(lines) + 1) + 0.8 * LINE
    names = "".join(f'<tspan x="{x:.1f}" dy="{0 if k == 0 else LINE}">{html.escape(line)}</tspan>'
                    for k, line in enumerate(lines))
    figures = "".join(f'<tspan class="{style}" dx="{7 if k else 0}">{_figure(value)}</tspan>'
                      for k, (value, style) in enumerate(zip(values, styles, strict=True)))
    state = "name" if any(value is not None for value in values) else "name none"
    under = top + LINE * len(lines)
    return (f'<text class="{state} {group}" x="{x:.1f}" y="{top:.1f}" text-anchor="{anchor}">{names}</text>'
            f'<text class="figure" x="{x:.1f}" y="{under:.1f}" text-anchor="{anchor}">{figures}</text>')


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _two_lines(label: str) -> list[str]:
    words = label.split()
    if len(label) <= 14 or len(words) == 1:
        return [label]
    half = min(range(1, len(words)), key=lambda k: abs(len(" ".join(words[:k])) - len(" ".join(words[k:]))))
    return [" ".join(words[:half]), " ".join(words[half:])]
