"""Says what a clip shows, from its pixels alone: actors (colour, shape, motion), background, camera and look.

It is written against the vocabulary of simple scenes and shares no code with anything that draws them, so that it can
be asked about the output of a model and about rendered truth alike. What cannot be told is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Literal

import numpy as np

from manzar.nouns import Box, UsageError
from manzar.score.truth.backdrop import background_of
from manzar.score.truth.camera import Camera, at_rest, camera_of
from manzar.score.truth.look import blocks_of, hueless, line_of, unblocked
from manzar.score.truth.segment import Array, Layers, Region, distance, row_colours, separate, to_lab
from manzar.score.truth.silhouette import shape_of
from manzar.score.truth.tracks import DIRECTIONS, Track, course, follow

if TYPE_CHECKING:
    from manzar.nouns import Frames

COLOURS: dict[str, tuple[int, int, int]] = {  # CSS named colours, sRGB
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "brown": (165, 42, 42),
}
SHADED = {  # what a shaded or blended part of the latter looks like
    "brown": ("red",),
    "purple": ("magenta", "blue"),
    "gray": ("cyan",),
}
Line = Literal["dark", "pale"] | None  # drawn around an actor
HUELESS = ("white", "black", "gray")
PURE = 14.0  # ΔE from a named colour within which a pixel counts as that colour itself
PURE_SHARE = 0.15  # share of such pixels that is enough to ask them alone
HUED_SHARE = 0.06  # the same for pixels of a hue, where a line leaves little of the body
SMALL_COMPANION = 0.2  # share of the main actor's size below which another region is no actor of its own


@dataclass(frozen=True)
class SeenActor:
    """One actor. `direction` is one of eight for a translation, else None; a box is None where it is not seen."""

    colour: str | None
    shape: str | None
    motion: str | None
    direction: str | None
    boxes: tuple[Box | None, ...]


@dataclass(frozen=True)
class Seen:
    """What a clip shows; the first actor is the weightiest."""

    actors: tuple[SeenActor, ...]
    background: str | None
    camera: str | None
    look: str | None


@dataclass(frozen=True)
class Examined:
    """A clip taken apart, for whoever measures more than what is seen.

    block: side of the blocks that the picture is made of, in pixels; 1 if of none.
    layers: the clip as a camera at rest would have filmed it; tracks: those of the actors in `seen`, in their order.
    """

    seen: Seen
    block: int
    camera: Camera
    layers: Layers
    tracks: tuple[Track, ...]


def judge(frames: Frames) -> Seen:
    """Look at a clip.

    frames: uint8 (T, H, W, 3) sRGB, 64 pixels a side or more.

    Raises:
        UsageError: frames of another type or layout, or smaller than 16 pixels a side.
    """
    return examine(frames).seen


def examine(frames: Frames) -> Examined:
    """Look at a clip and keep what the verdict rests on. Frames and errors as with `judge`."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 16:
        raise UsageError(
            f"judge: frames are {frames.dtype} {frames.shape}; uint8 (T, H, W, 3) of at least 16x16 is needed"
        )
    lab = to_lab(frames)
    block = blocks_of(lab)
    if block > 1:
        lab = unblocked(lab, block)
    camera = camera_of(lab, row_colours(lab))
    layers = separate(*at_rest(lab, camera))
    tracks = _actors(follow(layers))
    outlined = line_of(layers, tracks) is not None
    seen = Seen(
        actors=tuple(
            _describe(track, camera, frames.shape[1:3], line_of(layers, [track], least=0) if outlined else None)
            for track in tracks
        ),
        background=background_of(layers.background, layers.rows),
        camera=camera.name,
        look="monochrome" if hueless(lab) else "pixelated" if block > 1 else "outline" if outlined else "flat",
    )
    return Examined(seen, block, camera, layers, tuple(tracks))


def _actors(tracks: list[Track]) -> list[Track]:
    """Tracks heavy enough beside the main one."""
    if not tracks:
        return []
    return [track for track in tracks if track.area >= SMALL_COMPANION * tracks[0].area]


def _describe(track: Track, camera: Camera, size: tuple[int, int], line: Line) -> SeenActor:
    motion, direction = course(track, min(camera.size))
    return SeenActor(
        colour=_colour(track, line),
        shape=shape_of(track.found, spinning=motion == "spin"),
        motion=motion,
        direction=direction,
        boxes=tuple(None if region is None else screen_box(region, camera, size) for region in track.regions),
    )


def screen_box(region: Region, camera: Camera, size: tuple[int, int]) -> Box:
    """From the world's pixels to shares of the frame (height, width)."""
    (scale, _, left), (_, _, top) = camera.to_world[region.frame]
    left, top = left - (scale - 1) / 2, top - (scale - 1) / 2  # of a pixel's corner, not its centre
    height, width = size
    x0, y0, x1, y1 = region.box
    x0, x1 = (min(max((x - left) / scale / width, 0), 1) for x in (x0, x1))
    y0, y1 = (min(max((y - top) / scale / height, 0), 1) for y in (y0, y1))
    return Box(x0, y0, x1, y1)


