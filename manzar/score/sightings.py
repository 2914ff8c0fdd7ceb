"""What detectors and captioners saw in films: the file that holds it, and whom VBench's own figures take it from.

Five dimensions ask what is to be seen. VBench asks GRiT (objects, and a caption of each) and Tag2Text (a caption of
the frame); neither runs here, so what they saw comes in a file, `sightings.jsonl` beside the films or one that is
named. Anybody else's eyes give the same dimensions as stand-ins, under their own name. One JSON object a line:

    {"video": "a cat and a dog-0.mp4", "sha256": "<of that file>",
     "by": {"name": "GRiT", "sha256": "<of its checkpoint>"}, "frames": [0, 1, 3, 4, 6, …],
     "objects": [[{"name": "cat", "box": [12.5, 30.0, 200.1, 180.0], "score": 0.91}, …], …],
     "dense": [[{"name": "cat", "text": "a brown cat on a sofa"}, …], …],
     "scenes": ["a cat and a dog in a living room", …]}

- sha256: of the film; of a folder of images, as `film.file_digest` counts it. Another file of the same name is refused.
- frames: the sixteen that were looked at, `sampling.middle(frames in the film, 16)`; a short film repeats its last.
- objects, dense, scenes: any of them, one item a frame, in the detector's own order. A line each will do as well; of
  two by one maker about one film the later counts.
- objects: GRiT's ObjectDet task, boxes (x0, y0, x1, y1) in pixels of what it was given (VBench shrinks frames whose
  shorter side is above 768 to 720). dense: its DenseCap task, `name` the object detected at the same place.
- scenes: Tag2Text's caption after its prompt "a picture of " (three beams, 10 to 30 tokens, from 384×384).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from manzar.nouns import DataError, Frames, existing, storage
from manzar.score.bench import Bench
from manzar.score.checkpoints import CHECKPOINTS
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film
from manzar.score.sampling import middle

NAME = "sightings.jsonl"
LOOKED_AT = 16  # frames of each film

Part = Literal["objects", "dense", "scenes"]
PARTS: tuple[Part, ...] = ("objects", "dense", "scenes")
# Whose sightings VBench's own dimensions are made of: the name in `by`, and the name among our checkpoints.
OFFICIAL: dict[Part, tuple[str, str]] = {
    "objects": ("GRiT", "grit"), "dense": ("GRiT", "grit"), "scenes": ("Tag2Text", "tag2text_swin"),
}  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True)
class Detection:
    """box: (x0, y0, x1, y1) in pixels."""

    name: str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class DenseCaption:
    """What was said of one detected object; name: what the detector calls it."""

    name: str
    text: str


@dataclass(frozen=True)
class Maker:
    """Who saw it; sha256: of the network's weights, hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Sightings:
    """What one maker saw in one film. objects, dense, scenes: an item a frame, or none at all."""

    video: str
    digest: str
    by: Maker
    frames: tuple[int, ...]
    objects: tuple[tuple[Detection, ...], ...] = ()
    dense: tuple[tuple[DenseCaption, ...], ...] = ()
    scenes: tuple[str, ...] = ()


class Detector(Protocol):
    """Finds what is asked for in frames."""

    @property
    def maker(self) -> Maker: ...

    def __call__(self, frames: Frames, names: Sequence[str]) -> list[list[Detection]]:
        """Objects of these names in `frames` (T, H, W, 3): a list a frame, boxes in pixels."""


class Captioner(Protocol):
    """Says in a sentence what is to be seen."""

    @property
    def maker(self) -> Maker: ...

    def __call__(self, pictures: Sequence[Frames]) -> list[str]:
        """A caption of each picture (H, W, 3), whatever its size."""


