"""boxes.json: what a person says about where things go, and how it becomes a box for every frame.

    {"objects": [
        {"name": "red ball",                              optional; "object 1", "object 2", … otherwise
         "keys": [{"time": 0.0, "box": [0.1, 0.4, 0.3, 0.6]},
                  {"time": 2.0, "box": [0.6, 0.3, 0.9, 0.7], "kind": "soft"}],
         "path": [[0.3, 0.2], [0.6, 0.2]],                optional: points that its centre passes between two keys
         "enter": "left", "leave": "right",               optional: the borders it comes and goes by
         "pin": true}],                                   optional, of a single key: hard on every frame
     "camera": {"keys": [{"time": 0, "box": [0, 0, 1, 1]}, {"time": 2, "box": [0.3, 0, 1.3, 1]}]},
     "relax": 1.0}

A key says when by one of "time" in seconds, "frame", and "at", a share of the clip from 0 to 1. `docs/boxes.md` shows
each of these at work.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from manzar.boxes.course import Course, Knot, camera_path, travel
from manzar.boxes.geometry import SIDES, Point, Side
from manzar.boxes.tracks import Plan
from manzar.nouns import Box, UsageError, existing

Unit = Literal["time", "frame", "at"]
UNITS: tuple[Unit, ...] = ("time", "frame", "at")
FARTHEST, SMALLEST = 100.0, 1e-3  # in frames: how far a scene reaches, and how small a box may be in it
BESIDE = 1e-6  # seconds and shares by which a key may miss the end of the clip: rounding, not a mistake


class BoxError(UsageError):
    """Boxes that cannot be meant; the message names the file, the object and the key."""


@dataclass(frozen=True)
class Key:
    """A box at a moment: `when` in seconds, frames or shares of the clip, as `unit` says."""

    when: float
    unit: Unit
    box: Box
    hard: bool = True


@dataclass(frozen=True)
class Thing:
    """What is said of one object. The fields are those of boxes.json."""

    name: str
    keys: tuple[Key, ...]
    path: tuple[Point, ...] = ()
    enter: Side | None = None
    leave: Side | None = None
    pin: bool = False


@dataclass(frozen=True)
class BoxScript:
    """A boxes.json that makes sense by itself. `source` is what errors call it."""

    objects: tuple[Thing, ...]
    camera: tuple[Key, ...] = ()
    relax: float = 1.0
    source: str = "boxes"

    def resolve(self, frames: int, fps: float, maximum: int) -> list[Plan]:
        """A plan for each object, over the pixel frames of a clip.

        maximum: how many objects the model can hold apart.
        Raises BoxError for too many objects, and for keys that do not fit a clip of this length.
        """
        clip = _Clip(self.source, frames, fps)
        if len(self.objects) > maximum:
            first = self.objects[maximum].name
            raise BoxError(f"{self.source}: {len(self.objects)} objects, of which {first!r} is the first too many; "
                           f"this model holds {maximum} apart")  # fmt: skip
        views = camera_path(clip.knots("camera", self.camera), frames)
        return [travel(clip.course(thing), views, self.relax) for thing in self.objects]

    def to_dict(self) -> dict[str, Any]:
        """The plain JSON that `read_script` reads this script from."""
        told: dict[str, Any] = {"objects": [_thing_told(thing) for thing in self.objects]}
        if self.camera:
            told["camera"] = {"keys": [_key_told(key) for key in self.camera]}
        return told | ({"relax": self.relax} if self.relax != 1.0 else {})


def _thing_told(thing: Thing) -> dict[str, Any]:
    keys = [_key_told(key) | {"kind": "hard" if key.hard else "soft"} for key in thing.keys]
    others = {name: value for name, value in asdict(thing).items() if name not in ("name", "keys") and value}
    return {"name": thing.name, "keys": keys, **others}


def _key_told(key: Key) -> dict[str, Any]:
    return {key.unit: int(key.when) if key.unit == "frame" else key.when, "box": key.box.as_list()}


def read_script(source: Path | str | Mapping[str, Any]) -> BoxScript:
    """boxes.json from a file (Path), its text (str) or what was parsed of it.

    Raises BoxError, one line, for whatever is wrong without regard to a clip; UsageError for a file that is not there.
    """
    place = str(source) if isinstance(source, Path) else "boxes"
    if isinstance(source, Path):
        try:
            source = existing(source, "file").read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BoxError(f"{place}: not JSON: it is not text (UTF-8)") from error
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except json.JSONDecodeError as error:
            raise BoxError(f"{place}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
            raise BoxError(f"{place}: not JSON: {error}") from error
    return _script(_Place(place), source)


# ---- reading: each raises BoxError with its place --------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where we are, for errors: `boxes.json: 'red ball', key 2`."""

    source: str
    parts: tuple[str, ...] = ()

    def within(self, part: str) -> _Place:
        return _Place(self.source, (*self.parts, part))

    def error(self, what: str) -> BoxError:
        return BoxError(": ".join([self.source, *([", ".join(self.parts)] if self.parts else []), what]))


