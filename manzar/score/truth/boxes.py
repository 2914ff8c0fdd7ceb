"""Which of the things seen in a film are those that boxes were drawn for, and where they are on every frame.

The judge finds what moves or stands before the background, without being told what to look for, and follows it; colour
and shape say who is who. It shares no code with what draws the world, nor with any model. Where things touch or cover
each other it loses some of them for a while; once all colours are known they are found again, by those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np

from manzar.boxes.measures import Film, Sighting, match
from manzar.boxes.measures import Track as Boxes
from manzar.nouns import Box, Frames
from manzar.score.truth.asking import AskedActor, handy, has
from manzar.score.truth.judge import COLOURS, Examined, Seen, SeenActor, examine, screen_box
from manzar.score.truth.segment import Region, distance, parted, regions
from manzar.score.truth.silhouette import OUTLINES
from manzar.score.truth.tracks import UNLIKE, Track

MOST_SEEN = 6  # things seen that are taken into account, the weightiest first
LEAST_SHOWN = 0.15  # share of a thing's area that must be seen of it
MOST_SHOWN = 1.7  # and above which it has been given another's
FAR = 0.5  # of the frame's shorter side that a thing may be away from where it was expected

SAME_AS = {"ball": "circle", "disc": "circle", "grey": "gray", "figure": "person", "man": "person", "woman": "person"}
SYNONYMS = re.compile(rf"\b({'|'.join(SAME_AS)})\b")

Point = tuple[float, float]


@dataclass(frozen=True)
class Sight:
    """All that the judge makes of a film, and the boxes of the actors it sees, in their order; None for out of view."""

    seen: Seen
    boxes: tuple[tuple[Box | None, ...], ...]


@dataclass(frozen=True)
class Found:
    """film: what the measures of boxes are taken of. actors: for each thing asked for the seen one that is it."""

    film: Film
    actors: tuple[SeenActor | None, ...]


def sight(frames: Frames) -> Sight:
    """Look at a film, uint8 (T, H, W, 3), 16 pixels a side or more."""
    frames = handy(frames)
    judged = examine(frames)
    return Sight(judged.seen, tuple(boxes_of(judged, (frames.shape[1], frames.shape[2]))))


def find(sight: Sight, asked: Sequence[AskedActor], wanted: Sequence[Boxes]) -> Found:
    """Pair what is seen with what was asked for: `asked` says what each thing is, `wanted` where it should be.

    A seen thing must have the colour or the shape of what it is taken for, and is a detection of confidence 1 with
    both, of 1/2 with one; where only one of them was said that one decides, and where nothing was it may be anything.
    Where things are equally alike, overlap decides. What was not asked for is a detection of confidence 0.
    """
    actors, boxes = sight.seen.actors[:MOST_SEEN], sight.boxes[:MOST_SEEN]
    likeness = [[_likeness(actor, one) for actor in actors] for one in asked]
    places = match(wanted, boxes, likeness)
    film = [
        Sighting(tuple(track)) if place is None else Sighting(tuple(track), boxes[place], likeness[index][place])
        for index, (track, place) in enumerate(zip(wanted, places, strict=True))
    ]
    film += [Sighting((), own) for place, own in enumerate(boxes) if place not in places]
    return Found(film, tuple(None if place is None else actors[place] for place in places))


def _likeness(actor: SeenActor, asked: AskedActor) -> float:
    said = [(name, value) for name, value in (("colour", asked.colour), ("shape", asked.shape)) if value]
    return sum(has(actor, name, value) for name, value in said) / len(said) if said else 0.5


def called(name: str) -> AskedActor:
    """What the name of a thing, such as "red ball", says of its colour and shape."""
    words = re.findall(r"[a-z]+", SYNONYMS.sub(lambda word: SAME_AS[word[0]], name.lower()))
    colour, shape = (next((word for word in words if word in known), None) for known in (COLOURS, OUTLINES))
    return AskedActor(colour, shape or "", "")


def boxes_of(judged: Examined, size: tuple[int, int]) -> list[tuple[Box | None, ...]]:
    """The boxes of everything seen in frames of `size` (height, width), the weightiest first; None where a thing cannot
    be found."""
    frames = [_without_fringes(_on_frame(judged, frame)) for frame in range(len(judged.layers.lab))]
    return [
        tuple(None if region is None else screen_box(region, judged.camera, size) for region in track)
        for track in zip(*frames, strict=True)
    ]


def _on_frame(judged: Examined, frame: int) -> list[Region | None]:
    """The region of every track. One that is missing is looked for again: it may be by itself, and have moved too fast
    to be followed; or have been taken together with others, and be told from them by colour."""
    known = [track.regions[frame] for track in judged.tracks]
    for region in regions(judged.layers, frame) if None in known else ():
        missing = [k for k, own in enumerate(known) if own is None]
        owners = [k for k, own in enumerate(known) if own is not None and _window(own) == _window(region)]
        alike = [k for k in missing if not owners and _is(judged, k, region, 1 / MOST_SHOWN)
                 and distance(_colour(judged.tracks[k]), region.colour) < UNLIKE]  # fmt: skip
        if alike:
            known[alike[0]] = region
            continue
        members = owners + [k for k in missing if _told_apart([judged.tracks[other] for other in (*owners, k)])]
        if len(members) < 2 or not _told_apart([judged.tracks[k] for k in members]):
            continue
        parts = parted(judged.layers, region, [_colour(judged.tracks[k]) for k in members])
        found = {k: part for k, part in zip(members, parts, strict=True)
                 if part is not None and _is(judged, k, part, LEAST_SHOWN)}  # fmt: skip
        if {*found} - {*owners}:
            for k, part in found.items():
                known[k] = part
    return known


def _told_apart(tracks: Sequence[Track]) -> bool:
    return all(distance(_colour(a), _colour(b)) > UNLIKE for a, b in combinations(tracks, 2))


def _is(judged: Examined, k: int, region: Region, least: float) -> bool:
    """Whether a region of its colour can be track k's thing: by size and by how far it is from where it should be."""
    track, side = judged.tracks[k], min(judged.camera.size)
    near = math.dist(_expected(track, region.frame), region.centre) < FAR * side
    return near and least < region.area / track.area < MOST_SHOWN


