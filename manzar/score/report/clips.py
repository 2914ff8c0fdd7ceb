"""The films at both ends of every dimension, as small silent films that the page carries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from manzar import media
from manzar.nouns import ManzarError, storage
from manzar.score.dimension import Measured
from manzar.score.rows import FilmValue, Report, Row

EACH_END = 3  # films shown of the lowest and of the highest
SIDE, FPS, FRAMES = 224, 8, 20  # of a preview: its longer side in pixels, at most so many pictures
POSTER_QUALITY = 55
MOST_BYTES = 12_000_000  # of all films of previews together
Shown = tuple[FilmValue, Measured]


@dataclass(frozen=True)
class Ends:
    """Films of one dimension, from the outside in; each film is at one end only."""

    lowest: Sequence[Shown]
    highest: Sequence[Shown]

    @classmethod
    def of(cls, row: Row) -> Ends:
        """The lowest and the highest, none where all films are alike or have no values of their own."""
        ranked = [] if row.of_set else sorted(row.scored, key=lambda shown: (float(shown[1].value), str(shown[0].path)))
        alike = not ranked or ranked[0][1].value == ranked[-1][1].value
        each = 0 if alike else min(EACH_END, len(ranked) // 2)
        return cls(ranked[:each], ranked[::-1][:each])

    def by_rank(self) -> Iterator[tuple[int, Path]]:
        for end in (self.lowest, self.highest):
            yield from ((rank, film.path) for rank, (film, _) in enumerate(end))


@dataclass(frozen=True)
class Preview:
    """An .mp4 and a .jpg of its first picture, for until it plays."""

    film: bytes
    poster: bytes


def previews(report: Report, ends: Mapping[str, Ends], folder: Path, workers: int) -> dict[Path, Preview]:
    """Of every film that the page shows, the outermost first, as long as there is room.

    folder: where they are kept from one report to the next. A film that cannot be shown is left out.
    """
    digests = {film.path: str(film.info["digest"]) for film in report.films if film.info}
    ranked = sorted((rank, order, path) for order, own in enumerate(ends.values()) for rank, path in own.by_rank())
    wanted = list(dict.fromkeys(path for *_, path in ranked))
    found: dict[Path, Preview] = {}
    room = MOST_BYTES
    with ThreadPoolExecutor(workers) as pool:
        made = pool.map(lambda path: _preview(path, folder / digests[path]), wanted)
        for path, data in zip(wanted, made, strict=True):
            if data is not None and len(data.film) <= room:
                room -= len(data.film)
                found[path] = data
    return found


def _preview(film: Path, kept: Path) -> Preview | None:
    """A small film, made once. It is kept without an extension, so that nobody takes it for a film to be scored."""
    poster = kept.with_suffix(".jpg")
    if kept.is_file() and poster.is_file():
        return Preview(kept.read_bytes(), poster.read_bytes())
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}.mp4")
    try:
        info = media.probe(film)
        scale = min(1.0, SIDE / max(info.width, info.height))
        width, height = (max(2, round(side * scale / 2) * 2) for side in (info.width, info.height))
        video = media.read(film, fps=min(FPS, info.fps), size=(width, height), max_frames=FRAMES)
        with storage(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            poster.write_bytes(media.jpeg(video.frames[0], POSTER_QUALITY))
            media.write(video, temporary)
            temporary.replace(kept)
            return Preview(kept.read_bytes(), poster.read_bytes())
    except ManzarError:
        return None
    finally:
        temporary.unlink(missing_ok=True)
