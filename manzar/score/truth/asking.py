"""What was asked of a film of the world, and who of those seen in it is who of those asked for.

A film carries it as plain JSON in `film.asked.details["world"]`:

    {"actors": [{"colour": "red", "shape": "star", "motion": "left"}, ...],
     "background": "plain", "backdrop": "gray", "camera": "still", "look": "flat", "relation": "left"}

A motion is one of eight directions (left, up-right, ...) or bounce, orbit, grow, shrink, spin, still. `relation` is
where the first of two actors stays relative to the second: left, right, above or below. Colour, backdrop (the colour of
a plain background) and relation are null, or absent, where nothing was said of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import cv2
import numpy as np

from manzar.nouns import DataError, Frames
from manzar.score.bench import Bench
from manzar.score.dimension import Unscored
from manzar.score.film import Film
from manzar.score.truth.judge import Examined, Seen, SeenActor, examine
from manzar.score.truth.tracks import DIRECTIONS

RELATIONS = ("left", "right", "above", "below")
SIDE = 96  # pixels; larger films are made smaller by a whole factor, to no less than this on the shorter side
SMALLEST_SIDE = 16
MOST_ACTORS = 6  # asked for: every way of pairing them with those seen is tried


@dataclass(frozen=True)
class AskedActor:
    colour: str | None
    shape: str
    motion: str


@dataclass(frozen=True)
class AskedWorld:
    actors: tuple[AskedActor, ...]
    background: str
    camera: str
    look: str
    backdrop: str | None = None
    relation: str | None = None


def asked_world(film: Film) -> AskedWorld:
    """What was asked of a film. Raises Unscored where nobody says, DataError where it is said in another form."""
    given = film.asked.details.get("world")
    if given is None:
        raise Unscored("nothing says what scene of the world was asked for")
    try:
        actors = tuple(AskedActor(one.get("colour"), str(one["shape"]), str(one["motion"])) for one in given["actors"])
        asked = AskedWorld(actors, str(given["background"]), str(given["camera"]), str(given["look"]),
                           given.get("backdrop"), given.get("relation"))  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{film.path}: its world {_short(given)} lacks {error}; actors with shape and motion, "
                        "background, camera and look are needed") from error
    if not 1 <= len(actors) <= MOST_ACTORS or asked.relation not in (None, *RELATIONS):
        raise DataError(f"{film.path}: its world {_short(given)} needs 1 to {MOST_ACTORS} actors, and a relation that "
                        f"is one of {', '.join(RELATIONS)} or none")
    return asked


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) < 200 else text[:200] + "…"


def examined(film: Film, bench: Bench) -> Examined:
    """What the judge makes of a film, once for all dimensions. Raises Unscored for one too small to be judged."""
    if min(film.frames.shape[1:3]) < SMALLEST_SIDE:
        raise Unscored(f"{film.frames.shape[2]}x{film.frames.shape[1]} pixels are too few to judge")
    return bench.once("truth", lambda: examine(handy(film.frames)))


def handy(frames: Frames) -> Frames:
    """uint8 (T, H, W, 3), as small as the judge can do with: what it measures is in shares of the frame."""
    factor = min(frames.shape[1:3]) // SIDE
    if factor < 2:
        return frames
    size = (frames.shape[2] // factor, frames.shape[1] // factor)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def has(actor: SeenActor | None, name: str, value: str | None) -> bool:
    """Whether an actor has the colour, shape or motion asked for; a direction is a motion."""
    if actor is None or value is None:
        return False
    if name == "motion":
        return value == (actor.direction if value in DIRECTIONS else actor.motion)
    return bool(getattr(actor, name) == value)


def paired(seen: Seen, asked: AskedWorld, by: Sequence[str]) -> list[SeenActor | None]:
    """For each actor asked for the one seen that is it; None where too few are seen.

    One alone must be the weightiest seen. Of several each has one of its own, so that `by` agrees best: attributes,
    the one that decides first.
    """
    if len(asked.actors) == 1:
        return [seen.actors[0] if seen.actors else None]
    places: list[SeenActor | None] = [*seen.actors]
    places += [None] * (len(asked.actors) - len(places))
    weights = [2 ** (len(by) - 1 - rank) for rank in range(len(by))]

    def likeness(order: Iterable[SeenActor | None]) -> int:
        return sum(
            weight * has(one, name, getattr(wanted, name))
            for one, wanted in zip(order, asked.actors, strict=True)
            for name, weight in zip(by, weights, strict=True)
        )

    return list(max(permutations(places, len(asked.actors)), key=likeness))
