"""Tracks of things without a name: what moves before the backdrop of a clip, followed from picture to picture.

Pictures are looked at small and a few times a second. What differs from the backdrop (backdrop.py) falls into connected
regions; regions are joined over time by where a thing is expected and by its colours, beginning with the picture in
which most things stand apart, in both directions of time. Where two things touch, each pixel of their common region
goes to the one whose colours and place suit it better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.curate.objects.backdrop import VISIBLE, Array, Bytes, Layers, Mask, opened, separate
from manzar.curate.objects.camera import Matrix
from manzar.nouns import Box, BoxTrack, Video

SIDE = 192  # longer side in pixels at which pictures are looked at
RATE, MOST_PICTURES = 12.0, 128  # looks a second; looks at a clip
CLEAR = 2 * VISIBLE  # a region has some pixels that are this far from the backdrop
SMALLEST = 0.0015  # share of the picture below which a region is dirt
MOST_REGIONS = 40  # pieces of one picture, largest first; where there are more, it flickers or is noise
FULL = 0.5  # share of the picture: where more than this has changed, half of the time, the backdrop is not one
GHOST = 1.4  # a region whose outline is so much sharper in the backdrop than in the picture is a thing that has gone
FRAGMENT = 0.15  # share of its thing below which a piece does not stretch the box
HIDDEN = 0.6  # a thing that shows less of itself than this, beside another, is behind it
WITHIN = 0.7  # share of a box, and of its time, within a larger one, from which it is a part of that
MEMORY_S, SHORTEST_S, SHORTEST_LOOKS = 1.0, 0.35, 3  # how long a thing is remembered unseen, and must be seen
LEARN = 0.15  # weight of the newest picture in a thing's colours
KNOWN = 0.4  # share of a piece's pixels that must have colours of the thing it is taken for
REACH = 1.2  # how far, in its own sides, a thing may jump from one look to the next
PULL = 4.0  # weight of place against colour, in nats per half size, where a region is divided

Rect = NDArray[np.float64]  # (4,): x0, y0, x1, y1 in pixels


@dataclass(frozen=True)
class Region:
    """One connected piece that is not backdrop: its pixels ys, xs (n,), their colour bins (n,), and its rectangle."""

    ys: NDArray[np.intp]
    xs: NDArray[np.intp]
    bins: NDArray[np.intp]
    rect: Rect

    @property
    def area(self) -> int:
        return len(self.ys)


@dataclass(eq=False)
class Thing:
    """What is followed: where it was seen, by picture, and what is needed to find it again."""

    rect: Rect
    speed: Rect  # pixels from one look to the next
    area: float
    colours: Array  # (COLOURS,) shares
    last: int
    rects: dict[int, Rect] = field(default_factory=dict)
    areas: dict[int, int] = field(default_factory=dict)


COLOURS = 8 * 16 * 16  # L, a and b in so many steps


def object_tracks(video: Video, *, most: int = 8) -> tuple[BoxTrack, ...]:
    """Up to `most` tracks, "object 1" the largest over time: a box on every frame from where a thing is first seen to
    where it is last seen, None elsewhere. Nothing is found in a single picture, nor where nothing moves by itself.
    """
    count = len(video.frames)
    step = max(1, round(video.fps / RATE), -(-count // MOST_PICTURES))
    looks = list(range(0, count, step))
    if looks[-1] != count - 1:
        looks.append(count - 1)
    if len(looks) < SHORTEST_LOOKS or most < 1:
        return ()
    layers = separate([_small(video.frames[index]) for index in looks])
    if layers is None or np.median((layers.away > VISIBLE).mean(axis=(1, 2))) > FULL:
        return ()
    regions = [_regions(layers, index) for index in range(len(looks))]
    rate = video.fps / step
    things = [
        thing
        for thing in _follow(regions, layers.path, max(2, round(MEMORY_S * rate)))
        if len(thing.rects) >= max(SHORTEST_LOOKS, round(SHORTEST_S * rate))
    ]
    things.sort(key=lambda thing: -sum(thing.areas.values()))
    height, width = layers.away.shape[1:]
    scale = np.array([width, height, width, height], dtype=np.float64)
    kept: list[tuple[Box | None, ...]] = []
    for thing in things:
        if len(kept) == most:
            break
        boxes = _boxes({looks[i]: rect / scale for i, rect in thing.rects.items()}, count)
        if not any(_part(boxes, larger) for larger in kept):
            kept.append(boxes)
    return tuple(BoxTrack(f"object {number}", boxes) for number, boxes in enumerate(kept, start=1))


def _part(boxes: Sequence[Box | None], larger: Sequence[Box | None]) -> bool:
    """Whether a track lies within another one nearly all the time: a piece that broke off, not a thing."""
    inside = []
    for a, b in zip(boxes, larger, strict=True):
        if a is not None:
            own = np.array(a.as_list())
            inside.append(b is not None and _area(_meet(own, np.array(b.as_list()))) > WITHIN * _area(own))
    return float(np.mean(inside)) > WITHIN


def _small(frame: Bytes) -> Bytes:
    height, width = frame.shape[:2]
    shrink = SIDE / max(height, width)
    if shrink >= 1:
        return frame
    size = (max(1, round(shrink * width)), max(1, round(shrink * height)))
    small: Bytes = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return small


def _boxes(rects: dict[int, Rect], count: int) -> tuple[Box | None, ...]:
    """A box for each of `count` frames from rectangles in [0, 1] on some of them, straight lines between."""
    known = sorted(rects)
    values = np.array([rects[index] for index in known])  # (k, 4)
    frames = np.arange(known[0], known[-1] + 1)
    lines = np.stack([np.interp(frames, known, values[:, side]) for side in range(4)], axis=1).clip(0, 1)
    boxes: list[Box | None] = [None] * count
    for index, line in zip(frames, lines.round(5), strict=True):
        x0, y0, x1, y1 = map(float, line)
        boxes[index] = Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
    return tuple(boxes)


# ---- regions of one picture ------------------------------------------------------------------------------------------


def _regions(layers: Layers, index: int) -> list[Region]:
    """What stands before the backdrop on one picture, in connected pieces."""
    lab, away = layers.labs[index], layers.away[index]
    mask = opened((away > VISIBLE).astype(np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    bins = (lab[..., 0].astype(np.intp) >> 5) * 256 + (lab[..., 1].astype(np.intp) >> 4) * 16 + (lab[..., 2] >> 4)
    smallest = max(10.0, SMALLEST * away.size)
    large = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= smallest]
    found = []
    for label in sorted(sorted(large, key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))[:MOST_REGIONS]):
        x, y, w, h = (int(v) for v in stats[label, :4])
        window = np.s_[y : y + h, x : x + w]
        own = labels[window] == label
        if away[window][own].max() < CLEAR or _ghost(lab, layers.grounds[index], (x, y, w, h), own):
            continue
        ys, xs = np.nonzero(own)
        rect = np.array([x, y, x + w, y + h], dtype=np.float64)
        found.append(Region(ys + y, xs + x, bins[window][own], rect))
    return found


def _ghost(lab: Bytes, ground: Bytes, place: tuple[int, int, int, int], own: Mask) -> bool:
    """Whether a region is the empty place of a thing that is in the backdrop: its outline is an edge only there."""
    x, y, w, h = place
    window = np.s_[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2]
    pad = ((min(2, y), min(2, lab.shape[0] - y - h)), (min(2, x), min(2, lab.shape[1] - x - w)))
    mask = np.pad(own.astype(np.uint8), pad)
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    if not outline.any():
        return False  # it fills the picture
    here, there = (
        float(cv2.morphologyEx(image[window], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[outline].mean())
        for image in (lab, ground)
    )
    return there > GHOST * here


# ---- following -------------------------------------------------------------------------------------------------------


def _follow(regions: Sequence[Sequence[Region]], path: Sequence[Matrix], memory: int) -> list[Thing]:
    """Everything that can be followed, from the picture with most regions to both ends of the clip."""
    counts = [len(found) for found in regions]
    begin = max(range(len(counts)), key=lambda i: (counts[i], -abs(i - len(counts) // 2)))
    things: list[Thing] = []
    _go(regions, path, range(begin, len(regions)), things, memory)
    for thing in things:
        if begin in thing.rects:  # known from the first look: followed backwards as well
            first = min((i for i in thing.rects if i > begin), default=begin)
            thing.rect, thing.last = thing.rects[begin], begin
            thing.speed = (thing.rects[begin] - thing.rects[first]) / max(1, first - begin)
            thing.area = float(thing.areas[begin])
    _go(regions, path, range(begin - 1, -1, -1), things, memory)
    return things


def _go(
    regions: Sequence[Sequence[Region]], path: Sequence[Matrix], order: Iterable[int], things: list[Thing], memory: int
) -> None:
    """Follow through the pictures in `order`, adding what is seen to `things`."""
    for index in order:
        live = [thing for thing in things if abs(index - thing.last) <= memory]
        expected = [_expect(thing, index, path) for thing in live]
        pieces: list[list[Region]] = [[] for _ in live]
        shared = [False] * len(live)
        fresh = []
        for region in regions[index]:
            claims = [k for k, rect in enumerate(expected) if _claims(rect, region)]
            if not claims:
                fresh.append(region)
            elif len(claims) == 1:
                pieces[claims[0]].append(region)
            else:
                for k, part in _divide(region, [(live[k], expected[k]) for k in claims]):
                    pieces[claims[k]].append(part)
                for k in claims:
                    shared[k] = True
        for k, thing in enumerate(live):
            if pieces[k]:
                fresh += _see(thing, index, pieces[k], expected[k], shared[k])
        lost = [thing for thing in live if thing.last != index]
        for region in sorted(fresh, key=lambda region: -region.area):
            found = _missing(region, lost, index)
            if found is None:
                things.append(_begin(index, region))
            else:
                lost.remove(found)
                _take(found, index, region.rect, region.area)


def _expect(thing: Thing, index: int, path: Sequence[Matrix]) -> Rect:
    """Where a thing should be on picture `index`, the camera's movement included."""
    turn = path[index] @ np.linalg.inv(path[thing.last])
    gone = abs(index - thing.last)
    x0, y0, x1, y1 = thing.rect + min(gone, 4) * thing.speed
    corners = np.array([[x0, y0, 1], [x1, y1, 1]]) @ turn.T
    return np.concatenate([corners.min(axis=0)[:2], corners.max(axis=0)[:2]])


