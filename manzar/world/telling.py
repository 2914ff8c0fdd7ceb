"""What a caption has to say about a scene, before any language says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manzar.world.scene import HUELESS_LOOKS, Scene, relation

PHRASINGS = 4
TOLD_WITHOUT_HUE = {"monochrome": frozenset({"white", "black", "gray"}), "sepia": frozenset({"black"})}


@dataclass(frozen=True)
class Thing:
    """An actor as it is told of; None leaves the attribute out."""

    shape: str
    colour: str | None
    size: str | None
    motion: str | None


@dataclass(frozen=True)
class Telling:
    """The content of one caption; None leaves the part out.

    background: one of BACKGROUNDS; backdrop: the colour of a plain one.
    relation: where the first of two things stays relative to the second.
    moving: False for a still image, of which neither motion nor camera is told.
    """

    things: tuple[Thing, ...]
    background: str | None
    backdrop: str
    camera: str | None
    look: str | None
    relation: str | None
    moving: bool


def tell(scene: Scene, moving: bool = True) -> Telling:
    """Leaves out what is ordinary (white plain background, still camera, flat look, medium size) or cannot be seen."""
    mono = scene.look in HUELESS_LOOKS
    things = tuple(
        Thing(
            actor.shape,
            None if mono else actor.colour,
            None if actor.size == "medium" or actor.motion in ("grow", "shrink") else actor.size,
            actor.motion if moving else None,
        )
        for actor in scene.actors
    )
    plain = scene.background == "plain"
    unsaid = plain and (scene.backdrop == "white" or (mono and scene.backdrop not in TOLD_WITHOUT_HUE[scene.look]))
    return Telling(
        things,
        None if unsaid else scene.background,
        scene.backdrop,
        scene.camera if moving and scene.camera != "still" else None,
        None if scene.look == "flat" else scene.look,
        relation(scene),
        moving,
    )


def sentence(*parts: str, stop: str = ".") -> str:
    """Parts joined by spaces, empty ones left out, closed by `stop`."""
    return " ".join(part for part in parts if part) + stop


def listed(items: Sequence[str], comma: str, last: str) -> str:
    """`a, b and c` with the given separators."""
    if len(items) == 1:
        return items[0]
    return comma.join(items[:-1]) + last + items[-1]
