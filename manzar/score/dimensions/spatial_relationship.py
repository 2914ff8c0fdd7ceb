"""Spatial relationship: whether two objects lie beside each other, or above each other, as the prompt asks.

As in VBench, which of the two is on which side is not looked at, and two objects of one kind will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from manzar.score.dimension import Dimension, Measured
from manzar.score.film import Film
from manzar.score.sightings import Detection, Sightings, asked, sighted
from manzar.score.suite import Relation, relation

ACROSS = ("on the right of", "on the left of")
UPRIGHT = ("on the bottom of", "on the top of")
OVERLAP = 0.1  # intersection over union from which a pair loses

PixelBox = tuple[int, int, int, int]  # x0, y0, x1, y1


def frame_scores(wanted: Relation, frames: Sequence[Sequence[Detection]]) -> list[float]:
    """The best pair of each frame, 0 where there is none; any two boxes of either name are a pair."""
    return [
        max((pair_score(wanted.where, a, b) for a, b in combinations(_boxes(wanted, frame), 2)), default=0.0)
        for frame in frames
    ]


def _boxes(wanted: Relation, frame: Sequence[Detection]) -> list[PixelBox]:
    """In whole pixels, cut towards zero, as GRiT's output is read."""
    named = [seen.box for seen in frame if seen.name in (wanted.first, wanted.second)]
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in named]


def pair_score(where: str, a: PixelBox, b: PixelBox) -> float:
    """1 where the centres lie further apart along the relation's axis than across it, less if the boxes overlap.

    From an overlap of 0.1 on it is 0.1 over the overlap. Centres as far apart both ways give 0. Two boxes without any
    area count as not overlapping, where VBench stops at a division by zero.
    """
    dx, dy = (abs((b[i] + b[i + 2]) / 2 - (a[i] + a[i + 2]) / 2) for i in (0, 1))
    if any(where in whole for whole in ACROSS):
        apart = dx > dy
    elif any(where in whole for whole in UPRIGHT):
        apart = dy > dx
    else:
        return 0.0
    if not apart:
        return 0.0
    overlap = iou(a, b)
    return 1.0 if overlap < OVERLAP else OVERLAP / overlap


def iou(a: PixelBox, b: PixelBox) -> float:
    """Intersection over union; 0 where both are empty."""
    width, height = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    union = _area(a) + _area(b) - width * height
    return width * height / union if union else 0.0


def _area(box: PixelBox) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def judge(film: Film, seen: Sightings) -> Measured:
    asked(film, "spatial_relationship")
    wanted = relation(film.asked.details)
    parts = tuple(frame_scores(wanted, seen.objects))
    return Measured(sum(parts) / len(parts), parts, {"wanted": f"{wanted.first} {wanted.where} {wanted.second}"})


def stand_in(maker: str) -> Dimension:
    """The same by the eyes of another detector."""
    return sighted("spatial_relationship", "objects", judge, maker)


DIMENSION = sighted("spatial_relationship", "objects", judge)