def _colour(track: Track, line: Line) -> str:
    """A line drawn around an actor is neither part of it nor of its own colour."""
    if line is None:
        return colour_name(np.concatenate([region.core for region in track.found]))
    every = np.concatenate([region.every for region in track.found])
    return colour_name(every, besides="black" if line == "dark" else "white")


def colour_name(core: Array, besides: str | None = None) -> str:
    """The CSS colour that most pixels (n, 3) in Lab are nearest to: details of other colours are outvoted.

    Where enough pixels have some colour itself, those alone vote; shaded and blended ones abstain.
    besides: the colour of a line around it, which it cannot have itself and which tinges what is next to it.
    """
    apart = distance(core[:, None], _known_colours())  # (n, 12)
    if besides is not None:
        apart[:, list(COLOURS).index(besides)] = np.inf
    pure = apart.min(axis=1) < PURE
    hued = pure & ~np.isin(apart.argmin(axis=1), [list(COLOURS).index(name) for name in HUELESS])
    if besides is not None and hued.mean() > HUED_SHARE:  # eyes, wheels and blends with the line have no named hue
        apart = apart[hued]
    elif pure.mean() > PURE_SHARE:
        apart = apart[pure]
    counts = dict(zip(COLOURS, np.bincount(apart.argmin(axis=1), minlength=len(COLOURS)).tolist(), strict=True))
    leader = max(counts, key=lambda name: counts[name])
    brighter = max(SHADED.get(leader, (leader,)), key=lambda name: counts[name])
    return brighter if counts[brighter] > 0.3 * counts[leader] else leader


@cache
def _known_colours() -> Array:
    known: Array = to_lab(np.array([[list(COLOURS.values())]], dtype=np.uint8))[0, 0]  # (12, 3)
    return known


def agrees(seen: Seen, wanted: Mapping[str, object], actor: int = 0) -> dict[str, bool | None]:
    """Which of the wanted attributes are seen.

    wanted: any of colour, shape, motion, background, camera, look, and `actors` (a number). A motion may be a class
    (translation, bounce, orbit, grow, shrink, spin, still) or one of eight directions, which is a translation.
    actor: the actor of `seen` that colour, shape and motion are asked of.

    The answer has the keys of `wanted`; a wanted motion adds `direction`, which is None when it is no translation.
    """
    main = seen.actors[actor] if actor < len(seen.actors) else None
    answer: dict[str, bool | None] = {}
    for name, value in wanted.items():
        if name in ("colour", "shape"):
            answer[name] = main is not None and getattr(main, name) == value
        elif name == "motion":
            translation = value in DIRECTIONS
            answer[name] = main is not None and main.motion == ("translation" if translation else value)
            answer["direction"] = (main is not None and main.direction == value) if translation else None
        elif name in ("background", "camera", "look"):
            answer[name] = getattr(seen, name) == value
        elif name == "actors":
            answer[name] = len(seen.actors) == value
        else:
            raise UsageError(
                f"agrees: {name!r} cannot be judged; colour, shape, motion, background, camera, look and actors can"
            )
    return answer


def agrees_each(seen: Seen, wanted: Sequence[Mapping[str, object]]) -> list[dict[str, bool | None]]:
    """`agrees` for several wanted actors, each paired with a seen one of its own: colours decide who is who, then
    shapes, then motions."""
    places = range(max(len(seen.actors), len(wanted)))
    pairings = (
        [agrees(seen, one, place) for one, place in zip(wanted, order, strict=True)]
        for order in permutations(places, len(wanted))
    )
    return max(pairings, key=lambda answers: sum(_likeness(answer) for answer in answers))


def _likeness(answer: Mapping[str, bool | None]) -> int:
    return 4 * bool(answer.get("colour")) + 2 * bool(answer.get("shape")) + bool(answer.get("motion"))


def bound(seen: Seen, wanted: Sequence[Mapping[str, object]]) -> bool | None:
    """Whether every wanted actor's colour sits on an actor, one each, that is also otherwise the one asked for.

    Otherwise the one asked for: it has the shape; where its shape cannot be told, it has the motion, with its
    direction, and no other wanted actor has the same motion. Nothing else may be seen in place of either.
    wanted: two or more of colour, shape and motion. The answer is None where colours cannot be bound wrongly, because
    two of the wanted actors have one colour or one shape.
    """
    for name in ("colour", "shape"):
        if len({one[name] for one in wanted}) < len(wanted):
            return None
    motions = [one["motion"] for one in wanted]
    return any(
        all(
            _is_it(seen.actors[place], one, telling=motions.count(one["motion"]) == 1)
            for one, place in zip(wanted, order, strict=True)
        )
        for order in permutations(range(len(seen.actors)), len(wanted))
    )


def _is_it(actor: SeenActor, wanted: Mapping[str, object], telling: bool) -> bool:
    if actor.colour != wanted["colour"]:
        return False
    if actor.shape is not None:
        return actor.shape == wanted["shape"]
    return telling and wanted["motion"] in (actor.direction, actor.motion)