def _claims(rect: Rect, region: Region) -> bool:
    """Whether a thing expected at `rect` may have a part in a region."""
    common = _area(_meet(rect, region.rect))
    return common > 0.3 * _area(rect) or common > 0.5 * _area(region.rect)


def _divide(region: Region, claims: Sequence[tuple[Thing, Rect]]) -> list[tuple[int, Region]]:
    """The parts of a region that go to each claim, by colour and place."""
    costs = []
    for thing, (x0, y0, x1, y1) in claims:
        out_x = np.abs(region.xs + 0.5 - (x0 + x1) / 2) / max(1.0, (x1 - x0) / 2)
        out_y = np.abs(region.ys + 0.5 - (y0 + y1) / 2) / max(1.0, (y1 - y0) / 2)
        outside = np.maximum(np.maximum(out_x, out_y) - 1, 0)
        costs.append(PULL * outside - np.log(thing.colours[region.bins] + 1e-3))
    owner = np.argmin(np.stack(costs), axis=0)
    parts = []
    for k in range(len(claims)):
        own = owner == k
        if own.sum() >= 4:
            parts.append((k, _region(region.ys[own], region.xs[own], region.bins[own])))
    return parts


def _see(thing: Thing, index: int, pieces: list[Region], expected: Rect, shared: bool) -> list[Region]:
    """Take the pieces for the thing, as seen on picture `index`; returns those that are not its own."""
    near = _grown(expected, 0.15)
    taken: list[Region] = []
    rest: list[Region] = []
    for piece in sorted(pieces, key=lambda piece: -_familiar(thing, piece) * piece.area):
        inside = _area(_meet(near, piece.rect)) / _area(piece.rect)
        own = _familiar(thing, piece)
        if taken:
            alike = own > KNOWN and inside > 0.6
        else:
            meets = _iou(expected, piece.rect)
            alike = meets > 0.5 or (own > KNOWN and (meets > 0.3 or piece.area < 2 * thing.area))
        (taken if alike else rest).append(piece)
    area = sum(piece.area for piece in taken)
    if not taken or (shared and area < HIDDEN * thing.area):
        return rest  # partly behind another: its box is drawn between before and after
    wide = [piece for piece in taken if piece.area >= FRAGMENT * area]
    rect = np.concatenate([np.min([p.rect[:2] for p in wide], axis=0), np.max([p.rect[2:] for p in wide], axis=0)])
    if not shared:
        thing.colours += LEARN * (_colours(taken) - thing.colours)
    _take(thing, index, rect, area)
    return rest


