"""Object class: how many of sixteen frames hold the object of the prompt, by a detector's own names."""

from __future__ import annotations

from collections.abc import Sequence

from manzar.score.dimension import Dimension, Measured
from manzar.score.film import Film
from manzar.score.sightings import Detection, Sightings, asked, sighted


def hits(wanted: Sequence[str], frames: Sequence[Sequence[Detection]]) -> list[bool]:
    """Whether each frame holds objects of all the `wanted` names; names are the same to the letter or not at all."""
    return [set(wanted) <= {seen.name for seen in frame} for frame in frames]


def judge(film: Film, seen: Sightings) -> Measured:
    wanted = asked(film, "object_class")["object"]
    return share(hits([wanted], seen.objects), wanted=wanted)


def share(successes: Sequence[bool], **detail: str) -> Measured:
    """Frames that succeed, of all; the dimension's mean is taken over the frames of all films."""
    parts = tuple(map(float, successes))
    return Measured(sum(parts) / len(parts), parts, {**detail, "success_frame_count": sum(successes),
                                                     "frame_count": len(parts)})  # fmt: skip


def stand_in(maker: str) -> Dimension:
    """The same by the eyes of another detector."""
    return sighted("object_class", "objects", judge, maker)


DIMENSION = sighted("object_class", "objects", judge)
