"""English."""

from __future__ import annotations

from manzar.world.telling import Telling, Thing, listed, sentence

VERBS: dict[str, tuple[str, str, str]] = {  # finite, participle, the rest
    "left": ("moves", "moving", "to the left"),
    "right": ("moves", "moving", "to the right"),
    "up": ("moves", "moving", "up"),
    "down": ("moves", "moving", "down"),
    "up-left": ("moves", "moving", "diagonally up and to the left"),
    "up-right": ("moves", "moving", "diagonally up and to the right"),
    "down-left": ("moves", "moving", "diagonally down and to the left"),
    "down-right": ("moves", "moving", "diagonally down and to the right"),
    "bounce": ("bounces", "bouncing", "up and down"),
    "orbit": ("moves", "moving", "in a circle"),
    "grow": ("grows", "growing", "larger"),
    "shrink": ("shrinks", "shrinking", "steadily"),
    "spin": ("spins", "spinning", "in place"),
    "still": ("stays", "staying", "still"),
}
PLACES = {  # the background as a place, and as a thing
    "gradient": ("on a gradient background", "a gradient"),
    "sky": ("in front of a cloudy sky", "a cloudy sky"),
    "sea": ("in front of the sea", "the sea"),
    "grass": ("in front of a grassy field", "a grassy field"),
    "night": ("in front of a starry night sky", "a starry night sky"),
}
CAMERAS = {
    "pan left": "the camera pans left",
    "pan right": "the camera pans right",
    "zoom in": "the camera zooms in",
    "zoom out": "the camera zooms out",
}
LOOKS = {
    "outline": "with bold outlines",
    "pixelated": "in pixel art style",
    "monochrome": "in black and white",
    "sepia": "in sepia tones",
}
RELATIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


def say(told: Telling, phrasing: int) -> str:
    main = _moving(told, phrasing) if told.moving else _still(told, phrasing)
    parts = [main]
    if told.relation:
        first, second = (f"the {name(thing)}" for thing in told.things)
        parts.append(f"{first} is {RELATIONS[told.relation]} {second}")
    if told.camera:
        parts.append(CAMERAS[told.camera])
    return " ".join(sentence(part[0].upper() + part[1:]) for part in parts)


def _moving(told: Telling, phrasing: int) -> str:
    if phrasing == 0:
        clauses = [f"{_a(thing)} {_verb(thing, 0)}" for thing in told.things]
        return _joined(listed(clauses, ", ", " and "), _place(told), _look(told))
    if phrasing == 1:
        clauses = [f"{_a(thing)} is {_verb(thing, 1)}" for thing in told.things]
        return _joined(listed(clauses, ", ", ", and "), _look(told)) + _behind(told)
    clauses = [f"{_a(thing)} {_verb(thing, 1)}" for thing in told.things]
    if phrasing == 2:
        return _joined("a video of", listed(clauses, ", ", " and "), _place(told), _look(told))
    opening = _place(told) + ", " if _place(told) else ""
    return opening + _joined("there is", listed(clauses, ", ", " and "), _look(told))


def _still(told: Telling, phrasing: int) -> str:
    things = listed([_a(thing) for thing in told.things], ", ", " and ")
    if phrasing == 0:
        return _joined("a still image of", things, _place(told), _look(told))
    if phrasing == 1:
        return _joined("a still image shows", things, _look(told)) + _behind(told)
    if phrasing == 2:
        return _joined("a picture of", things, _place(told), _look(told))
    return _joined(things, _place(told), _look(told)) + ", still image"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def name(thing: Thing) -> str:
    if thing.shape == "person" and thing.colour:
        return _joined(thing.size or "", f"person in {thing.colour}")
    return _joined(thing.size or "", thing.colour or "", thing.shape)


def _a(thing: Thing) -> str:
    named = name(thing)
    return f"an {named}" if named[0] in "aeiou" else f"a {named}"


def _verb(thing: Thing, form: int) -> str:
    assert thing.motion is not None
    return f"{VERBS[thing.motion][form]} {VERBS[thing.motion][2]}"


def _place(told: Telling) -> str:
    if told.background is None:
        return ""
    if told.background == "plain":
        return f"on {'an' if told.backdrop[0] in 'aeiou' else 'a'} {told.backdrop} background"
    return PLACES[told.background][0]


def _behind(told: Telling) -> str:
    if told.background is None:
        return ""
    what = told.backdrop if told.background == "plain" else PLACES[told.background][1]
    return f"; the background is {what}"


def _look(told: Telling) -> str:
    return LOOKS[told.look] if told.look else ""
