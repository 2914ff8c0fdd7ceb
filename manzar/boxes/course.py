"""The course of one object through the frames of a clip, from the few boxes that are given of it.

Boxes are moved in the plane of the scene, where they may lie anywhere, and only then looked at by the camera: what
slides in over a border is cut off there, and does not swell out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from manzar.boxes.geometry import (
    MEAN_MARGIN,
    Point,
    Side,
    beyond,
    border,
    centre,
    centred,
    from_view,
    lerp,
    relax,
    size,
    to_view,
)
from manzar.boxes.tracks import Plan
from manzar.nouns import Box


@dataclass(frozen=True)
class Knot:
    """A box that is given on a frame. hard: it is the object's outline; else it is a region, and loose enough."""

    frame: int
    box: Box
    hard: bool


@dataclass(frozen=True)
class Course:
    """All that is known of one object. `knots` come in the order of their frames, one to a frame at most.

    path: points that its centre passes on the way from the first knot to the last, at an even speed; with one knot
    alone they lead on from it to the end of the clip.
    """

    name: str
    knots: tuple[Knot, ...]
    path: tuple[Point, ...] = ()
    enter: Side | None = None
    leave: Side | None = None
    pin: bool = False


def travel(course: Course, views: Sequence[Box], loose: float) -> Plan:
    """The boxes on every frame, as the camera of `views`, one box of the plane per frame, sees them.

    Given boxes stand as they are. Between them corners move evenly, and the box is let out on every side by `loose`
    times the mean margin of training, 1/9 of the frame; towards a soft box this margin runs out, as that is a region
    of its own.
    """
    knots, bent = _whole(course, views)
    given = {knot.frame: course.pin or knot.hard for knot in knots}
    boxes, exact = [], []
    for frame, view in enumerate(views):
        box, share = _at(knots, course.path if frame in bent else (), frame)
        margin = 0.0 if course.pin or frame in given else share * loose * MEAN_MARGIN
        boxes.append(relax(border(to_view(box, view)), (margin,) * 4))
        exact.append(border(to_view(_outline(knots, box, frame), view)))
    hard = tuple(course.pin or given.get(frame, False) for frame in range(len(views)))
    return Plan(course.name, tuple(boxes), hard, tuple(exact))


def _whole(course: Course, views: Sequence[Box]) -> tuple[list[Knot], range]:
    """The knots with those that only follow from entering, leaving and a path's end; and the frames of the path."""
    knots, last = _opened(course.knots), len(views) - 1
    bent = range(knots[0].frame, knots[-1].frame + 1)
    if course.path and len(knots) == 1:
        bent = range(knots[0].frame, last + 1)
        if course.leave is None:
            knots.append(Knot(last, centred(course.path[-1], *size(knots[0].box)), hard=True))
    if course.leave is not None:
        knots.append(Knot(last, _outside(knots[-1].box, views[-1], course.leave), hard=True))
    if course.enter is not None:
        knots.insert(0, Knot(0, _outside(knots[0].box, views[0], course.enter), hard=True))
    return knots, bent


def camera_path(knots: Sequence[Knot], frames: int) -> list[Box]:
    """What the camera shows of the plane on every frame; without knots the frame itself."""
    if not knots:
        return [Box(0.0, 0.0, 1.0, 1.0)] * frames
    return [_at(knots, (), frame)[0] for frame in range(frames)]


def _at(knots: Sequence[Knot], path: Sequence[Point], frame: int) -> tuple[Box, float]:
    """The box on a frame, and the share of the margin that it needs: 1 at a hard one, 0 at a soft one."""
    before = max((knot for knot in knots if knot.frame <= frame), key=lambda knot: knot.frame, default=knots[0])
    after = min((knot for knot in knots if knot.frame >= frame), key=lambda knot: knot.frame, default=knots[-1])
    u = (frame - before.frame) / (after.frame - before.frame) if after.frame > before.frame else 0.0
    box = lerp(before.box, after.box, u)
    if path:
        box = centred(_along([centre(before.box), *path, centre(after.box)], u), *size(box))
    return box, (1 - u) * before.hard + u * after.hard


def _outline(knots: Sequence[Knot], box: Box, frame: int) -> Box:
    """The box of a frame at the size that hard boxes say; a soft one says only where the middle is."""
    hard = [knot for knot in knots if knot.hard]
    if not hard or len(hard) == len(knots):
        return box
    return centred(centre(box), *size(_at(hard, (), frame)[0]))


def _along(points: Sequence[Point], u: float) -> Point:
    """The point at a share `u` of the length of a line through points."""
    lengths = [math.dist(a, b) for a, b in pairwise(points)]
    way = u * sum(lengths)
    for ((ax, ay), (bx, by)), length in zip(pairwise(points), lengths, strict=True):
        if way < length:
            return ax + (bx - ax) * way / length, ay + (by - ay) * way / length
        way -= length
    return points[-1]


def _outside(box: Box, view: Box, side: Side) -> Box:
    """The box, in the plane, pushed just out of what the camera shows."""
    return from_view(beyond(to_view(box, view), side), view)


def _opened(knots: Sequence[Knot]) -> list[Knot]:
    """Lines on the border, which say that the object is out of view, given back the size that it has in view."""
    return [replace(knot, box=_unfolded(knot.box, _size_near(knots, knot.frame))) for knot in knots]


def _size_near(knots: Sequence[Knot], frame: int) -> Point:
    sized = [knot for knot in knots if min(size(knot.box)) > 0]
    return size(min(sized, key=lambda knot: abs(knot.frame - frame)).box)


def _unfolded(box: Box, extent: Point) -> Box:
    x0, y0, x1, y1 = box.as_list()
    width, height = extent
    if x0 == x1:
        x0, x1 = (x0 - width, x0) if x0 == 0 else (x0, x0 + width)
    if y0 == y1:
        y0, y1 = (y0 - height, y0) if y0 == 0 else (y0, y0 + height)
    return Box(x0, y0, x1, y1)
