"""Multiple objects: how many of sixteen frames hold both objects of the prompt at once."""

from __future__ import annotations

from manzar.score.dimension import Dimension, Measured
from manzar.score.dimensions.object_class import hits, share
from manzar.score.film import Film
from manzar.score.sightings import Sightings, asked, sighted
from manzar.score.suite import both_objects


def judge(film: Film, seen: Sightings) -> Measured:
    wanted = asked(film, "multiple_objects")["object"]
    return share(hits(both_objects(wanted), seen.objects), wanted=wanted)


def stand_in(maker: str) -> Dimension:
    """The same by the eyes of another detector."""
    return sighted("multiple_objects", "objects", judge, maker)


DIMENSION = sighted("multiple_objects", "objects", judge)
