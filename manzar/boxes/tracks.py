"""Boxes over time: one per pixel frame, and one per latent frame, which covers several of those.

A causal VAE with `r` pixel frames to a latent one puts pixel frame 0 into latent frame 0, and r(k-1)+1 … rk into k.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from manzar.boxes.geometry import Side, beyond, border, clip, flipped, lerp, to_view, union, visible
from manzar.nouns import Box, BoxTrack

Boxes = tuple[Box, ...]


@dataclass(frozen=True)
class Plan:
    """Where one object is to be: a box for every pixel frame, a line where it is out of view.

    hard: whether that frame's box is the object's own outline; else it is a region that the object stays within.
    exact: the outline that is expected on every frame, as well as it can be told; regions without a hard box anywhere.
    """

    name: str
    boxes: Boxes
    hard: tuple[bool, ...]
    exact: Boxes

    def __post_init__(self) -> None:
        sizes = len(self.boxes), len(self.hard), len(self.exact)
        assert sizes[0] == sizes[1] == sizes[2] > 0, f"{sizes} boxes, flags and outlines"


# ---- pixel frames ----------------------------------------------------------------------------------------------------


def span(boxes: Sequence[Box | None]) -> range:
    """From the first frame on which anything is visible to the last; empty if nothing ever is."""
    seen = [frame for frame, box in enumerate(boxes) if box is not None and visible(box)]
    return range(seen[0], seen[-1] + 1) if seen else range(0)


def spoken(name: str) -> str:
    """What the name of an object says that it is: without the number that tells it from others; "" for "object 2"."""
    what = re.sub(r"[\s#_-]*\d+$", "", name).strip()
    return "" if what.lower() in ("", "object", "class") else what


def flip_track(track: BoxTrack) -> BoxTrack:
    """The track of the same film seen in a mirror."""
    return _each(track, flipped)


def crop_track(track: BoxTrack, window: Box) -> BoxTrack:
    """The track of the same film cropped to `window`; None on frames where the object lies outside."""
    return _each(track, lambda box: clip(to_view(box, window)))


def _each(track: BoxTrack, change: Callable[[Box], Box | None]) -> BoxTrack:
    return BoxTrack(track.name, tuple(None if box is None else change(box) for box in track.boxes))


def lined(boxes: Sequence[Box | None]) -> Boxes | None:
    """A box for every frame. Before it is first seen and after it is last seen that is a line on the nearest border.

    What is missing in between was covered, or lost by a tracker, and has not left: it moves evenly there. None if
    nothing is ever seen.
    """
    known = [(frame, box) for frame, box in enumerate(boxes) if box is not None and visible(box)]
    if not known:
        return None
    (first, entering), (last, leaving) = known[0], known[-1]
    inner = [entering]
    for (start, a), (end, b) in pairwise(known):
        inner += [lerp(a, b, (frame - start) / (end - start)) for frame in range(start + 1, end + 1)]
    return (_edge(entering),) * first + tuple(inner) + (_edge(leaving),) * (len(boxes) - 1 - last)


def _edge(box: Box) -> Box:
    """The line on the border that is nearest to a box."""
    room: dict[Side, float] = {"left": box.x0, "right": 1 - box.x1, "top": box.y0, "bottom": 1 - box.y1}
    return border(beyond(box, min(room, key=lambda side: room[side])))


# ---- latent frames ---------------------------------------------------------------------------------------------------


def groups(frames: int, r: int) -> list[range]:
    """The pixel frames that each latent frame covers; `frames` is 1 + r·k."""
    assert r >= 1 and frames >= 1 and (frames - 1) % r == 0, f"{frames} frames are not 1 + {r}k"
    return [range(1), *(range(start, start + r) for start in range(1, frames, r))]


def hard_latent(boxes: Sequence[Box], r: int) -> Boxes:
    """Of the boxes of all pixel frames, that in the middle of each latent frame."""
    return tuple(boxes[group[len(group) // 2]] for group in groups(len(boxes), r))


def soft_latent(boxes: Sequence[Box], r: int) -> Boxes:
    """Of the boxes of all pixel frames, the union within each latent frame."""
    return tuple(_together([boxes[frame] for frame in group]) for group in groups(len(boxes), r))


def latent_plan(plan: Plan, r: int) -> tuple[Boxes, tuple[bool, ...]]:
    """A box for each latent frame, and whether it is hard.

    It is hard where one of the pixel frames that it covers is: then the outline in its middle, as in training, which
    is at most a few frames along the course from the one that was given. Else it is the union of all, soft.
    """
    hard = [any(plan.hard[frame] for frame in group) for group in groups(len(plan.boxes), r)]
    chosen = zip(hard, hard_latent(plan.exact, r), soft_latent(plan.boxes, r), strict=True)
    return tuple(outline if sharp else region for sharp, outline, region in chosen), tuple(hard)


def _together(boxes: Sequence[Box]) -> Box:
    """The union; of boxes that are all out of view the middle one, since lines on two borders span the whole frame."""
    return union(boxes) if any(visible(box) for box in boxes) else boxes[len(boxes) // 2]