@dataclass(frozen=True)
class Book:
    """A file of sightings: where the lines about each film begin, by its digest, and which digests each name has."""

    path: Path
    starts: Mapping[str, tuple[int, ...]]
    digests: Mapping[str, tuple[str, ...]]
    makers: frozenset[tuple[Part, str]]

    def about(self, digest: str, part: Part, maker: str) -> Sightings | None:
        """What this maker saw in the film of that digest; None if nothing is here. DataError for a damaged line."""
        for line in reversed(self._lines(digest)):
            seen = parse(json.loads(line), f"{self.path}, the line about {digest[:12]}…")
            if seen.by.name == maker and getattr(seen, part):
                return seen
        return None

    def others(self, film: Film) -> list[str]:
        """Digests of other files of the film's name that the book speaks of."""
        return [digest for digest in self.digests.get(film.path.name, ()) if digest != film.digest]

    def fingerprint(self, digest: str) -> str:
        """Changes with what is said of the film of that digest; empty if nothing is."""
        lines = self._lines(digest)
        return hashlib.sha256(b"".join(lines)).hexdigest() if lines else ""

    def _lines(self, digest: str) -> list[bytes]:
        starts = self.starts.get(digest, ())
        if not starts:
            return []
        with self.path.open("rb") as file:
            return [file.readline() for start in starts if file.seek(start) == start]


def read(path: Path) -> Book:
    """Open a file of sightings, or the one in a folder; it is gone through once until it changes.

    Raises UsageError where there is none, DataError naming a line that is about nothing. What else is wrong with a line
    comes to light when its film is scored, and costs that film alone.
    """
    path = existing(path)
    path = existing(path / NAME, "file") if path.is_dir() else path
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@cache
def _read(path: Path, size: int, changed_ns: int) -> Book:
    starts: dict[str, list[int]] = {}
    digests: dict[str, list[str]] = {}
    makers: set[tuple[Part, str]] = set()
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            here, start = start, start + len(line)
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number} is not JSON ({error}); write it again or drop it") from error
            video, digest, by = _head(row, f"{path}, line {number}")
            starts.setdefault(digest, []).append(here)
            digests.setdefault(video, []).append(digest)
            makers |= {(part, by.name) for part in PARTS if row.get(part)}
    return Book(path, _frozen(starts), _frozen(digests), frozenset(makers))


def _frozen(lists: Mapping[str, list[T]]) -> dict[str, tuple[T, ...]]:
    return {key: tuple(values) for key, values in lists.items()}


def parse(row: Any, place: str) -> Sightings:
    """One line as a record; `place` says where it stands. Raises DataError for one that is not as the format says."""
    video, digest, by = _head(row, place)
    with _door(place):
        seen = Sightings(
            video, digest, by,
            frames=tuple(_of(int, index) for index in row["frames"]),
            objects=tuple(tuple(map(_detection, frame)) for frame in row.get("objects", ())),
            dense=tuple(
                tuple(DenseCaption(_of(str, one["name"]), _of(str, one["text"])) for one in frame)
                for frame in row.get("dense", ())
            ),
            scenes=tuple(_of(str, caption) for caption in row.get("scenes", ())),
        )  # fmt: skip
        for part in PARTS:
            if len(getattr(seen, part)) not in (0, len(seen.frames)):
                raise ValueError(f"{len(getattr(seen, part))} {part} for {len(seen.frames)} frames")
    return seen


def _head(row: Any, place: str) -> tuple[str, str, Maker]:
    """What a line is about and who saw it."""
    with _door(place):
        by = Maker(_of(str, row["by"]["name"]), _digest(row["by"]["sha256"]))
        return _of(str, row["video"]), _digest(row["sha256"]), by


