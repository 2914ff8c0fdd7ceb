"""Says what a clip shows, from its pixels alone: actors (colour, shape, motion), background, camera and look.

It is written against the vocabulary of simple scenes and shares no code with anything that draws them, so that it can
be asked about the output of a model and about rendered truth alike. What cannot be told is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from manzar.nouns import Box, UsageError
from manzar.score.backdrop import background_of, camera_of, look_of
from manzar.score.segment import Array, Region, distance, separate, to_lab
from manzar.score.silhouette import shape_of
from manzar.score.tracks import DIRECTIONS, Track, course, follow

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


def judge(frames: Frames) -> Seen:
    """Look at a clip.

    frames: uint8 (T, H, W, 3) sRGB, 64 pixels a side or more.

    Raises:
        UsageError: frames of another type or layout, or smaller than 16 pixels a side.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 16:
        raise UsageError(
            f"judge: frames are {frames.dtype} {frames.shape}; uint8 (T, H, W, 3) of at least 16x16 is needed"
        )
    layers = separate(frames)
    tracks = _actors(follow(layers))
    return Seen(
        actors=tuple(_describe(track, frames.shape[1], frames.shape[2]) for track in tracks),
        background=background_of(layers),
        camera=camera_of(layers),
        look=look_of(layers),
    )


def _actors(tracks: list[Track]) -> list[Track]:
    """Tracks heavy enough beside the main one."""
    if not tracks:
        return []
    return [track for track in tracks if track.area >= SMALL_COMPANION * tracks[0].area]


def _describe(track: Track, height: int, width: int) -> SeenActor:
    motion, direction = course(track, min(height, width))
    return SeenActor(
        colour=colour_name(np.concatenate([region.core for region in track.found])),
        shape=shape_of(track.found, spinning=motion == "spin"),
        motion=motion,
        direction=direction,
        boxes=tuple(_box(region, height, width) for region in track.regions),
    )


def _box(region: Region | None, height: int, width: int) -> Box | None:
    if region is None:
        return None
    x0, y0, x1, y1 = region.box
    return Box(x0 / width, y0 / height, x1 / width, y1 / height)


def colour_name(core: Array) -> str:
    """The CSS colour that most pixels (n, 3) in Lab are nearest to: details of other colours are outvoted."""
    votes = distance(core[:, None], _known_colours()).argmin(axis=1)  # (n,)
    counts = dict(zip(COLOURS, np.bincount(votes, minlength=len(COLOURS)).tolist(), strict=True))
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
    """`agrees` for several wanted actors, each paired with a seen one of its own, colours deciding who is who."""
    places = range(max(len(seen.actors), len(wanted)))
    pairings = (
        [agrees(seen, one, place) for one, place in zip(wanted, order, strict=True)]
        for order in permutations(places, len(wanted))
    )
    return max(pairings, key=lambda answers: sum(2 * bool(a.get("colour")) + bool(a.get("shape")) for a in answers))
