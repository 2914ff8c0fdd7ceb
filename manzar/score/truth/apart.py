"""Where the actors of a clip are, and on which frames each is seen apart from the others.

Where two meet, the judge may see one region for both, or part of one; what is measured there says nothing about either.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from manzar.score.truth.judge import Examined
from manzar.score.truth.segment import Box, Mask, Region
from manzar.score.truth.tracks import LOST, Track

TOGETHER = 3  # frames on which two tracks are both found, from which on they are two actors and not one that changed
MARGIN = 2.0  # pixels between two boxes that are apart
LARGEST = 0.4  # share of the frame above which a region is no actor but the picture itself


@dataclass(frozen=True)
class Life:
    """One actor over the frames of a clip.

    alone: its regions apart from all other actors, in order; missing: frames on which it is gone and hidden by no one.
    """

    alone: tuple[Region, ...]
    missing: tuple[int, ...]

    @property
    def presence(self) -> float:
        """Share of the frames, of those on which it should be seen, on which it is."""
        return len(self.alone) / max(len(self.alone) + len(self.missing), 1)


def lives(judged: Examined) -> list[Life]:
    """One for each of the tracks, in their order."""
    return [_life(track, [other for other in judged.tracks if other is not track and _together(track, other)])
            for track in judged.tracks]  # fmt: skip


def _together(one: Track, other: Track) -> bool:
    return sum(a is not None and b is not None for a, b in zip(one.regions, other.regions, strict=True)) >= TOGETHER


def _life(track: Track, others: list[Track]) -> Life:
    alone, missing = [], []
    own, theirs = places(track), [places(other) for other in others]
    for frame, region in enumerate(track.regions):
        if any(_touch(own[frame], boxes[frame]) for boxes in theirs):
            continue
        if region is None:
            missing.append(frame)
        else:
            alone.append(region)
    return Life(tuple(alone), tuple(missing))


def places(track: Track) -> list[Box | None]:
    """A track's box in pixels on every frame; where it is lost for a while, what holds the boxes before and after.

    None more than LOST frames before it is first found, or after it is last found.
    """
    found = track.found
    frames = [region.frame for region in found]
    boxes: list[Box | None] = []
    for frame, region in enumerate(track.regions):
        after = int(np.searchsorted(frames, frame))
        near = [region] if region else [found[i] for i in (after - 1, after) if 0 <= i < len(found)]
        x0, y0, x1, y1 = zip(*(one.box for one in near), strict=True)
        within = frames[0] - LOST <= frame <= frames[-1] + LOST
        boxes.append((min(x0), min(y0), max(x1), max(y1)) if within else None)
    return boxes


def _touch(a: Box | None, b: Box | None) -> bool:
    if a is None or b is None:
        return False
    return a[0] < b[2] + MARGIN and b[0] < a[2] + MARGIN and a[1] < b[3] + MARGIN and b[1] < a[3] + MARGIN


def bare_ground(judged: Examined) -> Mask:
    """(T, h, w) of the world: what each frame shows with no actor on it or next to it."""
    edge = np.ones((3, 3), np.uint8)
    shown = [cv2.erode(view.astype(np.uint8), edge, borderType=cv2.BORDER_REPLICATE) for view in judged.layers.visible]
    bare: Mask = np.stack(shown) > 0
    for track in judged.tracks:
        for frame, (region, box) in enumerate(zip(track.regions, places(track), strict=True)):
            if region is None and box is not None:
                x0, y0, x1, y1 = (int(value) for value in box)
                bare[frame, max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] &= (x1 - x0) * (y1 - y0) > _most(bare)
            elif region is not None and region.area < _most(bare):
                left, top = region.corner
                height, width = region.cover.shape
                covered = np.zeros(bare.shape[1:], np.uint8)
                covered[top : top + height, left : left + width] = region.whole > 0.1
                bare[frame] &= cv2.dilate(covered, edge, iterations=2) == 0
    return bare


def _most(bare: Mask) -> float:
    return LARGEST * float(bare[0].size)
