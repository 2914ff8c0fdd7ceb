"""A contact sheet: one HTML file that shows what is in a data set and what was turned away, and can be searched.

Each clip is four of its frames, its captions, boxes, measures and split; small clips play from the page itself, larger
ones from the data set while the page lies where it was written. The page asks no network for anything.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from manzar import media
from manzar.curate.manifest import CLIPS, read_clips, read_rejected
from manzar.curate.sheet.histograms import Bound, Example, figure, finite, nearest
from manzar.curate.sheet.page import closing, opening
from manzar.nouns import BoxTrack, Clip, DataError, MediaError, Rejection, UsageError, Video, existing, storage

if TYPE_CHECKING:
    from manzar.nouns import Frames

POSTER_TILES = 4  # two above, two below: the poster has the shape of the clip, so the clip plays in its place
POSTER_HEIGHTS = ((1_000, 108), (4_000, 72))  # pixels of one tile, up to so many clips; beyond, the least
LEAST_POSTER_HEIGHT = 48
LOOK_SECONDS = 8.0  # how much of a loose video is looked at
LOOK_FPS = 4.0
PLAYABLE = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".webp": "image/webp",
            ".avif": "image/avif", ".apng": "image/apng"}  # fmt: skip
EMBED_BYTES = 400_000  # a clip larger than this is not carried in the page
EMBED_TOTAL_BYTES = 12_000_000  # nor is any once the page holds this much video
REFUSED_TOTAL_BYTES = 8_000_000  # posters of what was turned away: the examples at the limits first
TRACK_STEPS = 60  # boxes of a track that the page holds, at most; it draws those between
BATCH = 32  # clips whose posters are made at once


@dataclass
class _Found:
    """Everything the page is to show."""

    clips: list[tuple[Clip, Path]] = field(default_factory=list)
    refused: list[tuple[Rejection, Path | None]] = field(default_factory=list)  # with its poster, if there is one
    bounds: set[Bound] = field(default_factory=set)
    where: str | None = None
    asked: int = 0  # clips the condition was asked of


def sheet(targets: Sequence[Path], out: Path, *, where: str | None = None) -> Path:
    """Write the contact sheet of data sets, folders of videos and videos to `out` and return its path.

    where: show only the clips of the data sets that meet this condition (see manzar.curate.sheet.query).
    Raises UsageError for a target that does not exist or holds no video and for a condition that cannot be asked,
    DataError for a damaged data set, StorageError for a full disk. A video that cannot be read is listed with its
    reason.
    """
    if not targets:
        raise UsageError("nothing to show was named; give a data set, a folder of videos or a video")
    if Path(out).is_dir():
        raise UsageError(f"{out} is a folder; name a file, such as {Path(out) / 'sheet.html'}")
    found = _Found(where=where)
    for target in map(Path, targets):
        _look(existing(target), found)
    title = ", ".join(Path(target).name or str(target) for target in targets)
    out = Path(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with storage(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8", errors="replace") as file:
                file.writelines(_page(title, found, out.parent))  # clip by clip: the page may be large
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    return out


def _look(target: Path, found: _Found) -> None:
    """Add what `target` holds: the manifest of a data set, or entries made up for loose videos."""
    if target.is_dir() and (target / CLIPS).exists():
        clips = read_clips(target)
        found.asked += len(clips)
        if found.where is None:
            found.refused += [(row, _refused_poster(target, row)) for row in read_rejected(target)]
            found.bounds |= _bounds(target / "ingest.json")
        else:
            from manzar.curate.sheet import query  # DuckDB is loaded only where a question is asked

            met = set(query.where(target, found.where))
            clips = [clip for clip in clips if clip.id in met]
        found.clips += [(clip, target / clip.path) for clip in clips]
        return
    paths = [target]
    if target.is_dir() and not media.is_image_folder(target):
        paths = sorted(path for path in target.rglob("*") if _is_video(path))
        if not paths:
            raise UsageError(f"{target} holds neither a data set ({CLIPS}) nor a video; name one that does")
    if found.where is not None:
        raise UsageError(
            f"{found.where!r} can only be asked of a data set, and {target} is none; `manzar ingest` makes one"
        )
    for path in paths:
        try:
            found.clips.append((_loose(path), path))
        except MediaError as error:
            found.refused.append((Rejection(path.as_posix(), 0.0, "unreadable", str(error)), None))


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return bool(media.is_image_folder(path))
    return path.suffix.lower() in media.SUFFIXES


def _loose(path: Path) -> Clip:
    header = media.probe(path)
    return Clip(
        id=path.name,
        path=path.as_posix(),
        source=path.as_posix(),
        start_s=0.0,
        end_s=header.seconds or 0.0,
        width=header.width,
        height=header.height,
        fps=header.fps,
        frames=header.frames or 0,
    )


def _bounds(path: Path) -> set[Bound]:
    """The limits that a data set was made with, from its ingest.json; none where it has none."""
    if not path.exists():
        return set()
    found: set[Bound] = set()
    try:
        for measure, (low, high) in json.loads(path.read_text(encoding="utf-8")).get("limits", {}).items():
            found |= {Bound(measure, "low", float(low))} if low is not None else set()
            found |= {Bound(measure, "high", float(high))} if high is not None else set()
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); run `manzar ingest` again") from error
    return found


def _refused_poster(data: Path, row: Rejection) -> Path | None:
    if not row.id or Path(row.id).name != row.id:
        return None
    path = data / "refused" / f"{row.id}.jpg"
    return path if path.is_file() else None


def _page(title: str, found: _Found, home: Path) -> Iterator[str]:
    """The page in pieces: header, figures, pictures and videos as text that is read when shown, then the index."""
    kept = [(clip.measures, f"p{n}", clip.id) for n, (clip, _) in enumerate(found.clips)]
    away = [(row.measures, f"r{n}", f"{row.path}: {row.detail}") for n, (row, _) in enumerate(found.refused)]
    figures, wanted = _figures(kept, away, found.bounds)
    yield opening(title, found.where, _totals(found), figures)
    entries = []
    room = EMBED_TOTAL_BYTES
    for number, ((clip, path), poster) in enumerate(zip(found.clips, _posters(found.clips), strict=True)):
        entry = _entry(clip, path, home)
        if isinstance(poster, str):
            entry["note"] = poster
        else:
            entry |= {"area": list(poster.area), "tiles": poster.seconds}
            yield _held(f"p{number}", poster.data)
            size = path.stat().st_size if path.is_file() and entry["kind"] else 0
            if 0 < size <= min(EMBED_BYTES, room):
                room -= size
                yield _held(f"v{number}", path.read_bytes())
        if clip.tracks:
            yield f'<script type="application/json" id="t{number}">{_json(_boxes(clip))}</script>\n'
        entries.append(entry)
    for number, picture in _refused_pictures(found.refused, wanted).items():
        yield _held(f"r{number}", picture)
    refused = [
        {"path": row.path, "start": row.start_s, "reason": row.reason, "detail": row.detail, "measures": _whole(row)}
        for row, _ in found.refused
    ]
    yield f'<script type="application/json" id="index">{_json({"clips": entries, "away": refused})}</script>\n'
    yield closing()


def _figures(
    kept: Sequence[tuple[Any, str, str]], away: Sequence[tuple[Any, str, str]], bounds: set[Bound]
) -> tuple[list[str], list[str]]:
    """A figure for each measure in the order of its first mention, and the ids of the refused pictures they show."""
    figures, wanted = [], []
    for measure in dict.fromkeys(name for measures, _, _ in (*kept, *away) for name in measures):
        inside, outside = (
            [Example(m[measure], picture, name) for m, picture, name in side if finite(m.get(measure))]
            for side in (kept, away)
        )
        if not inside and not outside:
            continue
        own = sorted((bound for bound in bounds if bound.measure == measure), key=lambda bound: bound.value)
        figures.append(figure(measure, inside, outside, own))
        wanted += [entry.picture for bound in own for entry in nearest(bound, outside, kept=False)]
    return figures, wanted


def _totals(found: _Found) -> dict[str, list[tuple[str, str]]]:
    """What the header says: how much there is, by size, language and licence."""
    clips = [clip for clip, _ in found.clips]
    seconds, tracked = sum(_seconds(clip) for clip in clips), sum(bool(clip.tracks) for clip in clips)
    languages = Counter(language for clip in clips for language in clip.captions)
    return {
        "": [
            ("clips", f"{len(clips):,}" if found.where is None else f"{len(clips):,} of {found.asked:,}"),
            ("length", f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"),
            ("held out", f"{sum(clip.split == 'val' for clip in clips):,}"),
            ("without caption", f"{sum(not clip.captions for clip in clips):,}"),
            *([("with boxes", f"{tracked:,}")] * bool(tracked)),
            *([("turned away", f"{len(found.refused):,}")] * bool(found.refused)),
        ],
        "sizes": _most(Counter(f"{clip.width}×{clip.height}" for clip in clips)),
        "languages": _most(languages),
        "licences": _most(Counter(clip.licence for clip in clips if clip.licence)),
    }


def _most(counts: Counter[str], most: int = 8) -> list[tuple[str, str]]:
    rows = [(name, f"{count:,}") for name, count in counts.most_common(most)]
    rest = counts.total() - sum(count for _, count in counts.most_common(most))
    return rows + [(f"{len(counts) - len(rows)} more", f"{rest:,}")] * bool(rest)


def _entry(clip: Clip, path: Path, home: Path) -> dict[str, Any]:
    """One clip as the page's script reads it. `file` is where it lies as seen from the page, "" if nowhere."""
    try:
        file = quote(Path(os.path.relpath(path, home)).as_posix(), errors="surrogateescape")
    except ValueError:  # another drive
        file = ""
    kind = PLAYABLE.get(path.suffix.lower(), "")
    return {
        "id": clip.id,
        "source": clip.source,
        "start": clip.start_s,
        "end": clip.end_s,
        "seconds": _seconds(clip),
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "frames": clip.frames,
        "captions": dict(clip.captions),
        "measures": _whole(clip),
        "licence": clip.licence,
        "split": clip.split,
        "kind": kind,
        "file": file if kind else "",
        "tracks": [track.name for track in clip.tracks],
    }


