"""Scene: in how many of sixteen frames a caption names the place of the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from manzar.score.dimension import Dimension, Measured
from manzar.score.dimensions.object_class import share
from manzar.score.film import Film
from manzar.score.sightings import Sightings, asked, sighted
from manzar.score.suite import scene_words


def hits(words: Sequence[str], captions: Sequence[str]) -> list[bool]:
    """Whether each caption holds all the words, in any order; a word may be a part of a longer one."""
    return [all(word in caption for word in words) for caption in captions]


def judge(film: Film, seen: Sightings) -> Measured:
    wanted = asked(film, "scene")["scene"]["scene"]
    return share(hits(scene_words(wanted), seen.scenes), wanted=wanted)


def stand_in(maker: str) -> Dimension:
    """The same in the words of another captioner."""
    return sighted("scene", "scenes", judge, maker)


DIMENSION = sighted("scene", "scenes", judge)