def _script(place: _Place, given: Any) -> BoxScript:
    table = _table(place, given, ("objects", "camera", "relax"), needed="objects")
    things: list[Thing] = []
    for number, each in enumerate(_list(place, "objects", table["objects"]), 1):
        thing = _thing(place, number, each, camera="camera" in table)
        if thing.name in [other.name for other in things]:
            raise place.within(f"object {number}").error(f"the name {thing.name!r} is taken; names tell objects apart")
        things.append(thing)
    relax = _number(place.within("relax"), table.get("relax", 1.0))
    if relax < 0:
        raise place.within("relax").error(f"{relax:g} is below 0; 1 is as loose as in training, 0 not at all")
    return BoxScript(tuple(things), _camera(place.within("camera"), table.get("camera")), relax, place.source)


def _thing(place: _Place, number: int, given: Any, camera: bool) -> Thing:
    here = place.within(f"object {number}")
    table = _table(here, given, ("name", "keys", "path", "enter", "leave", "pin"), needed="keys")
    name = table.get("name", f"object {number}")
    if not isinstance(name, str) or not name.strip():
        raise here.error(f"its name is {_short(name)}; a text is needed")
    here = place.within(repr(name))
    keys = tuple(_key(here.within(f"key {at}"), each, unbounded=camera)
                 for at, each in enumerate(_list(here, "keys", table["keys"]), 1))  # fmt: skip
    if not any(key.box.x1 > key.box.x0 and key.box.y1 > key.box.y0 for key in keys):
        raise here.error("it is out of view at every key; give it one box with an area")
    pin = table.get("pin", False)
    if not isinstance(pin, bool):
        raise here.error(f"pin is {_short(pin)}; true or false is needed")
    points = _list(here, "path", table["path"]) if "path" in table else ()
    path = tuple(_point(here.within(f"path point {at}"), each, camera) for at, each in enumerate(points, 1))
    thing = Thing(name, keys, path, _side(here, "enter", table), _side(here, "leave", table), pin)
    _check_together(here, thing)
    return thing


def _check_together(here: _Place, thing: Thing) -> None:
    if thing.pin and (len(thing.keys) > 1 or thing.path or thing.enter or thing.leave):
        raise here.error("pin holds one box for the whole clip; leave out pin, or all but one key")
    if thing.path and len(thing.keys) > 2:
        raise here.error(f"a path leads from its first key to its last, and there are {len(thing.keys)}; leave out the "
                         "keys between, or the path")  # fmt: skip


def _camera(here: _Place, given: Any) -> tuple[Key, ...]:
    if given is None:
        return ()
    table = _table(here, given, ("keys",), needed="keys")
    keys = []
    for number, each in enumerate(_list(here, "keys", table["keys"]), 1):
        at = here.within(f"key {number}")
        _table(at, each, (*UNITS, "box"), needed="box")
        keys.append(_key(at, each, unbounded=True))
    return tuple(keys)


def _key(here: _Place, given: Any, unbounded: bool) -> Key:
    table = _table(here, given, (*UNITS, "box", "kind"), needed="box")
    units = [unit for unit in UNITS if unit in table]
    if len(units) != 1:
        said = f"it says when by {' and '.join(units)}" if units else "it does not say when"
        raise here.error(f"{said}; give one of time (seconds), frame, and at (a share of the clip)")
    unit = units[0]
    when = _number(here.within(unit), table[unit])
    if when < 0 or (unit == "at" and when > 1) or (unit == "frame" and when != int(when)):
        bounds = {"time": "0 seconds or more", "frame": "a whole number, 0 or more,", "at": "a share from 0 to 1"}
        raise here.error(f"{unit} is {when:g}; {bounds[unit]} is needed")
    kind = table.get("kind", "hard")
    if kind not in ("hard", "soft"):
        raise here.error(f"kind is {_short(kind)}; hard (its outline) or soft (a region around it) is needed")
    return Key(when, unit, _box(here, table["box"], unbounded), kind == "hard")