def _seconds(clip: Clip) -> float:
    return clip.frames / clip.fps if clip.frames and clip.fps else clip.end_s - clip.start_s


def _whole(row: Clip | Rejection) -> dict[str, float]:
    return {name: value for name, value in row.measures.items() if finite(value)}


def _boxes(clip: Clip) -> dict[str, Any]:
    """Every `step`-th box of each track, corners in thousandths; null where the object is out of view."""
    step = max(1, -(-max(len(track.boxes) for track in clip.tracks) // TRACK_STEPS))

    def thinned(track: BoxTrack) -> list[list[int] | None]:
        return [None if box is None else [round(1000 * side) for side in box.as_list()] for box in track.boxes[::step]]

    return {"step": step, "tracks": [thinned(track) for track in clip.tracks]}


@dataclass(frozen=True)
class _Poster:
    """JPEG bytes, the size of one tile in pixels, and the second of the clip that each tile shows."""

    data: bytes
    area: tuple[int, int]
    seconds: list[float]


def _posters(clips: Sequence[tuple[Clip, Path]]) -> Iterator[_Poster | str]:
    """A poster for each clip in turn, or why there is none; decoding leaves Python's lock, so threads are enough."""
    height = next((pixels for most, pixels in POSTER_HEIGHTS if len(clips) <= most), LEAST_POSTER_HEIGHT)
    paths = (path for _, path in clips)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        while batch := list(islice(paths, BATCH)):
            yield from pool.map(lambda path: _poster(path, height), batch)


def _poster(path: Path, height: int) -> _Poster | str:
    try:
        header = media.probe(path)
        size = (max(2, round(header.width * height / header.height)), height)
        video = media.read(path, end_s=LOOK_SECONDS, fps=min(LOOK_FPS, header.fps), size=size)
    except (MediaError, UsageError) as error:
        return str(error)
    if len(video.frames) < POSTER_TILES:
        return _Poster(media.jpeg(video.frames[0], quality=64), size, [0.0])
    picks = np.linspace(0, len(video.frames) - 1, POSTER_TILES).round().astype(int)
    rows: list[Frames] = [media.strip(Video(video.frames[pair], video.fps), 2) for pair in (picks[:2], picks[2:])]
    return _Poster(media.jpeg(np.concatenate(rows), quality=64), size, [round(pick / video.fps, 3) for pick in picks])


def _refused_pictures(refused: Sequence[tuple[Rejection, Path | None]], wanted: Iterable[str]) -> dict[int, bytes]:
    """Posters by row, as many as there is room for: the wanted first, then some of every reason in turn."""
    turns: Counter[str] = Counter()
    order = []
    for number, (row, _) in enumerate(refused):
        order.append((turns[row.reason], number))
        turns[row.reason] += 1
    first = [int(name[1:]) for name in wanted]
    pictures: dict[int, bytes] = {}
    room = REFUSED_TOTAL_BYTES
    for number in dict.fromkeys([*first, *(number for _, number in sorted(order))]):
        path = refused[number][1]
        if path is not None and path.stat().st_size <= room:
            pictures[number] = path.read_bytes()
            room -= len(pictures[number])
    return pictures


def _held(name: str, data: bytes) -> str:
    """Bytes that the page holds as inert text until a card needs them."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(data).decode()}</script>\n'


def _json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