def _missing(region: Region, lost: Sequence[Thing], index: int) -> Thing | None:
    """The lost thing that an unexpected region is: of its colours, about its size, no farther than it can be."""
    near = [thing for thing in lost if 0.5 < region.area / thing.area < 2 and _reaches(thing, region.rect, index)]
    ours = _colours([region])
    best, found = 0.5, None
    for thing in near:
        alike = float(np.minimum(thing.colours, ours).sum())  # histogram intersection, Swain and Ballard 1991
        if alike > best:
            best, found = alike, thing
    return found


def _reaches(thing: Thing, rect: Rect, index: int) -> bool:
    """Whether a thing can have come to `rect` by picture `index`."""
    side = np.sqrt(max(_area(rect), _area(thing.rect)))
    apart = np.hypot(*(rect - thing.rect).reshape(2, 2).mean(axis=0))
    return bool(apart < REACH * side * np.sqrt(abs(index - thing.last)))


def _take(thing: Thing, index: int, rect: Rect, area: int) -> None:
    thing.speed = 0.5 * thing.speed + 0.5 * (rect - thing.rect) / max(1, abs(index - thing.last))
    thing.rect, thing.area, thing.last = rect, float(area), index
    thing.rects[index], thing.areas[index] = rect, area


def _begin(index: int, region: Region) -> Thing:
    rects, areas = {index: region.rect}, {index: region.area}
    return Thing(region.rect, np.zeros(4), float(region.area), _colours([region]), index, rects, areas)


def _familiar(thing: Thing, region: Region) -> float:
    """Share of a region's pixels that have colours of the thing."""
    return float((thing.colours[region.bins] > 0.01).mean())


def _colours(regions: Sequence[Region]) -> Array:
    counts = np.bincount(np.concatenate([region.bins for region in regions]), minlength=COLOURS)
    shares: Array = np.asarray(counts / counts.sum(), np.float32)
    return shares


def _region(ys: NDArray[np.intp], xs: NDArray[np.intp], bins: NDArray[np.intp]) -> Region:
    return Region(ys, xs, bins, np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float64))


def _meet(a: Rect, b: Rect) -> Rect:
    return np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])


def _area(rect: Rect) -> float:
    return float(max(0.0, rect[2] - rect[0]) * max(0.0, rect[3] - rect[1]))


def _iou(a: Rect, b: Rect) -> float:
    common = _area(_meet(a, b))
    return common / max(_area(a) + _area(b) - common, 1e-6)


def _grown(rect: Rect, share: float) -> Rect:
    margin = share * np.array([rect[2] - rect[0], rect[3] - rect[1]]) + 1
    return np.concatenate([rect[:2] - margin, rect[2:] + margin])