def _box(here: _Place, given: Any, unbounded: bool) -> Box:
    """A box that can be meant; `unbounded` in the plane of a scene that a camera shows part of."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 4:
        raise here.error(f"box is {_short(given)}; four numbers [x0, y0, x1, y1] are needed")
    numbers = {name: _share(here, f"box {name}", value, unbounded)
               for name, value in zip(("x0", "y0", "x1", "y1"), given, strict=True)}  # fmt: skip
    for axis in "xy":
        low, high = numbers[f"{axis}0"], numbers[f"{axis}1"]
        if high < low:
            raise here.error(f"box {axis}1 {high:g} is less than {axis}0 {low:g}; [x0, y0, x1, y1] go from the upper "
                             "left corner to the lower right")  # fmt: skip
        if (high == low and low not in (0, 1)) or (unbounded and high - low < SMALLEST):
            raise here.error(f"box {axis}0 and {axis}1 are both {low:g}, so it has no area; "
                             + ("a camera's scene needs boxes with one" if unbounded else
                                "only a line on the border, at 0 or 1, can stand for out of view"))  # fmt: skip
    return Box(**numbers)


def _point(here: _Place, given: Any, unbounded: bool) -> Point:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise here.error(f"{_short(given)} is no point; two numbers [x, y] are needed")
    return _share(here, "x", given[0], unbounded), _share(here, "y", given[1], unbounded)


def _share(here: _Place, name: str, given: Any, unbounded: bool) -> float:
    """A coordinate: within the frame, or anywhere near it in the plane of a scene that a camera shows part of."""
    value = _number(here.within(name), given)
    if not unbounded and not 0 <= value <= 1:
        raise here.error(f"{name} is {value:g}; shares of the frame from 0 to 1 are needed, and enter or leave for "
                         "what goes beyond")  # fmt: skip
    if abs(value) > FARTHEST:
        raise here.error(f"{name} is {value:g}; a camera's scene ends {FARTHEST:g} frames away")
    return value


def _side(here: _Place, name: str, table: Mapping[str, Any]) -> Side | None:
    given = table.get(name)
    if given is not None and given not in SIDES:
        raise here.error(f"{name} is {_short(given)}; one of {', '.join(SIDES)} is needed")
    return cast("Side | None", given)


def _table(here: _Place, given: Any, known: Sequence[str], needed: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise here.error(f"{_short(given)} stands where an object {{…}} is needed, with {', '.join(known)}")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
            raise here.error(f"there is no {_short(name)} here; did you mean {near[0]!r}?")
    if needed not in given:
        raise here.error(f"{needed} is missing")
    return given


def _list(here: _Place, name: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise here.error(f"{name} is {_short(given)}; a list with at least one is needed")
    return given


def _number(here: _Place, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) <= sys.float_info.max:
        raise here.error(f"{_short(given)} is not a finite number")
    return float(given)


def _short(given: Any) -> str:
    text = json.dumps(given, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:59] + "…"


# ---- fitting to a clip -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clip:
    """The clip that keys are fitted to."""

    source: str
    frames: int
    fps: float

    def course(self, thing: Thing) -> Course:
        knots = self.knots(repr(thing.name), thing.keys)
        last, first_key, last_key = self.frames - 1, knots[0].frame, knots[-1].frame
        here = _Place(self.source).within(repr(thing.name))
        if thing.enter and first_key == 0:
            raise here.error("it is to enter, but its first key lies on frame 0, before which there is no time to")
        if thing.leave and last_key == last:
            raise here.error(f"it is to leave, but its last key lies on frame {last}, after which there is no time to")
        if thing.path and len(knots) == 1 and last_key == last:
            raise here.error(f"its path leads on from key 1, which lies on the last frame, {last}")
        return Course(thing.name, knots, thing.path, thing.enter, thing.leave, thing.pin)

    def knots(self, name: str, keys: Sequence[Key]) -> tuple[Knot, ...]:
        """Keys in the order of their frames."""
        here = _Place(self.source).within(name)
        numbered: dict[int, int] = {}
        knots = []
        for number, key in enumerate(keys, 1):
            frame = self._frame(here.within(f"key {number}"), key)
            if frame in numbered:
                raise here.within(f"key {number}").error(
                    f"key {numbered[frame]} lies on frame {frame} as well; one thing has one box at a time"
                )
            numbered[frame] = number
            knots.append(Knot(frame, key.box, key.hard))
        return tuple(sorted(knots, key=lambda knot: knot.frame))

    def _frame(self, here: _Place, key: Key) -> int:
        last, seconds = self.frames - 1, self.frames / self.fps
        if (key.unit == "time" and key.when > seconds + BESIDE) or (key.unit == "frame" and key.when > last):
            said = f"time {key.when:g} s" if key.unit == "time" else f"frame {key.when:g}"
            raise here.error(f"{said} is beyond the clip, {self.frames} frames (0 to {last}), {seconds:g} s "
                             f"at {self.fps:g} a second")  # fmt: skip
        place = {"time": key.when * self.fps, "frame": key.when, "at": key.when * last}[key.unit]
        return min(last, round(place))
