"""How each measure is spread over a data set, as inline SVG: what was kept, what was turned away, where the limits lie,
and examples from both sides of each limit, so that a person can see whether a limit stands in the right place.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 40
TAILS = 0.5  # percent at each end that go into the end bins: a few wild values must not flatten all the others
EXAMPLES = 4  # on each side of a limit
WIDTH, HEIGHT = 400, 100  # of the SVG's own coordinates; the page stretches it

MEANINGS = {
    "motion": "movement in the picture, % of its longer side per second",
    "camera": "movement that the camera explains, % of the longer side per second",
    "objects": "movement that it does not, % of the longer side per second",
    "sharpness": "1 where edges are one pixel wide, towards 0 as they spread",
    "brightness": "mean, from 0 black to 1 white",
    "contrast": "spread of light and dark",
    "dark": "share of the picture near black",
    "bright": "share of the picture blown out",
    "still": "share of neighbouring pictures that do not differ",
    "slides": "1 for a slideshow",
    "text": "share of the detail that is writing",
    "mosaic": "strength of straight seams, as between films side by side",
    "bars": "share of the picture in flat bars",
    "colour": "0 for grey",
    "faces": "how many are seen",
}


class Bound(NamedTuple):
    """One limit: clips with less than a low one, or more than a high one, are turned away."""

    measure: str
    side: Literal["low", "high"]
    value: float

    def keeps(self, value: float) -> bool:
        return value >= self.value if self.side == "low" else value <= self.value

    def __str__(self) -> str:
        return f"{self.measure} {'≥' if self.side == 'low' else '≤'} {number(self.value)}"


class Example(NamedTuple):
    """A clip or a refused piece on the scale of one measure; `picture` is the id of its poster in the page."""

    value: float
    picture: str
    name: str


def scale(values: Sequence[float], bounds: Sequence[Bound]) -> tuple[float, float]:
    """Both ends of the axis: nearly all values lie within, every limit, and room beyond one that is overstepped."""
    low, high = np.percentile(np.asarray(values, np.float64), (TAILS, 100 - TAILS)).tolist()
    room = 0.06 * (high - low)
    low = min([low, *(bound.value - room * (min(values) < bound.value) for bound in bounds)])
    high = max([high, *(bound.value + room * (max(values) > bound.value) for bound in bounds)])
    return (low, high) if high > low else (low, low + max(abs(low), 1.0) * 1e-3)


def nearest(bound: Bound, entries: Sequence[Example], kept: bool) -> list[Example]:
    """The entries on one side of the limit that lie closest to it, in the order of their values."""
    there = [entry for entry in entries if bound.keeps(entry.value) == kept]
    closest = sorted(there, key=lambda entry: (abs(entry.value - bound.value), entry.picture))[:EXAMPLES]
    return sorted(closest, key=lambda entry: entry.value)


def figure(measure: str, kept: Sequence[Example], away: Sequence[Example], bounds: Sequence[Bound]) -> str:
    """One measure as an HTML figure: histogram, axis, limits, and examples beside each limit."""
    low, high = scale([entry.value for entry in (*kept, *away)], bounds)
    counts = [_counts([entry.value for entry in side], low, high) for side in (kept, away)]
    lines = "".join(
        f'<b style="--at:{(bound.value - low) / (high - low):.4f}" class="{bound.side}">{number(bound.value)}</b>'
        for bound in bounds
    )
    meaning = MEANINGS.get(measure, "")
    return (
        f'<figure data-measure="{html.escape(measure)}" data-low="{low!r}" data-high="{high!r}">'
        f"<figcaption><strong>{html.escape(measure)}</strong> {html.escape(meaning)}</figcaption>"
        f'<div class="chart">{svg(measure, counts[0], counts[1])}{lines}</div>'
        f'<div class="axis"><span>{number(low)}</span><span>{number(high)}</span></div>'
        f"{''.join(_sides(bound, kept, away) for bound in bounds)}</figure>\n"
    )


def svg(measure: str, kept: NDArray[np.int64], away: NDArray[np.int64]) -> str:
    """Two stacked series of (BINS,) counts as bars; a bin with anything in it shows at least a line."""
    top = max(int((kept + away).max()), 1)
    step = WIDTH / BINS

    def height(count: int) -> float:
        return max(1.5, HEIGHT * count / top) if count else 0.0

    bars = []
    for index, (inside, outside) in enumerate(zip(kept.tolist(), away.tolist(), strict=True)):
        foot = HEIGHT - height(inside)
        for count, kind, y in ((inside, "kept", foot), (outside, "away", max(0.0, foot - height(outside)))):
            if count:
                bars.append(
                    f'<rect class="{kind}" x="{index * step:.1f}" y="{y:.1f}" width="{step - 1:.1f}" '
                    f'height="{height(count):.1f}"/>'
                )
    label = f"{measure}: {kept.sum()} kept, {away.sum()} turned away"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(bars)}</svg>'
    )


def _counts(values: Sequence[float], low: float, high: float) -> NDArray[np.int64]:
    """(BINS,) how many values fall into each bin; those beyond the ends of the axis go into the end bins."""
    clipped = np.clip(np.asarray(values, np.float64), low, high)
    return np.histogram(clipped, BINS, (low, high))[0].astype(np.int64)


def _sides(bound: Bound, kept: Sequence[Example], away: Sequence[Example]) -> str:
    """What is just beyond the limit and what is just within it, the lower values first."""
    outside = ("turned away", "away", nearest(bound, away, kept=False))
    inside = ("kept", "kept", nearest(bound, kept, kept=True))
    order = (outside, inside) if bound.side == "low" else (inside, outside)
    halves = "".join(
        f'<div class="{kind}"><h4>{title}</h4>'
        f"{''.join(_thumb(entry) for entry in entries) or '<p>none near it</p>'}</div>"
        for title, kind, entries in order
    )
    return f'<div class="sides"><h3>{html.escape(str(bound))}</h3>{halves}</div>'


def _thumb(entry: Example) -> str:
    name = html.escape(entry.name)
    return (
        f'<span class="thumb" title="{name}"><img data-picture="{entry.picture}" alt="{name}">'
        f"<i>{number(entry.value)}</i></span>"
    )


def number(value: float) -> str:
    """Three digits that matter, and no powers of ten up to a million."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
