"""Colour: of the frames in which the object of the prompt is seen with a colour, how many show the colour asked for."""

from __future__ import annotations

from collections.abc import Sequence

from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film
from manzar.score.sightings import DenseCaption, Sightings, asked, sighted
from manzar.score.suite import colour_object

COLOURS = ("white", "red", "pink", "blue", "silver", "purple", "orange", "green", "gray", "yellow", "black", "grey")


def coloured(colour: str, wanted: str, frames: Sequence[Sequence[DenseCaption]]) -> tuple[int, int]:
    """(frames in which `wanted` is seen with any colour, frames in which it is seen with this one).

    As VBench counts: every caption of a frame is taken to be of the frame's first object, so only a frame whose first
    object is the wanted one counts at all, and then any caption in it may name the colour. Colours are looked for
    within words, so "red" is in "colored".
    """
    spoken = [[caption.text for caption in frame] for frame in frames if frame and frame[0].name == wanted]
    with_any = sum(any(known in text for text in texts for known in COLOURS) for texts in spoken)
    with_this = sum(any(colour in text for text in texts) for texts in spoken)
    return with_any, with_this


def judge(film: Film, seen: Sightings) -> Measured:
    """Raises Unscored where the object is never seen with a colour: VBench leaves such films out of the mean."""
    colour = asked(film, "color")["color"]
    wanted = colour_object(film.asked.prompt or "", colour)
    with_any, with_this = coloured(colour, wanted, seen.dense)
    if not with_any:
        raise Unscored(f"no {wanted} with a colour was seen; VBench leaves such films out")
    return Measured.of(with_this / with_any, wanted=f"{colour} {wanted}", frames_with_object=with_any,
                       frames_with_colour=with_this)  # fmt: skip


def stand_in(maker: str) -> Dimension:
    """The same in the words of another captioner."""
    return sighted("color", "dense", judge, maker)


DIMENSION = sighted("color", "dense", judge)