def _window(region: Region) -> tuple[Any, ...]:
    """Tells regions of one frame apart; parts of one region have its window."""
    return *region.corner, *region.cover.shape


def _without_fringes(regions: Sequence[Region | None]) -> list[Region | None]:
    """Parts of one shared region without the thin rims of others, whose blend with the background has their colour."""
    windows = [None if region is None else _window(region) for region in regions]
    return [
        _solid(region) if region is not None and windows.count(window) > 1 else region
        for region, window in zip(regions, windows, strict=True)
    ]


def _solid(region: Region) -> Region:
    """The region with the box of its largest part that is three pixels thick, and what is next to that."""
    inside = (region.whole > 0.5).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(inside, cv2.MORPH_OPEN, square))
    if count < 2:
        return region
    largest = (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    ys, xs = np.nonzero(cv2.dilate(largest, square) & inside)
    left, top = region.corner
    box = (float(left + xs.min()), float(top + ys.min()), float(left + xs.max() + 1), float(top + ys.max() + 1))
    return replace(region, box=box)


def _colour(track: Track) -> np.ndarray:
    middle: np.ndarray = np.median([region.colour for region in track.found], axis=0)
    return middle


def _expected(track: Track, frame: int) -> Point:
    """Where its middle should be, by the frames on which it was found: between two, or on from the last two."""
    found = track.found
    if len(found) == 1:
        return found[0].centre
    times = [region.frame for region in found]
    after = min(max(int(np.searchsorted(times, frame)), 1), len(found) - 1)
    a, b = found[after - 1], found[after]
    u = (frame - a.frame) / (b.frame - a.frame)
    x, y = (p + (q - p) * u for p, q in zip(a.centre, b.centre, strict=True))
    return x, y