@contextmanager
def _door(place: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise DataError(f"{place} lacks {error}; see manzar/score/sightings.py for what a line holds") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{place}: {error}; see manzar/score/sightings.py for what a line holds") from error


def _detection(row: Any) -> Detection:
    x0, y0, x1, y1 = (float(side) for side in row["box"])
    if not all(map(isfinite, (x0, y0, x1, y1))):
        raise ValueError(f"the box {row['box']} is no box")
    return Detection(_of(str, row["name"]), (x0, y0, x1, y1), float(row["score"]))


def _of(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{value!r:.60} stands where {kind.__name__} is needed")
    return value


def _digest(value: Any) -> str:
    text = _of(str, value).lower()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError(f"{text!r:.80} is no sha256, 64 hexadecimal digits")
    return text


def append(path: Path, seen: Sightings) -> None:
    """Add one line to a file of sightings. Raises StorageError where it cannot be written."""
    row = {key: value for key, value in asdict(seen).items() if value}
    row["sha256"] = row.pop("digest")
    with storage(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def provide(bench: Bench, books: Sequence[Book]) -> None:
    """Say where the sightings of the bench's next film are, in place of the file beside it."""
    bench.once("sightings", lambda: tuple(books))


def sighted(name: str, part: Part, judge: Callable[[Film, Sightings], Measured], maker: str = "") -> Dimension:
    """A dimension that asks what was seen: VBench's own, or the stand-in that `maker` gives, under its own name."""
    official = maker in ("", OFFICIAL[part][0])
    full = name if official else f"{name} (stand-in: {maker})"
    measure = partial(_measure, part=part, judge=judge, maker=maker or OFFICIAL[part][0])
    return Dimension(full, "official" if official else "stand-in", measure, suite_only=True)


def _measure(film: Film, bench: Bench, *, part: Part, judge: Callable[[Film, Sightings], Measured],
             maker: str) -> Measured:  # fmt: skip
    seen = _seen(film, bench, part, maker)
    measured = judge(film, seen)
    return replace(measured, detail={**measured.detail, "by": asdict(seen.by)})


def _seen(film: Film, bench: Bench, part: Part, maker: str) -> Sightings:
    """This maker's sightings of the film. Raises Unscored where there are none that can be trusted."""
    official, checkpoint = OFFICIAL[part]
    books = bench.once("sightings", lambda: _beside(film))
    found = [seen for book in books if (seen := book.about(film.digest, part, maker))]
    others = [(book.path, digest) for book in books for digest in book.others(film)]
    if not found and others:
        path, digest = others[-1]
        raise Unscored(f"{path} speaks of another file of this name (sha256 {digest[:12]}…, this one's is "
                       f"{film.digest[:12]}…); look at this one again")
    if not found:
        row = CHECKPOINTS[checkpoint]
        source = f" ({row.files[0]} from {row.source}, {row.terms})" if maker == official else ""
        raise Unscored(f"needs what {maker}{source} saw: put its {NAME} beside the films or name it with --sightings")
    seen, wanted = found[-1], tuple(middle(len(film.frames), LOOKED_AT))
    if seen.frames != wanted:
        raise Unscored(f"{maker} looked at frames {_short(seen.frames)}, where {_short(wanted)} are asked for")
    published = CHECKPOINTS[checkpoint].sha256
    if maker == official and published and not seen.by.sha256.startswith(published):
        raise Unscored(f"the {maker} that saw it had weights of sha256 {seen.by.sha256[:12]}…, not VBench's, "
                       f"{published[:12]}…")
    return seen


def _beside(film: Film) -> tuple[Book, ...]:
    path = film.path.parent / NAME
    try:
        return (read(path),) if path.is_file() else ()
    except DataError as error:
        raise Unscored(str(error)) from error


def _short(frames: Sequence[int]) -> str:
    return f"{', '.join(map(str, frames[:4]))}, … ({len(frames)})"


def asked(film: Film, name: str) -> Any:
    """What the suite says about this film's prompt for a dimension. Raises Unscored where it says nothing."""
    try:
        return film.asked.details[name]
    except KeyError:
        raise Unscored(f"what it was to show is not known: its prompt is none of the suite's for "
                       f"{name.replace('_', ' ')}") from None
