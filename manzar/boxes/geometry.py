"""Arithmetic of boxes, in shares of the frame: (x0, y0, x1, y1), origin top left.

A box need not lie within [0, 1] while it is being moved; `border` brings it back. What is out of view is then a line on
the border it left by (x0 == x1 or y0 == y1), which is how a thing that enters or leaves is told to the model
(Boximator, arXiv 2402.01566).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from manzar.nouns import Box

Side = Literal["left", "right", "top", "bottom"]
Point = tuple[float, float]
Margins = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the frame

FRAME = Box(0.0, 0.0, 1.0, 1.0)
SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")
BETA = 8  # margins of soft boxes are drawn from Beta(1, BETA)
MEAN_MARGIN = 1 / (1 + BETA)
SLIVER = 1e-9  # a side below this is rounding


def area(box: Box) -> float:
    """Share of the frame; 0 for a line."""
    return max(0.0, box.x1 - box.x0) * max(0.0, box.y1 - box.y0)


def centre(box: Box) -> Point:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def size(box: Box) -> Point:
    """Width and height."""
    return box.x1 - box.x0, box.y1 - box.y0


def visible(box: Box) -> bool:
    """Whether it has an area within the frame."""
    inside = border(box)
    return inside.x1 - inside.x0 > SLIVER and inside.y1 - inside.y0 > SLIVER


def border(box: Box) -> Box:
    """The part within the frame; of a box wholly outside, the line (in a corner the point) on the border it left by."""
    return Box(*(min(max(value, 0.0), 1.0) for value in box.as_list()))


def clip(box: Box) -> Box | None:
    """The part within the frame; None where there is none."""
    return border(box) if visible(box) else None


def intersection(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))


def iou(a: Box, b: Box) -> float:
    """Intersection over union, in [0, 1]; 0 for two lines."""
    shared = intersection(a, b)
    whole = area(a) + area(b) - shared
    return min(1.0, shared / whole) if whole > 0 else 0.0


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around one or more boxes."""
    x0, y0, x1, y1 = zip(*(box.as_list() for box in boxes), strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def lerp(a: Box, b: Box, u: float) -> Box:
    """Corner by corner from `a` (u = 0) to `b` (u = 1)."""
    return Box(*((1 - u) * p + u * q for p, q in zip(a.as_list(), b.as_list(), strict=True)))


def shift(box: Box, dx: float, dy: float) -> Box:
    return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)


def centred(at: Point, width: float, height: float) -> Box:
    """The box of that size around a point."""
    return Box(at[0] - width / 2, at[1] - height / 2, at[0] + width / 2, at[1] + height / 2)


def flipped(box: Box) -> Box:
    """As in a mirror: left and right change places."""
    return Box(1 - box.x1, box.y0, 1 - box.x0, box.y1)


def to_view(box: Box, view: Box) -> Box:
    """A box of the plane in shares of `view`, a box of the same plane; it may reach beyond [0, 1]."""
    width, height = size(view)
    return Box((box.x0 - view.x0) / width, (box.y0 - view.y0) / height,
               (box.x1 - view.x0) / width, (box.y1 - view.y0) / height)  # fmt: skip


def from_view(box: Box, view: Box) -> Box:
    """The inverse of `to_view`."""
    width, height = size(view)
    return Box(view.x0 + width * box.x0, view.y0 + height * box.y0,
               view.x0 + width * box.x1, view.y0 + height * box.y1)  # fmt: skip


def cropped(box: Box, window: Box) -> Box:
    """The box after the frame is cropped to `window`; a line on the new border if it is out of view there."""
    return border(to_view(box, window))


def beyond(box: Box, side: Side) -> Box:
    """The box pushed straight out of the frame until it only touches that side."""
    dx = {"left": -box.x1, "right": 1 - box.x0}.get(side, 0.0)
    dy = {"top": -box.y1, "bottom": 1 - box.y0}.get(side, 0.0)
    return shift(box, dx, dy)


def relax(box: Box, margins: Margins) -> Box:
    """A region that holds the box: every side moved out by its margin, to the frame's edge at most.

    What is out of view stays so: a line is given back as it is.
    """
    if not visible(box):
        return box
    left, top, right, bottom = margins
    return border(Box(box.x0 - left, box.y0 - top, box.x1 + right, box.y1 + bottom))


def margin(u: float) -> float:
    """A margin of Beta(1, 8) from a uniform number in [0, 1): the inverse of its distribution 1 - (1 - m)^8."""
    return 1.0 - float((1.0 - u) ** (1 / BETA))
