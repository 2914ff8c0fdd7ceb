"""Whether a film of the world shows what its prompt asks for: ten of VBench's ideas, with exact truth to hold it to.

Every value is a share in [0, 1]: of the actors, of the frames, or of all that was asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from manzar.nouns import Box
from manzar.score.bench import Bench
from manzar.score.dimension import Measured, Unscored
from manzar.score.film import Film
from manzar.score.truth.asking import AskedWorld, asked_world, examined, has, paired
from manzar.score.truth.judge import HUELESS, Examined, SeenActor, bound, colour_name
from manzar.score.truth.tracks import DIRECTIONS

CLEAR_OF = 0.5  # of half the two extents together: how far apart centres are that stand beside one another


def one_object(film: Film, bench: Bench) -> Measured:
    """Share of the actors asked for whose shape is seen (object class)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    found = paired(seen, asked, ("shape", "colour", "motion"))
    return _share(has(one, "shape", want.shape) for one, want in zip(found, asked.actors, strict=True))


def objects(film: Film, bench: Bench) -> Measured:
    """1 if just the actors asked for are seen, by number and shapes; two or more are asked for (multiple objects)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    if len(asked.actors) < 2:
        raise Unscored("only one actor is asked for")
    shapes = sorted(str(actor.shape) for actor in seen.actors)
    return Measured.of(float(shapes == sorted(actor.shape for actor in asked.actors)), seen=shapes)


def colour(film: Film, bench: Bench) -> Measured:
    """Share of the actors asked for that have their colour; shape and motion say who is who (color)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    found = paired(seen, asked, ("shape", "motion", "colour"))
    pairs = [(one, want) for one, want in zip(found, asked.actors, strict=True) if want.colour is not None]
    if not pairs:
        raise Unscored("no colour is asked for")
    return _share(has(one, "colour", want.colour) for one, want in pairs)


def relation(film: Film, bench: Bench) -> Measured:
    """Share of frames on which the first actor stands where it was asked to, relative to the second (spatial
    relationship). 0 where either is not there, or has neither the colour nor the shape asked for."""
    asked, seen = asked_world(film), examined(film, bench).seen
    if asked.relation is None:
        raise Unscored("nothing is asked about where the actors stand")
    if len(asked.actors) != 2:
        raise Unscored(f"a relation holds between two actors, and {len(asked.actors)} are asked for")
    return Measured.of(_related(paired(seen, asked, ("colour", "shape", "motion")), asked))


def _related(found: list[SeenActor | None], asked: AskedWorld) -> float:
    first, second = found
    known = all(has(one, "colour", want.colour) or has(one, "shape", want.shape)
                for one, want in zip(found, asked.actors, strict=True))  # fmt: skip
    if first is None or second is None or not known:
        return 0.0
    assert asked.relation is not None
    frames = [stands(a, b, asked.relation) for a, b in zip(first.boxes, second.boxes, strict=True) if a and b]
    return sum(frames) / len(frames) if frames else 0.0


def stands(first: Box, second: Box, relation: str) -> bool:
    """Whether the first box is left of, right of, above or below the second one, clearly enough to be said so."""
    if relation in ("left", "right"):
        gap = (second.x0 + second.x1 - first.x0 - first.x1) / 2
        extents = (first.x1 - first.x0 + second.x1 - second.x0) / 2
    else:
        gap = (second.y0 + second.y1 - first.y0 - first.y1) / 2
        extents = (first.y1 - first.y0 + second.y1 - second.y0) / 2
    return (gap if relation in ("left", "above") else -gap) > CLEAR_OF * extents


def action(film: Film, bench: Bench) -> Measured:
    """Share of the actors asked for that move as asked, in the direction asked (human action)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    found = paired(seen, asked, ("colour", "shape", "motion"))
    return _share(has(one, "motion", want.motion) for one, want in zip(found, asked.actors, strict=True))


def scene(film: Film, bench: Bench) -> Measured:
    """1 if the background is the one asked for, and has the colour asked for (scene)."""
    asked, judged = asked_world(film), examined(film, bench)
    return Measured.of(float(all(_background(asked, judged))), seen=judged.seen.background)


def _background(asked: AskedWorld, judged: Examined) -> Iterator[bool]:
    yield judged.seen.background == asked.background
    if asked.background == "plain" and asked.backdrop is not None:
        yield colour_name(judged.layers.rows) == asked.backdrop


def look(film: Film, bench: Bench) -> Measured:
    """1 if the picture has the look asked for (appearance style)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    if not _has_hue(asked) and asked.look != "monochrome":
        raise Unscored("nothing asked for has a hue, so no one could tell its look from monochrome")
    return Measured.of(float(seen.look == asked.look), seen=seen.look)


def _has_hue(asked: AskedWorld) -> bool:
    named = {actor.colour for actor in asked.actors} | {asked.backdrop or "white"}
    return asked.background != "plain" or not named <= {*HUELESS}


def camera(film: Film, bench: Bench) -> Measured:
    """1 if the camera moves as asked (temporal style)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    return Measured.of(float(seen.camera == asked.camera), seen=seen.camera)


def consistency(film: Film, bench: Bench) -> Measured:
    """Share of everything asked for that is seen, each attribute of each actor counting once (overall consistency).

    With two actors or more, whether colours sit on the right ones counts as well: it is lost when they are swapped.
    """
    asked, judged = asked_world(film), examined(film, bench)
    answers = dict(_answers(asked, judged))
    return Measured.of(sum(answers.values()) / len(answers), missed=[name for name, hit in answers.items() if not hit])


def _answers(asked: AskedWorld, judged: Examined) -> Iterator[tuple[str, bool]]:
    """(what was asked, whether it is seen)."""
    seen = judged.seen
    found = paired(seen, asked, ("colour", "shape", "motion"))
    for place, (one, want) in enumerate(zip(found, asked.actors, strict=True)):
        yield f"shape {place}", has(one, "shape", want.shape)
        if want.colour is not None:
            yield f"colour {place}", has(one, "colour", want.colour)
        yield f"motion {place}", one is not None and want.motion in (*DIRECTIONS, one.motion) and (
            want.motion not in DIRECTIONS or one.motion == "translation")  # fmt: skip
        if want.motion in DIRECTIONS:
            yield f"direction {place}", has(one, "motion", want.motion)
    yield "number", len(seen.actors) == len(asked.actors)
    yield from zip(("background", "backdrop"), _background(asked, judged), strict=False)
    yield "camera", seen.camera == asked.camera
    if _has_hue(asked) or asked.look == "monochrome":
        yield "look", seen.look == asked.look
    if len(asked.actors) == 2 and asked.relation is not None:
        yield "relation", _related(found, asked) > 0.5
    wanted = [{"colour": one.colour, "shape": one.shape, "motion": one.motion} for one in asked.actors]
    if len(wanted) > 1 and None not in {one.colour for one in asked.actors}:
        sits = bound(seen, wanted)
        if sits is not None:
            yield "binding", sits


def dynamic(film: Film, bench: Bench) -> Measured:
    """Share of actors and camera that move if they were asked to, and only then (dynamic degree)."""
    asked, seen = asked_world(film), examined(film, bench).seen
    found = paired(seen, asked, ("colour", "shape", "motion"))
    answers = [one is not None and (one.motion != "still") == (want.motion != "still")
               for one, want in zip(found, asked.actors, strict=True)]  # fmt: skip
    return _share(iter([*answers, (seen.camera != "still") == (asked.camera != "still")]))


def _share(answers: Iterator[bool]) -> Measured:
    hits = [bool(answer) for answer in answers]
    return Measured.of(sum(hits) / len(hits), n=len(hits))
